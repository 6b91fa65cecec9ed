"""Pages of lists (reference, section Pagination): which part is wanted, in which order, and where the others are.

A list is countable, or changes too fast for its number to mean anything. The latter has `after` and `before`, which
name an object of the list; they go by the time of creation, so `order` may only turn that round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request

from ..problem import bad_query
from .fields import OBJECT, Field

DEFAULT: Final = 10
MOST: Final = 1000
FURTHEST: Final = 2**31 - 1


class Order(NamedTuple):
    """Sort by a field."""

    field: Field
    descending: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The part of a list that is wanted. `after` and `before` are sids, at most one of them is set."""

    limit: int
    offset: int
    order: tuple[Order, ...]
    after: str = ""
    before: str = ""


def read_page(
    params: Mapping[str, str], fields: Mapping[str, Field], default: Sequence[Order], *, uncountable: bool = False
) -> Page:
    """The page that the query asks for; lists are in `default` order otherwise. Raises Problem 400."""
    page = Page(
        limit=_integer(params, "limit", DEFAULT, 1, MOST),
        offset=_integer(params, "offset", 0, 0, FURTHEST),
        order=_order(params.get("order", ""), fields) or tuple(default),
    )
    for name in ("after", "before"):
        if not params.get(name):
            continue
        if not uncountable:
            raise bad_query(name, "this list has a total; use offset")
        if len(page.order) != 1 or page.order[0].field is not default[0].field:
            raise bad_query("order", f"with {name}, expected {default[0].field.name} asc or desc")
        if page.after or page.offset:
            raise bad_query(name, "expected one of after, before and offset")
        page = replace(page, **{name: params[name]})
    return page


def _integer(params: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = params.get(name, "")
    if not text:
        return default
    digits = text.removeprefix("-")
    value = int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 15 else -1
    if not least <= value <= most:
        raise bad_query(name, f"found {text[:40]!r}; expected an integer from {least} to {most}")
    return value


def _order(text: str, fields: Mapping[str, Field]) -> tuple[Order, ...]:
    return tuple(_one_order(part, fields) for part in text.split(",")) if text.strip() else ()


def _one_order(text: str, fields: Mapping[str, Field]) -> Order:
    name, *direction = text.split() or [""]
    field = fields.get(name)
    if field is None or field.kind is OBJECT:
        takes = ", ".join(name for name, one in fields.items() if one.kind is not OBJECT)
        raise bad_query("order", f"cannot order by {name[:40]!r}; expected one of {takes}")
    if direction not in ([], ["asc"], ["desc"]):
        raise bad_query("order", f"found {text.strip()[:40]!r}; expected {name}, {name} asc or {name} desc")
    return Order(field, descending=direction == ["desc"])


# ---- where the other pages are --------------------------------------------------------------------------------


def by_offset(request: Request, page: Page, count: int, *, more: bool) -> dict[str, str]:
    """URLs of the pages around this one, by how many objects to leave out."""
    found: dict[str, str] = {}
    if more:
        found["next"] = _url(request, page, offset=page.offset + count)
    if page.offset:
        found["previous"] = _url(request, page, offset=max(0, page.offset - page.limit))
    return found


def by_sid(request: Request, page: Page, sids: Sequence[str], *, more: bool) -> dict[str, str]:
    """URLs of the pages around this one, by its last object and its first."""
    if not sids:
        return {}
    found: dict[str, str] = {}
    if page.before or more:
        found["next"] = _url(request, page, after=sids[-1], offset=0)
    if more if page.before else (page.after or page.offset):
        found["previous"] = _url(request, page, before=sids[0], offset=0)
    return found


def _url(request: Request, page: Page, **place: str | int) -> str:
    """This request's URL with another place in it; everything else that was asked for stays."""
    kept = [(name, value) for name, value in QueryParams(request.scope["query_string"]).multi_items()
            if name not in {"limit", "offset", "after", "before"}]  # fmt: skip
    query = urlencode([("limit", page.limit), *kept, *place.items()])
    host = request.headers.get("host", "localhost")
    return f"{request.scope['scheme']}://{host}{quote(request.scope['path'])}?{query}"
