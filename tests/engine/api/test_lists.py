"""Lists: pages, order, filters and fields, the same for every collection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flexml.engine.records import CallRecord, DidEntry

from ...conftest import NewDatabase
from .served import ACCOUNTS, DIDS, NOW, Reply, Served, serving

MORE = [DidEntry(phonenumber=f"1516206{number}", account="flexml_user_123") for number in range(6001, 6007)]
MINE = ["15162065319", *(did.phonenumber for did in MORE)]
ORDER = {"called_did": "2", "calling_did": "1", "method": "GET", "url": "http://a/", "attributes": {"n": "1"}}


@pytest.fixture(scope="module")
def lists(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Seven numbers and twelve calls that are over, two of each made at the same time, beside another account's."""
    with serving(new_database(tmp_path_factory.mktemp("lists"))) as served:
        served.do(served.database.sync_config(ACCOUNTS, [*DIDS, *MORE]))
        for index in range(12):
            served.do(served.database.save_call(call(served, "flexml_user_123", index)))
            served.do(served.database.save_call(call(served, "other", index)))
        yield served


def call(served: Served, login: str, index: int) -> CallRecord:
    account = served.directory.of_login(login)
    assert account is not None
    return CallRecord(
        sid=f"{index:08}-0000-4000-8000-{len(login):012}",
        account=account.sid,
        direction="outbound",
        from_number="1",
        to_number=str(index),
        state="ended",
        started=NOW,
        created=NOW + index // 2,
        ended=NOW + 100,
        status="busy" if index % 2 else "completed",
        order=ORDER,
    )


def numbers(reply: Reply) -> list[str]:
    assert reply.status == 200, reply.body
    return [did["phonenumber"] for did in reply.body["items"]]


def test_text_is_sorted_by_code_points(lists: Served) -> None:
    for index, name in enumerate(["b", "_", "a", "A", "B", "é"]):
        waiting = replace(call(lists, "other", 100 + index), state="scheduled", due=NOW + 1e6, to_number=name)
        lists.do(lists.database.save_call(waiting))
    found = lists.other.get("/calls", order="called_did desc, delay").body["items"]
    assert [one["called_did"] for one in found] == ["é", "b", "a", "_", "B", "A"]
    found = lists.other.get("/calls", order="called_did", filter="called_did gt B").body["items"]
    assert [one["called_did"] for one in found] == ["_", "a", "b", "é"]


def test_pages_by_offset_cover_the_list_once_and_lead_back(lists: Served) -> None:
    pages = lists.me.all_pages("/dids", limit=3, exclude_fields="url")
    assert [[did["phonenumber"] for did in page] for page in pages] == [MINE[:3], MINE[3:6], MINE[6:]]
    assert all("url" not in did for page in pages for did in page), "what was asked for stays in the links"
    middle = lists.me.get("/dids", limit=3, offset=3).body
    assert (middle["count"], middle["limit"], middle["offset"], middle["total"]) == (3, 3, 3, 7)
    assert middle["has_more"] is True
    assert numbers(lists.me.get(middle["pagination"]["previous"])) == MINE[:3]
    last = lists.me.get("/dids", limit=3, offset=6).body
    assert last["pagination"].keys() == {"previous"}
    assert lists.me.get("/dids", offset=100).body["items"] == []


def test_a_list_that_fits_has_no_pages_around_it(lists: Served) -> None:
    body = lists.me.get("/dids").body
    assert (body["count"], body["has_more"], body["limit"], body["offset"]) == (7, False, 10, 0)
    assert (body["pagination"], body["total"]) == ({}, 7)


