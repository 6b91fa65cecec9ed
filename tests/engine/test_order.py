"""Orders for calls: what becomes of their attributes, and that they come back from the database as they were."""

from __future__ import annotations

import pytest
from flexml.engine.errors import OrderError
from flexml.engine.order import CallOrder


def order(**attributes: object) -> CallOrder:
    return CallOrder(called_did="15550002001", calling_did="15550001000", attributes=attributes)


def test_attributes_become_name_and_headers_and_others_are_kept() -> None:
    one = order(cnam="Desk", **{"sip_header_X-Queue": " gold\r\nRoute: <sip:evil> ", "ticket": 7})
    assert one.name == "Desk"
    assert one.headers == [("X-Queue", "gold Route: <sip:evil>")], "one line, whatever it holds"
    assert CallOrder(**one.as_row()) == one


@pytest.mark.parametrize("name", ["Route", "", "X-a b", "X-ä", "Y-X-a", "X-a\r\nVia"])
def test_a_header_that_is_no_x_header_is_refused(name: str) -> None:
    with pytest.raises(OrderError) as refused:
        _ = order(**{f"sip_header_{name}": "1"}).headers
    assert refused.value.field == f"attributes.sip_header_{name}"
