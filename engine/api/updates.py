"""PATCH and PUT, alike for every collection (reference, section Request Methods).

PATCH sets the fields that are there; PUT sets all that can be set, those that are missing to their defaults.
"""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from pydantic import BaseModel

from .body import checked, read_object
from .problem import bad_query


async def changes(request: Request, model: type[BaseModel], known: Names[str]) -> dict[str, Any]:
    """What a request changes of an object without nested ones. `known` are all its fields. Raises Problem."""
    replaces_nested(request.query_params)
    body = await read_object(request)
    return checked(model, body, known).model_dump(exclude_unset=request.method == "PATCH")


def replaces_nested(params: Mapping[str, str]) -> bool:
    """Whether nested objects are replaced whole. Raises Problem 400."""
    wanted = params.get("nested_objects", "")
    if wanted not in {"", "replace"}:
        raise bad_query("nested_objects", f"found {wanted[:40]!r}; expected replace")
    return bool(wanted)
