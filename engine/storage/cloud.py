"""The clouds that a Record verb can name: where its file will lie there, and how it gets there (reference: Record).

One upload is one object in a bucket or container of the application's, opened with the credentials of its document.
They are handed over as they are: what the environment holds for other programs (AWS_SESSION_TOKEN and the like) is
kept out, it would go to a stranger's store. Errors say status and code of the store's answer, and nothing else of
it: the rest quotes keys and signatures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp
import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from ..errors import UploadError
from ..names import HttpNames

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

Store = S3Store | GCSStore | AzureStore

PART_BYTES: Final = 8 * 2**20
"""A larger file goes in parts of this; S3 takes 10,000 of them."""
PARTS_AT_ONCE: Final = 2
CONNECT_TIMEOUT_S: Final = 5.0
RETRIES: Final = 1
"""Of one request, at once, so that one lost connection does not send a day's recording from its beginning."""
AWAY: Final = frozenset({408, 425, 429})
"""Statuses below 500 after which the same request may well succeed."""
GOOGLE_TOKENS: Final = "https://oauth2.googleapis.com/token"

_STATUS: Final = re.compile(r"status code: (\d{3})")
_ELSEWHERE: Final = "redirect without LOCATION"
"""What obstore says of 301 and 307 of S3, which names no address but in the body."""
_CODE: Final = re.compile(r"<Code>(\w{1,64})</Code>")
_REASONS: Final = (
    re.compile(r"\b(InvalidCertificate|AlertReceived)\(\s*(?:Other\(\s*OtherError\(\s*)?(\w{1,64})"),
    re.compile(r'\bmessage: "([A-Z][A-Za-z ]{1,80})"'),
    re.compile(r"\bkind: (\w{1,32}),"),
    re.compile(r"\bsource: ([A-Z]\w{1,64})\b"),
)
"""Where there was no answer: how TLS failed, the operating system's words, how connecting failed, obstore's error."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudSettings:
    """Where the clouds are, if not where their providers have them: emulators, or other stores that speak S3.

    `request_timeout_s` is for one request: a whole file, or a part of `PART_BYTES`.
    """

    s3_endpoint: str = ""
    s3_region: str = "us-east-1"
    gcs_endpoint: str = ""
    gcs_token_url: str = ""
    azure_endpoint: str = ""
    request_timeout_s: float = 60.0


class Cloud(Protocol):
    """A bucket or container, and what opens it."""

    @property
    def url(self) -> str:
        """The address below which objects lie, as the provider writes it."""
        ...

    async def open(self) -> Store:
        """The store. Raises UploadError, or what obstore raises for what cannot be a store."""
        ...


def url(settings: CloudSettings, external: Mapping[str, str], name: str) -> str:
    """Return where the object `name` will lie."""
    return f"{_cloud(settings, external).url}/{name}"


async def upload(settings: CloudSettings, external: Mapping[str, str], name: str, content: Path, mime: str) -> None:
    """Make `content` the object `name`: whole or not at all; what is there is replaced.

    `external` are the attributes of Record by their fields' names, complete for one store. Raises UploadError.
    """
    try:
        store = await _cloud(settings, external).open()
        await obstore.put_async(
            store,
            name,
            content,
            attributes={"Content-Type": mime},
            chunk_size=PART_BYTES,
            max_concurrency=PARTS_AT_ONCE,
        )
    except (BaseError, OSError, ValueError) as error:
        raise _problem(error) from None  # the cause quotes what must not be seen


def _cloud(settings: CloudSettings, external: Mapping[str, str]) -> Cloud:
    for prefix, make in _CLOUDS.items():
        if any(name.startswith(prefix) for name in external):
            return make(settings, external)
    raise UploadError("no store is named", refused=True)


def _problem(error: Exception) -> UploadError:
    """What to say of a failure: refused where the store has understood the request, and will not have it."""
    text = str(error)
    if found := _STATUS.search(text):
        status = int(found[1])
        code = _CODE.search(text)
        refused = 300 <= status < 500 and status not in AWAY
        return UploadError(f"the store answers {status}" + (f" {code[1]}" if code else ""), refused=refused)
    if _ELSEWHERE in text:
        return UploadError(
            "the store redirects to no address: the bucket may lie in another region than [storage] s3_region",
            refused=True,
        )
    if isinstance(error, OSError):
        return UploadError(f"the content cannot be read: {type(error).__name__}", refused=False)
    found = next((found for pattern in _REASONS if (found := pattern.search(text))), None)
    reason = " ".join(found.groups()) if found else type(error).__name__
    sent = "error sending request" in text or "retries: " in text
    return UploadError(f"the store cannot be {'reached' if sent else 'opened'}: {reason}", refused=not sent)


# ---- the three ----------------------------------------------------------------------------------------------------


def _client(settings: CloudSettings, endpoint: str, **headers: str) -> ClientConfig:
    return {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
        "timeout": timedelta(seconds=settings.request_timeout_s),
        "default_headers": headers,
    }


def _retry(settings: CloudSettings) -> RetryConfig:
    return {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=settings.request_timeout_s)}


@dataclass(frozen=True, slots=True)
class _Amazon:
    settings: CloudSettings
    given: Mapping[str, str]

    @property
    def url(self) -> str:
        bucket, endpoint = self.given["aws_bucket_name"], self.settings.s3_endpoint
        if endpoint or "." in bucket:  # no certificate is for a name with that many dots
            return f"{self._endpoint}/{bucket}"
        return f"https://{bucket}.s3.{self.settings.s3_region}.amazonaws.com"

    @property
    def _endpoint(self) -> str:
        return self.settings.s3_endpoint.rstrip("/") or f"https://s3.{self.settings.s3_region}.amazonaws.com"

    async def open(self) -> Store:
        return S3Store(
            self.given["aws_bucket_name"],
            endpoint=self._endpoint,
            region=self.settings.s3_region,
            virtual_hosted_style_request=False,
            s3_express=False,
            skip_signature=False,
            client_options=_client(self.settings, self._endpoint),
            retry_config=_retry(self.settings),
            credential_provider=lambda: {
                "access_key_id": self.given["aws_access_key"],
                "secret_access_key": self.given["aws_secret_key"],
                "token": None,
                "expires_at": None,
            },
        )


@dataclass(frozen=True, slots=True)
class _Google:
    settings: CloudSettings
    given: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"{self._endpoint}/{self.given['gcp_bucket_name']}"

    @property
    def _endpoint(self) -> str:
        return self.settings.gcs_endpoint.rstrip("/") or "https://storage.googleapis.com"

    async def open(self) -> Store:
        token = await self._token()
        return GCSStore(
            self.given["gcp_bucket_name"],
            base_url=self._endpoint,
            skip_signature=False,
            client_options=_client(self.settings, self._endpoint, **{"x-goog-project-id": self.given["gcp_project"]}),
            retry_config=_retry(self.settings),
            credential_provider=lambda: {"token": token, "expires_at": None},
        )

    async def _token(self) -> str:
        """The access token: a new one by the refresh token where there is that, the one given may have expired."""
        if "gcp_refresh_token" not in self.given:
            return self.given["gcp_access_token"]
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self.given["gcp_refresh_token"],
            "client_id": self.given["gcp_client_id"],
            "client_secret": self.given["gcp_client_secret"],
        }
        try:
            timeout = aiohttp.ClientTimeout(total=self.settings.request_timeout_s)
            connector = aiohttp.TCPConnector(resolver=HttpNames())
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
                async with session.post(self.settings.gcs_token_url or GOOGLE_TOKENS, data=form) as response:
                    answer: Any = await response.json(content_type=None) if response.ok else {}
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise UploadError(f"no access token: {type(error).__name__}", refused=False) from None
        if isinstance(answer, dict) and isinstance(token := answer.get("access_token"), str):
            return token
        refused = response.status < 500 and response.status not in AWAY
        raise UploadError(f"no access token: the token service answers {response.status}", refused=refused)


@dataclass(frozen=True, slots=True)
class _Azure:
    settings: CloudSettings
    given: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"{self._endpoint}/{self.given['azure_container_name']}"

    @property
    def _endpoint(self) -> str:
        """An emulator has the account in the path, Azure in the host's name."""
        account, endpoint = self.given["azure_account_name"], self.settings.azure_endpoint.rstrip("/")
        return f"{endpoint}/{account}" if endpoint else f"https://{account}.blob.core.windows.net"

    async def open(self) -> Store:
        return AzureStore(
            self.given["azure_container_name"],
            account_name=self.given["azure_account_name"],
            endpoint=self._endpoint,
            use_emulator=False,
            skip_signature=False,
            client_options=_client(self.settings, self._endpoint),
            retry_config=_retry(self.settings),
            credential_provider=self._credential,
        )

    def _credential(self) -> Any:
        if key := self.given.get("azure_account_key"):
            return {"access_key": key, "expires_at": None}
        return {"sas_token": self.given["azure_sas_token"], "expires_at": None}


_CLOUDS: Final = {"aws_": _Amazon, "gcp_": _Google, "azure_": _Azure}
