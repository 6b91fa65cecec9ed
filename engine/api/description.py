"""What the API's description (OpenAPI) says of parameters, bodies and errors that all collections share."""

from __future__ import annotations

from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Path
from pydantic import BaseModel, Field

from .query.paging import DEFAULT, MOST

T = TypeVar("T")
PathSid = Annotated[str, Path(description="The sid of the object: a UUID, with its dashes or without.")]
"""A sid in the path of a request."""


class Around(BaseModel):
    """Where the neighbouring pages are; absent where there is none."""

    next: str | None = Field(None, description="URL of the page that follows.")
    previous: str | None = Field(None, description="URL of the page before.")


class Listing(BaseModel, Generic[T]):
    """A page of a list."""

    count: int = Field(description="How many objects are on this page.")
    has_more: bool = Field(description="Whether there are others, before this page or after it.")
    items: list[T] = Field(description="The objects.")
    limit: int = Field(description="How many there could have been.")
    offset: int = Field(description="How many were left out before these.")
    pagination: Around = Field(description="Where the others are.")
    total: int | None = Field(description="How many there are in all; null where that is not counted.")


class FaultObject(BaseModel):
    """One thing that is wrong with a request."""

    field: str | None = Field(description="Which field or parameter; null where it is none's.")
    message: str = Field(description="What was found, and what was expected.")
    reference_sid: str | None = Field(None, description="The object that stands in the way, where there is one.")


class ErrorObject(BaseModel):
    """Why a request was not carried out."""

    message: str = Field(description="The kind of error.")
    errors: list[FaultObject] = Field(description="Everything that is wrong.")


_MEANINGS: Final = {
    400: "The body is no JSON object, or a query parameter cannot be used.",
    401: "Nobody known asks.",
    403: "Only the provider's tokens may do this.",
    404: "There is no such object of whoever asks.",
    408: "The body did not come in time.",
    409: "What is asked does not fit how the object is now.",
    412: "The content is not the one that the request is about.",
    413: "The body is too long, or its container has no room for it.",
    415: "The body is of another media type than application/json.",
    416: "None of the octets that are asked for are there.",
    422: "A field of the body is unknown, read-only, or not what it should be.",
    503: "The engine is stopping, or its database does not answer.",
    507: "The disk is full.",
}
READING: Final = (400, 401, 404)
WRITING: Final = (400, 401, 404, 413, 415, 422)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of a route; 503 is one of each, and 408 of those that take JSON."""
    given = {*statuses, 503, *([408] if 415 in statuses else [])}
    return {status: {"model": ErrorObject, "description": _MEANINGS[status]} for status in sorted(given)}


def a(noun: str) -> str:
    """The noun with its article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    """A parameter of the query."""
    return {"name": name, "in": "query", "required": False, "description": description,
            "schema": {"type": "string", **schema}}  # fmt: skip


FIELDS: Final = [
    parameter("include_fields", "Fields to show and no others, by comma."),
    parameter("exclude_fields", "Fields to leave out, by comma."),
]
LIST: Final = [
    parameter("limit", "How many objects at most.", type="integer", minimum=1, maximum=MOST, default=DEFAULT),
    parameter("offset", "How many to leave out before them.", type="integer", minimum=0, default=0),
    parameter("order", "What to sort by: `field`, `field asc` or `field desc`, several by comma."),
    parameter("filter", 'Which objects: `field operator value`, several by `and`: `url ne null and method eq "GET"`.'),
    *FIELDS,
]
AFTER: Final = [
    parameter("after", "Only what follows the object of this sid; for lists without a total."),
    parameter("before", "Only what precedes the object of this sid; for lists without a total."),
]
NESTED: Final = parameter(
    "nested_objects", "With `replace`, nested objects are replaced whole instead of record by record.",
    enum=["replace"],
)  # fmt: skip


def body(model: type[BaseModel], *, partly: bool = False) -> dict[str, Any]:
    """The request body of a route; `partly`, as in PATCH, no field has to be there."""
    schema = model.model_json_schema()
    schema = _inlined(schema, schema.pop("$defs", {}))
    if partly:
        schema.pop("required", None)
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """A schema with what it refers to in place: it is no document of its own here."""
    if isinstance(schema, list):
        return [_inlined(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: value for name, value in schema.items() if name != "$ref"}
    if "$ref" in schema:
        found = {**definitions[schema["$ref"].rpartition("/")[2]], **found}
    return {name: _inlined(value, definitions) for name, value in found.items()}
