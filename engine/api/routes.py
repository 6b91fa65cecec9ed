"""Routes that every collection has alike: its list, its objects, and their update."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from ..records import Account
from ..tokens import Token
from .collection import Collection, Reader, Selection, chosen
from .description import FIELDS, LIST, NESTED, READING, WRITING, Listing, PathSid, a, body, errors
from .updates import changes

Asker = TypeVar("Asker", Account, Token)
Authenticate = Callable[[Request], Awaitable[Asker]]
"""Finds who asks: an Authentication by password, or by token."""
Save = Callable[[Asker, str, dict[str, Any]], Awaitable[None]]
Select = Callable[[Request], Selection]


def add_list(
    router: APIRouter,
    reader: Reader,
    authentication: Authenticate[Asker],
    collection: Collection,
    model: type[BaseModel],
    *,
    select: Select = lambda _: Selection(),
    parameters: list[dict[str, Any]] | None = None,
) -> None:
    """`GET` of the collection; `select` says which part of it a request means, by `parameters` of its own."""
    asking = Depends(authentication)

    async def listing(request: Request, who: Asker = asking) -> JSONResponse:
        return JSONResponse(await reader.many(collection, request, who, select(request)))

    router.add_api_route(
        "",
        listing,
        methods=["GET"],
        summary=f"List {collection.noun}s",
        operation_id=operation_id(router, "list", f"{collection.noun}s"),
        responses={200: {"model": Listing[model]}, **errors(400, 401)},
        openapi_extra={"parameters": [*LIST, *(parameters or [])]},
    )


def add_one(
    router: APIRouter,
    reader: Reader,
    authentication: Authenticate[Asker],
    collection: Collection,
    model: type[BaseModel],
) -> None:
    """`GET` of an object."""
    asking = Depends(authentication)

    async def one(request: Request, sid: PathSid, who: Asker = asking) -> JSONResponse:
        return JSONResponse(await reader.one(collection, request, who, sid))

    router.add_api_route(
        "/{sid}",
        one,
        methods=["GET"],
        summary=f"Show {a(collection.noun)}",
        operation_id=operation_id(router, "get", collection.noun),
        responses={200: {"model": model}, **errors(*READING)},
        openapi_extra={"parameters": FIELDS},
    )


def add_update(
    router: APIRouter,
    reader: Reader,
    authentication: Authenticate[Asker],
    collection: Collection,
    model: type[BaseModel],
    change: type[BaseModel],
    save: Save[Asker],
) -> None:
    """`PATCH` and `PUT` of an object without nested ones; `save` takes who asks, the object's sid, the changes."""
    asking = Depends(authentication)

    async def update(request: Request, sid: PathSid, who: Asker = asking) -> JSONResponse:
        chosen(request.query_params, collection)  # wrong now is better than wrong once it is done
        row = await reader.row(collection, who, sid)
        own_sid = row[collection.sid.name]
        await save(who, own_sid, await changes(request, change, collection.by_name))
        return JSONResponse(await reader.one(collection, request, who, own_sid))

    add_change(router, collection, model, change, update)


def add_change(
    router: APIRouter,
    collection: Collection,
    model: type[BaseModel],
    change: type[BaseModel],
    endpoint: Callable[..., Any],
    *,
    nested: bool = False,
    statuses: tuple[int, ...] = WRITING,
) -> None:
    """`PATCH` and `PUT` of an object by an endpoint of the collection's own."""
    for method, verb in (("PATCH", "Change"), ("PUT", "Replace")):
        partly = method == "PATCH"
        parameters = [*FIELDS, *([NESTED] if nested and partly else [])]
        router.add_api_route(
            "/{sid}",
            endpoint,
            methods=[method],
            summary=f"{verb} {a(collection.noun)}",
            operation_id=operation_id(router, verb.lower(), collection.noun),
            responses={200: {"model": model}, **errors(*statuses)},
            openapi_extra={"parameters": parameters, "requestBody": body(change, partly=partly)},
        )


def add_create(
    router: APIRouter,
    collection: Collection,
    model: type[BaseModel],
    create: type[BaseModel],
    endpoint: Callable[..., Any],
) -> None:
    """`POST` of an object by an endpoint of the collection's own; only the provider may."""
    router.add_api_route(
        "",
        endpoint,
        methods=["POST"],
        summary=f"Add {a(collection.noun)}",
        operation_id=operation_id(router, "create", collection.noun),
        responses={200: {"model": model}, **errors(400, 401, 403, 409, 413, 415, 422)},
        openapi_extra={"parameters": FIELDS, "requestBody": body(create)},
    )


def add_delete(router: APIRouter, collection: Collection, endpoint: Callable[..., Any]) -> None:
    """`DELETE` of an object by an endpoint of the collection's own; only the provider may."""
    router.add_api_route(
        "/{sid}",
        endpoint,
        methods=["DELETE"],
        status_code=204,
        response_class=Response,
        summary=f"Remove {a(collection.noun)}",
        operation_id=operation_id(router, "delete", collection.noun),
        responses=errors(401, 403, 404, 409),
    )


def operation_id(router: APIRouter, verb: str, noun: str) -> str:
    """What a route is called in the description: alike in both parts of the API, told apart by a prefix."""
    return f"{'core-' if router.prefix.startswith('/core/') else ''}{verb}-{noun}"
