"""The documents of the shared data, and what their README says must happen, as far as this version goes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from flexml.engine.flexml import interpreter
from flexml.engine.flexml.interpreter import Application

from ..virtual_time import run
from .fakes import BASE, FakeCall, FakeFetcher

SAMPLES = Path(__file__).parents[4] / "shared" / "data" / "flexml"
HOST = "http://app.example"
END = b"<Response/>"
SORRY = ["answer", "error message", "hang up"]

pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"no sample documents at {SAMPLES}")


@dataclass(frozen=True)
class Case:
    """What is typed when, and what must come of it. `done` leaves out the `silence` after each play."""

    name: str
    done: list[str]
    keys: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    asked: list[str] = field(default_factory=list[str])
    told: dict[str, object] = field(default_factory=dict[str, object])
    noted: list[str] = field(default_factory=list[str])
    ended: float | None = None


def typed(digits: str, start: float) -> list[tuple[float, str]]:
    return [(start + 0.2 * index, digit) for index, digit in enumerate(digits)]


PIN = "play man: Press star at any time, then your pin and the pound key. This prompt is long on purpose, so that a key can stop it."  # noqa: E501
CASES = [
    Case("02_empty_elements", ["answer", "hang up"], ended=0),
    Case(
        "03_spaces_in_urls",
        ["answer", "play man: Please press a key.", "hang up"],
        keys=typed("7", 1),
        asked=[f"POST {HOST}/digits?note=please%20press%20a%20key"],
        told={"Digits": "7"},
        ended=1,
    ),
    Case(
        "04_unknown_attribute_and_voice",
        ["answer", "play man: Good morning.", "hang up"],
        noted=["unknown voice 'female'", "unknown attribute mood"],
    ),
    Case(
        "05_star_as_digit",
        ["answer", "play man: Press star.", "hang up"],
        keys=typed("*", 1),
        asked=[f"POST {HOST}/digits"],
        told={"Digits": "*", "FinishKey": None},
    ),
    Case(
        "06_start_digits",
        ["answer", PIN, "hang up"],
        keys=typed("12*34#", 1),
        asked=[f"POST {HOST}/pin"],
        told={"Digits": "*34", "FinishKey": "#"},
        ended=2,
    ),
    Case(
        "07_pause_inside_gather",
        ["answer", "play man: First.", "hang up"],
        keys=typed("5", 4),
        asked=[f"POST {HOST}/digits"],
        told={"Digits": "5"},
        ended=4,
    ),
    Case(
        "09_preanswer_busy",
        [
            "early media",
            "play man: Sorry, nobody can take your call.",
            "play man: Goodbye.",
            "reject 600 Busy Everywhere",
        ],
        ended=10,
    ),
    Case("13_duplicate_attribute", SORRY, noted=["line 2: malformed XML"]),
    Case(
        "14_bad_value",
        SORRY,
        noted=["line 3, Gather, attribute numDigits: value 'two'; allowed: integer of at least 1"],
    ),
    Case(
        "15_store_and_override",
        ["answer", "hang up"],
        asked=[f"GET {HOST}/next"],
        told={"Storage_campaign": "spring 24"},
    ),
    Case("16_reject_608", ["reject 608 Rejected"]),
    Case("19_text_only", ["answer", "hang up"]),
    Case("20_entities", SORRY, noted=["a DTD; allowed: documents without a DTD"]),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_must_happen_happens(case: Case) -> None:
    body = (SAMPLES / f"{case.name}.xml").read_bytes()
    call = FakeCall(keys=case.keys)
    fetcher = FakeFetcher({BASE: body, **{asked.partition(" ")[2]: END for asked in case.asked}})

    async def main() -> float:
        await interpreter.run(call, fetcher, Application(url=BASE), call.facts)
        return asyncio.get_running_loop().time()

    ended = run(main())

    assert [what for what in call.done if what != "silence"] == case.done
    assert fetcher.asked[1:] == case.asked
    assert fetcher.requests[-1].data.items() >= case.told.items()
    assert all(any(noted in note for note in call.notes) for noted in case.noted)
    assert case.ended is None or ended == pytest.approx(case.ended)


def test_the_override_and_the_reason_reach_the_call() -> None:
    override, reject = FakeCall(), FakeCall()
    for name, call in (("15_store_and_override", override), ("16_reject_608", reject)):
        fetcher = FakeFetcher({BASE: (SAMPLES / f"{name}.xml").read_bytes(), f"{HOST}/next": END})
        run(interpreter.run(call, fetcher, Application(url=BASE), call.facts))

    assert override.callback == (f"{HOST}/status/other", "GET")
    assert reject.headers == {"Call-Info": '"This number is on a block list"'}
