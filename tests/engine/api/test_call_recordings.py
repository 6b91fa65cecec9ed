"""The recordings of a call, as a list like any other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flexml.engine.recording_log import KeptRecording, RecordingLog

from ...conftest import NewDatabase
from .served import Served, serving

FILE = "6a04a2e1-2f0e-4b5c-9a3c-07f9a1c1a001"
ORDER = {"calling_did": "15162065319", "called_did": "15162065318", "delay": 1000}
CLOUD = "https://bucket.s3.us-east-1.amazonaws.com/2.mp3"
ONE = KeptRecording(
    sid="1", call="", account="", recording_sid=FILE, file=FILE, url=f"http://e/f/{FILE}", format="wav", duration_s=3,
    status="completed",
)  # fmt: skip


@pytest.fixture(scope="module")
def recorded(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    """A call with three recordings, and another that has one."""
    with serving(new_database(tmp_path_factory.mktemp("recorded"))) as served:
        calls = [served.me.ask("POST", "/calls", ORDER).body for _ in range(2)]
        account = calls[0]["account_sid"]
        log = RecordingLog(served.database, served.clock)
        cloud = replace(ONE, sid="2", file="", url=CLOUD, format="mp3", status="uploading")
        failed = replace(ONE, sid="3", file="", recording_sid="", url="", status="failed", error="full", duration_s=0)
        mine = [replace(ONE, call=calls[0]["call_sid"]), cloud, failed, replace(cloud, status="completed")]
        for kept in [*mine, replace(ONE, sid="4", call=calls[1]["call_sid"])]:
            served.do(log.put(replace(kept, call=kept.call or calls[0]["call_sid"], account=account)))
            served.now += 1
        yield served, calls[0]["call_sid"]


def test_a_call_shows_its_recordings_and_no_others(recorded: tuple[Served, str]) -> None:
    served, call = recorded
    reply = served.me.get(f"/calls/{call.replace('-', '')}/recordings")
    assert (reply.status, reply.body["total"], reply.body["count"]) == (200, 3, 3)
    first, second, third = reply.body["items"]
    assert first == {
        "account_sid": first["account_sid"],
        "call_sid": call,
        "date_created": "2027-01-15T08:00:00.000Z",
        "duration": 3,
        "error": None,
        "file_sid": FILE,
        "format": "wav",
        "recording_sid": FILE,
        "status": "completed",
        "url": ONE.url,
    }
    assert (second["status"], second["file_sid"], second["url"]) == (
        "completed",
        None,
        CLOUD,
    )
    assert (third["status"], third["url"], third["recording_sid"], third["error"]) == ("failed", None, None, "full")


@pytest.mark.parametrize(
    ("query", "durations"),
    [
        ({"filter": "status eq completed"}, [3, 3]),
        ({"filter": "file_sid eq null and duration gt 0"}, [3]),
        ({"filter": "error like '%ul%'"}, [0]),
        ({"order": "date_created desc", "limit": 1}, [0]),
        ({"limit": 1, "offset": 2}, [0]),
    ],
)
def test_it_is_filtered_sorted_and_paged_as_any_list(
    recorded: tuple[Served, str], query: dict[str, object], durations: list[int]
) -> None:
    served, call = recorded
    reply = served.me.get(f"/calls/{call}/recordings", include_fields="duration", **query)
    assert (reply.status, reply.body["items"]) == (200, [{"duration": seconds} for seconds in durations])


def test_pages_follow_each_other(recorded: tuple[Served, str]) -> None:
    served, call = recorded
    pages = served.me.all_pages(f"/calls/{call}/recordings", limit=1)
    assert [item["status"] for page in pages for item in page] == ["completed", "completed", "failed"]


@pytest.mark.parametrize("query", [{"filter": "sid eq 1"}, {"order": "sid"}, {"limit": 1001}])
def test_what_it_has_not_is_400(recorded: tuple[Served, str], query: dict[str, object]) -> None:
    served, call = recorded
    assert served.me.get(f"/calls/{call}/recordings", **query).status == 400


def test_nobody_else_sees_them(recorded: tuple[Served, str]) -> None:
    served, call = recorded
    assert served.other.get(f"/calls/{call}/recordings").status == 404
    assert served.nobody.get(f"/calls/{call}/recordings").status == 401
