"""SIP addresses (RFC 3261 section 25.1), telephone numbers, and who diverted a call (RFC 5806).

Headers come from peers, so reading never raises: what is no address is None, what is no telephone number is
passed on as it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

import msgspec
import phonenumbers

_NAME_ADDR: Final = re.compile(r'\s*+(?:"((?:[^"\\]|\\.)*+)"\s*+|([^"<]*+))<([^>]*+)>(.*)', re.DOTALL)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::([0-9]{1,5}))?")
_VISUAL: Final = str.maketrans("", "", "-.() ")
_DIALLED: Final = re.compile(r"\+?[0-9]+")
_CALLED: Final = re.compile(r"\+?[*#]*[0-9][0-9*#]*")
"""A number, or what a PBX has behind a star or a hash."""
_LONGEST: Final = 32
"""Characters of what may be a telephone number: fifteen digits and all prefixes."""
_SCHEMES: Final = frozenset({"sip", "sips", "tel"})
SIP_SCHEMES: Final = ("sip:", "sips:")


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A `sip:`, `sips:` or `tel:` URI, with the display name where it stood in a header.

    `host` is empty for `tel:`; `port` is 0 where none is given. `params` are the URI's, names in lower case.
    """

    scheme: str
    user: str
    host: str = ""
    port: int = 0
    params: Mapping[str, str] = {}
    display: str = ""


def parse_address(text: str) -> Address | None:
    """Read a URI or a header value such as `"Ann" <sip:100@host;transport=tcp>;tag=1`; None where it is neither."""
    match = _NAME_ADDR.fullmatch(text)
    if match is None:
        # Without angle brackets, parameters belong to the header, not to the URI (RFC 3261 section 20.10).
        return _parse_uri(text.strip(), display="")
    display = _QUOTED_PAIR.sub(r"\1", match[1]) if match[1] is not None else match[2].strip()
    return _parse_uri(match[3].strip(), display=display)


def _parse_uri(uri: str, *, display: str) -> Address | None:
    scheme, colon, rest = uri.partition(":")
    scheme = scheme.lower()
    if not colon or scheme not in _SCHEMES:
        return None
    if scheme == "tel":
        number, *params = rest.split(";")
        return Address(scheme=scheme, user=unquote(number), params=_params(params), display=display) if number else None
    userinfo, at, place = rest.rpartition("@")
    hostport, *params = place.partition("?")[0].split(";")
    match = _HOST.fullmatch(hostport)
    if match is None or int(match[2] or 0) > 65535 or (at and not userinfo):
        return None
    # A user part may carry a password and, for numbers, parameters of its own (`100;phone-context=x:secret`).
    user = userinfo.partition(":")[0].partition(";")[0]
    return Address(
        scheme=scheme,
        user=unquote(user),
        host=match[1].strip("[]"),
        port=int(match[2] or 0),
        params=_params(params),
        display=display,
    )


def _params(parts: list[str]) -> dict[str, str]:
    split = (part.partition("=") for part in parts if part.strip())
    return {name.strip().lower(): unquote(value.strip()) for name, _, value in split}


def one_line(text: str) -> str:
    """Text that cannot end a header: spaces in place of line ends and of all else that cannot be shown."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def quoted(name: str) -> str:
    """A display name as it stands before an address, with a space after it (RFC 3261 section 25.1); none, nothing."""
    shown = one_line(name).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{shown}" ' if shown else ""


def user_part(uri: str) -> str:
    """Who is meant, as received: the user part of `uri`, or `uri` itself where it has none."""
    address = parse_address(uri)
    return address.user if address is not None and address.user else uri.strip()


def caller_uri(number: str, host: str) -> str:
    """Who calls, for From; without a number nobody in particular (RFC 3323 section 4.1.1.3)."""
    if host.count(":") > 1 and not host.startswith("["):
        host = f"[{host}]"
    return f"sip:{quote(number, safe='+*#')}@{host}" if number else "sip:anonymous@anonymous.invalid"


def target_of(text: str) -> str:
    """Whom `text` names that can be called: a SIP URI, or a number, also of a `tel:` URI; empty for nobody.

    Headers in a URI would be those of the INVITE, From and Route among them (RFC 3261 section 19.1.5).
    """
    if not text.isascii():
        return ""
    if text.lower().startswith(SIP_SCHEMES):
        return text if parse_address(text) and text.isprintable() and not set(text) & set(' ?<>"') else ""
    number = re.sub("^tel:", "", text, flags=re.IGNORECASE).translate(_VISUAL)
    return number if _CALLED.fullmatch(number) else ""


def normalise_number(number: str, region: str = "US") -> str:
    """E.164 without `+` where `number` parses as a telephone number in `region`; else `number` as it came.

    A number of full international length without `+` is tried as such too, since carriers send it both ways.
    """
    plain = number.translate(_VISUAL)
    if len(plain) > _LONGEST or _DIALLED.fullmatch(plain) is None:
        return number
    return _international(plain, region) or number


@lru_cache(4096)  # a call asks of the same numbers several times, and most calls are to the same few
def _international(plain: str, region: str) -> str:
    """E.164 without `+`; empty where it is no telephone number."""
    for candidate in (plain, f"+{plain}"):
        try:
            parsed = phonenumbers.parse(candidate, region)
        except phonenumbers.NumberParseException:
            continue
        # "Possible" alone would also take seven-digit local numbers, which are no E.164.
        if phonenumbers.is_possible_number_with_reason(parsed) == phonenumbers.ValidationResult.IS_POSSIBLE:
            return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164).lstrip("+")
    return ""


def number_of(uri: str, region: str = "US") -> str:
    """The number of a SIP or tel URI, normalised; the user part as received where it is no number."""
    return normalise_number(user_part(uri), region)


def diverting_number(headers: Iterable[tuple[str, str]], region: str = "US") -> str:
    """The number that diverted the call last: the topmost Diversion entry (RFC 5806 section 5). Empty without one."""
    for name, value in headers:
        if name.lower() == "diversion":
            address = parse_address(_first_entry(value))
            if address is not None and address.user:
                return normalise_number(address.user, region)
    return ""


def _first_entry(value: str) -> str:
    """A header's value up to the first comma that is neither quoted nor inside angle brackets."""
    quoted = bracketed = False
    for index, char in enumerate(value):
        if char == '"' and value[index - 1 : index] != "\\":
            quoted = not quoted
        elif not quoted and char in "<>":
            bracketed = char == "<"
        elif char == "," and not quoted and not bracketed:
            return value[:index]
    return value