def test_links_are_complete_urls_as_in_the_reference(lists: Served) -> None:
    body = lists.me.get("/dids", limit=2, order="phonenumber desc", offset=2).body
    base = "http://{}:{}/flexml/v1/dids?limit=2&order=phonenumber+desc&offset=".format(*lists.address)
    assert body["pagination"] == {"next": f"{base}4", "previous": f"{base}0"}


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("phonenumber", MINE),
        ("phonenumber asc", MINE),
        ("phonenumber desc", MINE[::-1]),
        ("url,phonenumber desc", [MINE[0], *MINE[:0:-1]]),  # what has none comes last
        ("url desc, phonenumber", MINE),
    ],
)
def test_order(lists: Served, order: str, expected: list[str]) -> None:
    assert numbers(lists.me.get("/dids", order=order)) == expected


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ('phonenumber like "%6001"', ["15162066001"]),
        ("url ne null", ["15162065319"]),
        ('phonenumber in ("15162066001", 15162066002, 15162065399)', ["15162066001", "15162066002"]),
        ('in_country_format eq "(516) 206-5319"', ["15162065319"]),
        ("country_code ne USA", []),
    ],
)
def test_filters_find_among_what_is_the_accounts(lists: Served, filter: str, expected: list[str]) -> None:
    reply = lists.me.get("/dids", filter=filter)
    assert (numbers(reply), reply.body["total"]) == (expected, len(expected))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"include_fields": "phonenumber,url"}, {"phonenumber", "url"}),
        ({"include_fields": "phonenumber, url", "exclude_fields": "url"}, {"phonenumber"}),
        ({"exclude_fields": "account_sid,did_sid,country_code,method,status_callback_method,status_callback_url"},
         {"in_country_format", "international_format", "phonenumber", "url"}),
    ],
)  # fmt: skip
def test_fields(lists: Served, query: dict[str, str], expected: set[str]) -> None:
    did = lists.me.get("/dids", **query).body["items"][0]
    assert did.keys() == expected
    sid = lists.me.get("/dids").body["items"][0]["did_sid"]
    assert lists.me.get(f"/dids/{sid}", **query).body == did


DID_FIELDS = (
    "account_sid, country_code, did_sid, in_country_format, international_format, method, phonenumber, "
    "status_callback_method, status_callback_url, url"
)
REFUSED = [
    ({"limit": "1001"}, "limit", "found '1001'; expected an integer from 1 to 1000"),
    ({"limit": "0"}, "limit", "found '0'; expected an integer from 1 to 1000"),
    ({"limit": "ten"}, "limit", "found 'ten'; expected an integer from 1 to 1000"),
    ({"offset": "-1"}, "offset", "found '-1'; expected an integer from 0 to 2147483647"),
    ({"offset": "9" * 30}, "offset", f"found '{'9' * 30}'; expected an integer from 0 to 2147483647"),
    ({"order": "nothing"}, "order", f"cannot order by 'nothing'; expected one of {DID_FIELDS}"),
    ({"order": "url up"}, "order", "found 'url up'; expected url, url asc or url desc"),
    ({"order": "url,"}, "order", f"cannot order by ''; expected one of {DID_FIELDS}"),
    ({"filter": "nothing eq 1"}, "filter", f"unknown field 'nothing' (there are {DID_FIELDS}) at character 1"),
    ({"filter": "url eq"}, "filter", "found the end; expected a value at character 7"),
    ({"filter": "url bit 1"}, "filter",
     "url does not take bit; it takes eq, ge, gt, ilike, in, le, like, lt, ne, notin at character 5"),
    ({"include_fields": "url,nothing"}, "include_fields", f"unknown field 'nothing'; expected any of {DID_FIELDS}"),
    ({"exclude_fields": "nothing"}, "exclude_fields", f"unknown field 'nothing'; expected any of {DID_FIELDS}"),
    ({"after": "x"}, "after", "this list has a total; use offset"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "field", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_query_that_cannot_be_is_400_naming_it(
    lists: Served, query: dict[str, str], field: str, message: str
) -> None:
    reply = lists.me.get("/dids", **query)
    assert (reply.status, reply.body["message"]) == (400, f"bad {field}")
    assert reply.body["errors"] == [{"field": field, "message": message, "reference_sid": None}]


def sids(page: list[dict[str, str]]) -> list[int]:
    return [int(call["call_sid"][:8]) for call in page]


def test_calls_that_are_over_have_no_total_and_pages_by_sid(lists: Served) -> None:
    first = lists.me.get("/calls", state="ended", limit=5).body
    assert (first["total"], first["offset"], first["has_more"]) == (None, 0, True)
    assert "after=" in first["pagination"]["next"]
    pages = lists.me.all_pages("/calls", state="ended", limit=5)
    assert [sids(page) for page in pages] == [[11, 10, 9, 8, 7], [6, 5, 4, 3, 2], [1, 0]]
    last = lists.me.get("/calls", state="ended", limit=5, after=pages[1][-1]["call_sid"]).body
    assert last["pagination"].keys() == {"previous"}
    middle = lists.me.get(last["pagination"]["previous"]).body
    assert (sids(middle["items"]), middle["pagination"].keys()) == ([6, 5, 4, 3, 2], {"next", "previous"})
    again = lists.me.get(middle["pagination"]["previous"]).body
    assert (sids(again["items"]), again["pagination"].keys()) == ([11, 10, 9, 8, 7], {"next"})


def test_pages_by_sid_the_other_way_round(lists: Served) -> None:
    pages = lists.me.all_pages("/calls", state="all", limit=7, order="date_created asc")
    assert [sids(page) for page in pages] == [list(range(7)), list(range(7, 12))]


def test_pages_of_another_order_go_by_offset(lists: Served) -> None:
    pages = lists.me.all_pages("/calls", state="all", limit=7, order="called_did")
    assert [len(page) for page in pages] == [7, 5]
    assert len({call["call_sid"] for page in pages for call in page}) == 12


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"state": "gone"}, "state"),
        ({"state": "all", "after": "nothing"}, "after"),
        ({"state": "all", "after": "00000001-0000-4000-8000-000000000005"}, "after"),  # the other account's
        ({"state": "all", "before": "00000001-0000-4000-8000-000000000015", "order": "called_did"}, "order"),
        ({"state": "all", "before": "00000001-0000-4000-8000-000000000015", "offset": "3"}, "before"),
    ],
)
def test_what_calls_cannot_be_asked(lists: Served, query: dict[str, str], field: str) -> None:
    reply = lists.me.get("/calls", **query)
    assert (reply.status, reply.body["errors"][0]["field"]) == (400, field)


