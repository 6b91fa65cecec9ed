"""Store, Override and Dtmf: verbs that neither say nor ask (reference, sections of those names)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..attributes import TONES, attr, http_method, keys, text, url
from ..verb import Call, Method, Outcome
from .base import Verb


@dataclass(frozen=True, kw_only=True)
class Store(Verb):
    """Have `Storage_<name>` in every later request of the call; an empty text removes it."""

    name: ClassVar[str] = "Store"

    key: str = attr(
        text(filled=True),
        default="",
        required=True,
        name="name",
        says="Requests carry the text as `Storage_` and this name.",
    )

    @property
    def answers(self) -> bool:
        """The caller notices nothing."""
        return False

    async def run(self, call: Call) -> Outcome:
        """Remember."""
        call.store(self.key, self.text)
        return None


@dataclass(frozen=True, kw_only=True)
class Override(Verb):
    """Change where the call's status callback goes, and who it is to carriers, for the rest of the call."""

    name: ClassVar[str] = "Override"
    reads_text: ClassVar[bool] = False

    status_callback_url: str = attr(
        url(), default="", says="Where the status callback goes. Without it the URL stays as it is."
    )
    status_callback_method: Method | None = attr(
        http_method(), says="How it is sent. Without it the method stays as it is."
    )
    sip_username: str = attr(
        text(),
        default="",
        says="The user name that calls of this call prove who they are with, instead of their trunk's.",
    )
    sip_password: str = attr(text(), default="", says="The password that goes with it.")

    @property
    def answers(self) -> bool:
        """The caller notices nothing."""
        return False

    async def run(self, call: Call) -> Outcome:
        """Tell the call."""
        call.override_status_callback(self.status_callback_url, self.status_callback_method)
        if self.sip_username or self.sip_password:
            call.override_login(self.sip_username, self.sip_password)
        return None


@dataclass(frozen=True, kw_only=True)
class Dtmf(Verb):
    """Send the keys in the text; a comma waits half a second."""

    name: ClassVar[str] = "Dtmf"
    content = keys(TONES)

    @property
    def blank(self) -> bool:
        """No keys."""
        return not self.text

    async def run(self, call: Call) -> Outcome:
        """Send; the next verb runs when the last key has gone out."""
        await call.send_digits(self.text)
        return None
