"""Bodies of requests: JSON objects, read whole, then checked against what the object takes."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from ..redact import storable_text
from .problem import Fault, Problem, invalid

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MOST: Final = 65536
"""Octets that a body may have."""
SLOWEST_S: Final = 30.0
"""How long a body may take."""
DEEPEST: Final = 32
"""How deep objects may lie in each other."""
_EXPECTED: Final = {
    "dict_type": "an object", "model_type": "an object", "model_attributes_type": "an object", "string_type": "text",
    "float_type": "a number", "float_parsing": "a number", "int_type": "an integer", "int_parsing": "an integer",
    "int_from_float": "an integer", "literal_error": "{expected}", "greater_than_equal": "at least {ge:.0f}",
    "less_than_equal": "at most {le:.0f}",
}  # fmt: skip
"""By pydantic's kind of error; what it takes of its context."""
_SHOWN: Final = 40
"""Characters of a value that is told back."""
Model = TypeVar("Model", bound=BaseModel)


class NotJson(Problem):
    """The body is no JSON: the one error that the reference puts into a wrapper."""

    def __init__(self) -> None:
        super().__init__(400, "cannot parse json. Check json for validity")

    def response(self) -> JSONResponse:
        """The reference's sample."""
        content = {"body": {"message": self.message, "errors": None}, "status": self.status}
        return JSONResponse(content, status_code=self.status)


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object that a request brings. Raises Problem: 400, 413, 415, or 422 for text no database takes."""
    _check_media_type(request.headers.get("content-type", "application/json"))
    found = _parsed(await _body(request))
    if not isinstance(found, dict):
        raise Problem(400, "no json object could be decoded")
    faults = [Fault(storable_text(name), fault) for name, value in found.items() if (fault := _fault([name, value]))]
    if faults:
        raise invalid(*faults)
    return found


async def _body(request: Request) -> bytes:
    """All of the body, of a client that sends it. Raises Problem."""
    body = bytearray()
    try:
        async with asyncio.timeout(SLOWEST_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST:
                    raise Problem(413, f"body longer than {MOST} octets")
    except TimeoutError:
        raise Problem(408, f"no whole body within {SLOWEST_S:g} s", headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise Problem(400, "the body ended early") from None  # nobody will read it, but nor is it an error of ours
    return bytes(body)


def checked(model: type[Model], body: Mapping[str, Any], known: Collection[str]) -> Model:
    """`body` as a `model`. Raises Problem 422 naming each field that is wrong, read-only (`known`) or unknown."""
    taken = {name: value for name, value in body.items() if name in model.model_fields}
    faults = [Fault(name, "read only" if name in known else "unknown field") for name in body if name not in taken]
    try:
        found = model.model_validate(taken)
    except ValidationError as error:
        faults += [Fault(".".join(map(str, one["loc"])), _said(one)) for one in error.errors()]
        raise invalid(*faults) from None
    if faults:
        raise invalid(*faults)
    return found


def _said(wrong: ErrorDetails) -> str:
    """What pydantic found, in JSON's words; a message of ours without what it puts before. Passwords are not told."""
    if wrong["type"] == "extra_forbidden":
        return "read only or unknown"
    if wrong["type"] not in _EXPECTED:
        return wrong["msg"].removeprefix("Value error, ")
    expected = f"expected {_EXPECTED[wrong['type']].format_map(wrong.get('ctx', {}))}"
    if "password" in wrong["loc"]:
        return expected
    found = wrong["input"]
    return f"found {(repr(found) if isinstance(found, str) else json.dumps(found))[:_SHOWN]}; {expected}"


def merged(before: Mapping[str, Any], patch: Mapping[str, Any], *, replace: bool) -> dict[str, Any]:
    """A nested object after a PATCH: record by record, null removes one; or all new (`nested_objects=replace`)."""
    if replace:
        return dict(patch)
    return {name: value for name, value in {**before, **patch}.items() if name not in patch or value is not None}


def _check_media_type(header: str) -> None:
    media_type = header.partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise Problem(415, "unsupported media type", [Fault(None, f"found {media_type!r}; expected application/json")])


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        raise NotJson from None


def _refuse(_constant: str) -> NoReturn:
    raise ValueError  # NaN and its like are Python's, not JSON's


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _fault(value: object) -> str:
    """Why a value cannot be kept; empty where it can."""
    for text, depth in _within(value, 0):
        if depth > DEEPEST:
            return f"deeper than {DEEPEST} levels"
        if "\0" in text or not _is_encodable(text):
            return "has a character that is none: U+0000, or half of a surrogate pair"
    return ""


def _within(value: object, depth: int) -> Iterator[tuple[str, int]]:
    """Every text in a value, names included, with how deep it lies; containers count as empty text."""
    if isinstance(value, str):
        yield value, depth
    elif isinstance(value, dict | list):
        yield "", depth
        if depth > DEEPEST:
            return
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        for part in parts:
            yield from _within(part, depth + 1)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
