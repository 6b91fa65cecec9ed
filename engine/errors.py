"""Every error the engine raises on purpose.

    FlexmlError
    ├── ConfigError        the configuration cannot be used (one line for each problem)
    ├── DatabaseError      the database cannot be used: what it is, and what to do
    │   └── DatabaseAway   it does not answer now, and may later
    ├── InUseError         another engine is at work on what only one may use
    ├── DocumentError      a FlexML document cannot be executed: URL, line, verb, attribute, found, allowed
    ├── FetchError         an HTTP request got no usable answer
    ├── PromptError        audio cannot be fetched, decoded or spoken
    ├── StorageError       a file or container cannot be read or written
    │   ├── FileChangedError  a file is not any more what a content for it begins with
    │   └── UploadError    a cloud cannot be reached, or refuses a file
    ├── SdpError           a session description cannot be read
    │   └── NotAcceptable  it can be read, but nothing in it fits (488)
    ├── SipError           the SIP stack refused an operation
    ├── TrunkError         a trunk can take no call now: it is full, dead or not registered
    ├── OrderError         a call cannot be placed as it was ordered: the field, and what is wrong with it
    ├── ProvisioningError  an account or number cannot be added or changed so: the field, and what is wrong with it
    │   └── TakenError     what has to be one only is another's already
    ├── MediaError         a media worker refused a command, or is gone
    │   └── LegRefused     it does not open a leg so: another program may have the port
    ├── ElsewhereError     a call lives on another engine, which does not answer
    ├── LoadError          a load run cannot be made as it was asked for: what is missing, what to do
    └── CallEnded          the call ended while something was being done on it

Messages say what was found, what was expected, and where; URLs in them are without user name and password.
"""

from __future__ import annotations

from .redact import without_user_info


class FlexmlError(Exception):
    """The root of the tree."""


class ConfigError(FlexmlError):
    """The configuration cannot be used; `problems` holds one line for each thing wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DatabaseError(FlexmlError):
    """The database cannot be used as it is, or not by this version."""


class DatabaseAway(DatabaseError):
    """The database does not answer now; what was asked may work later."""


class InUseError(FlexmlError):
    """Another engine is at work on what only one may use."""


class DocumentError(FlexmlError):
    """A FlexML document cannot be executed. Nothing of it is."""

    def __init__(
        self,
        found: str,
        *,
        url: str = "",
        line: int = 0,
        verb: str = "",
        attribute: str = "",
        value: str = "",
        allowed: str = "",
    ) -> None:
        url = without_user_info(url)
        self.found, self.url, self.line = found, url, line
        self.verb, self.attribute, self.value, self.allowed = verb, attribute, value, allowed
        where = ", ".join(
            part for part in (url, f"line {line}" if line else "", verb, attribute and f"attribute {attribute}") if part
        )
        what = found + (f" {value!r}" if value else "") + (f"; allowed: {allowed}" if allowed else "")
        super().__init__(f"{where}: {what}" if where else what)


class FetchError(FlexmlError):
    """An HTTP request got no usable answer; `status` is 0 where there was none.

    `begun` is the status of an answer whose body did not come, could not be read, or is too long; 0 of any other.
    """

    def __init__(self, message: str, *, url: str, status: int = 0, begun: int = 0) -> None:
        self.url, self.status, self.begun = without_user_info(url), status, begun
        super().__init__(f"{self.url}: {message}")


class PromptError(FlexmlError):
    """Audio cannot be fetched, decoded or spoken; `url` says which of several it was, where that is known."""

    def __init__(self, message: str, *, url: str = "") -> None:
        super().__init__(message)
        self.url = url


class StorageError(FlexmlError):
    """A file or container cannot be read or written."""


class ContainerFullError(StorageError):
    """A container has no room for a file: `free` is how many octets it has room for."""

    def __init__(self, message: str, *, free: int) -> None:
        super().__init__(message)
        self.free = free


class FileChangedError(StorageError):
    """A file is not any more what a content that was made for it begins with."""


class UploadError(StorageError):
    """A cloud cannot be reached, or has understood the request and refuses the file: then it is `refused`."""

    def __init__(self, message: str, *, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


class SdpError(FlexmlError):
    """A session description cannot be read."""


class NotAcceptable(SdpError):
    """A session description can be read, but nothing in it fits: 488."""


class SipError(FlexmlError):
    """The SIP stack refused an operation."""


class TrunkError(FlexmlError):
    """A trunk can take no call now."""


class OrderError(FlexmlError):
    """A call cannot be placed as it was ordered; `field` names what is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


class ProvisioningError(FlexmlError):
    """An account or number cannot be added or changed so; `field` names what is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field, self.message = field, message


class TakenError(ProvisioningError):
    """A login or a phone number is there already; `sid` is that of the account or number that has it."""

    def __init__(self, field: str, message: str, sid: str) -> None:
        super().__init__(field, message)
        self.sid = sid


class ElsewhereError(FlexmlError):
    """A call lives on another engine, which does not answer."""


class MediaError(FlexmlError):
    """A media worker refused a command, or is gone."""


class LegRefused(MediaError):
    """A media worker does not open a leg as it was asked to: another program may have the port."""


class LoadError(FlexmlError):
    """A load run cannot be made as it was asked for."""


class CallEnded(FlexmlError):
    """The call ended while something was being done on it."""