def test_calls_tell_more_where_it_is_asked_for(lists: Served) -> None:
    query = {"state": "ended", "filter": 'status eq busy and attributes.n eq 1 and date_ended gt "2020-01-01"'}
    found = lists.me.get("/calls", **query, include_fields="call_sid,status,direction,date_ended,state").body
    assert sids(found["items"]) == [11, 9, 7, 5, 3, 1]
    told = {name: value for name, value in found["items"][0].items() if name != "call_sid"}
    ended = {"date_ended": "2027-01-15T08:01:40.000Z"}
    assert told == {"status": "busy", "direction": "outbound", "state": "ended", **ended}
    assert "status" not in lists.me.get("/calls", **query).body["items"][0]


LONG = {"ticket": "7", "n": "x" * 2000, "of": {"tier": "gold"}}
BY_ATTRIBUTES = {
    "attributes.ticket eq 7": True,
    "attributes.ticket ne 7": False,
    "attributes.ticket notin (7, 8)": False,
    "attributes.ticket ne null": True,
    'attributes.n ilike "XX%"': True,
    'attributes.n like "%y%"': False,
    "attributes.of.tier eq gold": True,
    "attributes.of.nothing eq null": True,
}


@pytest.mark.parametrize("text", BY_ATTRIBUTES)
@pytest.mark.parametrize("size", ["long", "short"])
def test_filters_see_attributes_that_are_too_long_for_an_index(lists: Served, text: str, size: str) -> None:
    attributes = LONG if size == "long" else LONG | {"n": "xx"}
    record = call(lists, "other", 60 + len(size))
    lists.do(lists.database.save_call(replace(record, order=ORDER | {"attributes": attributes})))
    found = lists.other.get("/calls", state="ended", filter=f"call_sid eq {record.sid} and {text}").body["items"]
    assert [one["call_sid"] for one in found] == [record.sid] * BY_ATTRIBUTES[text]
    if found:
        assert found[0]["attributes"] == attributes


def test_scheduled_calls_by_what_is_left_of_their_delay(lists: Served) -> None:
    record = call(lists, "flexml_user_123", 50)
    for index, left in enumerate((100.4, 60.0, -0.5)):
        scheduled = replace(record, sid=f"{50 + index:08}{record.sid[8:]}", state="scheduled", due=NOW + left)
        lists.do(lists.database.save_call(scheduled))
    body = lists.me.get("/calls").body
    assert ([call["delay"] for call in body["items"]], body["total"]) == ([60, 100], 2)
    assert sids(lists.me.get("/calls", filter="delay eq 100").body["items"]) == [50]
    assert sids(lists.me.get("/calls", filter="delay lt 100").body["items"]) == [51]
