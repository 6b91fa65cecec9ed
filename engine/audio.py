"""Whatever Play names: URLs through the prompt cache, SIDs through the storage and then the same cache."""

from __future__ import annotations

from .errors import PromptError, StorageError
from .flexml.verb import Prompt
from .prompts import Prompts
from .storage.base import canonical_sid
from .storage.local import LocalStorage


class Audio:
    """Where Play's audio comes from. Implements `call.AudioSource`. `url` is the address below which `/f/SID` is."""

    def __init__(self, prompts: Prompts, storage: LocalStorage, *, url: str) -> None:
        self._prompts, self._storage, self._url = prompts, storage, url.rstrip("/")

    async def fetch(
        self, url: str, rate_hz: int = 8000, *, streaming: bool = False, pre_buffer_s: float = 0.0
    ) -> Prompt:
        """What a URL names. Raises PromptError."""
        return await self._prompts.fetch(url, rate_hz, streaming=streaming, pre_buffer_s=pre_buffer_s)

    async def fetch_file(self, account: str, sid: str, rate_hz: int = 8000) -> Prompt:
        """A file of the account's storage. Raises PromptError."""
        try:
            await self._storage.open_file(account, sid)
            file, path = await self._storage.content(canonical_sid(sid))
        except StorageError as error:
            raise PromptError(str(error), url=self._url_of(sid)) from error
        return await self._prompts.fetch_file(path, rate_hz, self._url_of(file.sid))

    def _url_of(self, sid: str) -> str:
        return f"{self._url}/f/{sid}"
