"""Read a SIP message's text as far as the engine needs it: start line, headers, body (RFC 3261 section 7).

pjsip has parsed and checked the message already; this only takes fields out of what it passed on. It never
raises: what it cannot make sense of is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

COMPACT: Final = {
    "call-id": "i", "contact": "m", "from": "f", "to": "t", "via": "v", "content-type": "c",
    "content-length": "l", "subject": "s", "supported": "k", "content-encoding": "e", "session-expires": "x",
}  # fmt: skip
"""Header names that have a compact form (RFC 3261 section 7.3.3, RFC 4028)."""

_TAG: Final = re.compile(r";\s*tag\s*=\s*([^\s;,]+)", re.IGNORECASE)

KEYS: Final = "0123456789*#ABCD"
_EVENT_KEYS: Final = {str(number): key for number, key in enumerate(KEYS)}
_SIGNAL: Final = re.compile(r"^\s*signal\s*=\s*(\S+)\s*$", re.IGNORECASE | re.MULTILINE)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message taken apart. `headers` are in the order received, names as received."""

    start_line: str
    headers: tuple[tuple[str, str], ...]
    body: str

    @property
    def request_uri(self) -> str:
        """The Request-URI of a request; empty for a response."""
        parts = self.start_line.split(" ")
        return parts[1] if len(parts) == 3 and parts[2].startswith("SIP/") else ""

    @property
    def status(self) -> int:
        """The status code of a response; 0 for a request."""
        parts = self.start_line.split(" ", 2)
        return int(parts[1]) if parts[0].startswith("SIP/") and len(parts) > 1 and parts[1].isdigit() else 0

    @property
    def reason(self) -> str:
        """The reason phrase of a response; empty for a request."""
        return self.start_line.split(" ", 2)[-1].strip() if self.status else ""

    def header(self, name: str) -> str:
        """The first value of header `name`, found by its long or its compact form; empty where there is none."""
        wanted = name.lower()
        forms = (wanted, COMPACT.get(wanted))
        for found, value in self.headers:
            if found.lower() in forms:
                return value
        return ""

    @property
    def retry_after_s(self) -> int:
        """The seconds of Retry-After (RFC 3261 section 20.33); 0 where it says none."""
        asked = self.header("retry-after").split("(")[0].split(";")[0].strip()
        return int(asked) if asked.isascii() and asked.isdigit() else 0

    @property
    def to_tag(self) -> str:
        """The tag in To, which tells the dialogs of a forked INVITE apart; empty where there is none."""
        found = _TAG.search(self.header("to").rpartition(">")[2])
        return found[1] if found else ""

    @property
    def sdp(self) -> str | None:
        """The session description in the body, if that is what it is (also as one part of a multipart body)."""
        kind = self.header("content-type").lower()
        if "application/sdp" in kind and self.body.strip():
            return self.body
        if kind.startswith("multipart/"):
            for part in self.body.replace("\r\n", "\n").split("\n--"):
                head, _, text = part.partition("\n\n")
                if "application/sdp" in head.lower():
                    return text
        return None

    @property
    def key(self) -> str:
        """The key that an INFO tells of, by itself (`application/dtmf`) or as a Signal (`application/dtmf-relay`).

        Signals above 9 are the events of RFC 4733 section 3.2. Empty where there is none.
        """
        if not self.start_line.startswith("INFO "):
            return ""
        kind = self.header("content-type").partition(";")[0].strip().lower()
        if kind == "application/dtmf-relay":
            found = _SIGNAL.search(self.body)
            key = "" if found is None else _EVENT_KEYS.get(found[1], found[1].upper())
        else:
            key = self.body.strip().upper() if kind == "application/dtmf" else ""
        return key if len(key) == 1 and key in KEYS else ""


def parse(text: str) -> Message:
    """Take a message's text apart, unfolding continuation lines."""
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    start_line, *lines = head.split("\n")
    if "\n " in head or "\n\t" in head:
        lines = _unfolded(lines)
    fields = [line.partition(":") for line in lines]
    headers = tuple([(name.strip(), value.strip()) for name, colon, value in fields if colon])
    return Message(start_line=start_line, headers=headers, body=body)


def _unfolded(lines: Iterable[str]) -> list[str]:
    """The lines with those that go on with another joined to it."""
    unfolded: list[str] = []
    for line in lines:
        if line[:1] in {" ", "\t"} and unfolded:
            unfolded[-1] += " " + line.strip()
        else:
            unfolded.append(line)
    return unfolded
