"""What the interpreter puts on the timeline: requests with their timing, verbs with how they ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from flexml.engine.flexml import interpreter
from flexml.engine.flexml.fetch import Cookies, Fetched
from flexml.engine.flexml.interpreter import Application

from ..virtual_time import run
from .fakes import BASE, FakeCall, FakeFetcher

HOST = "http://app.example"
APPLICATION = Application(url=BASE)


def notes_of(pages: Mapping[str, Any], call: FakeCall | None = None) -> list[str]:
    call = call or FakeCall()
    run(interpreter.run(call, FakeFetcher(pages), APPLICATION, call.facts))
    return call.notes


@pytest.mark.parametrize(
    ("page", "note"),
    [
        (b"<Response/>", f"> POST url={BASE} status=200 first_ms=0.0 octets=11 total_ms=0.0"),
        ((500, b"oops"), f"> POST url={BASE} status=500 first_ms=0.0 octets=4 total_ms=0.0"),
        (
            Fetched(url=f"{HOST}/x", status=200, body=b"<Response/>", first_ms=12.5, retries=1, redirects=2),
            f"> POST url={BASE} status=200 first_ms=12.5 octets=11 retries=1 redirects=2 total_ms=0.0",
        ),
        (None, f"> POST url={BASE} error={BASE}: connection refused total_ms=0.0"),
    ],
)
def test_a_request_is_noted_with_its_answer_and_timing(page: object, note: str) -> None:
    assert notes_of({BASE: page})[0] == note


class SlowFetcher(FakeFetcher):
    """Answers after 3 s."""

    async def fetch(
        self, url: str, method: str, data: Mapping[str, object], *, cookies: Cookies | None = None
    ) -> Fetched:
        await asyncio.sleep(3)
        return await super().fetch(url, method, data, cookies=cookies)


def test_a_request_that_nobody_waits_for_any_more_is_noted_too() -> None:
    call = FakeCall()

    async def main() -> None:
        running = asyncio.ensure_future(interpreter.run(call, SlowFetcher({}), APPLICATION, call.facts))
        await asyncio.sleep(1.25)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run(main())
    assert call.notes == [f"> POST url={BASE} abandoned=True total_ms=1250.0"]


@pytest.mark.parametrize(
    ("inside", "ended"),
    [
        ("<Say>Hi</Say>", "verb ended name=Say line=1 took_ms=3000.0 how=next verb"),
        ("<Redirect>/next</Redirect>", f"verb ended name=Redirect line=1 took_ms=0.0 how=go to {HOST}/next"),
        ("<Hangup/>", "verb ended name=Hangup line=1 took_ms=0.0 how=end of the call"),
        ("\n\n<Play>missing.wav</Play>", "verb ended name=Play line=3 took_ms=0.0 how=failed, next verb"),
        (
            '<Play errorAction="/sorry">missing.wav</Play>',
            f"verb ended name=Play line=1 took_ms=0.0 how=failed, go to {HOST}/sorry",
        ),
    ],
)
def test_a_verb_is_noted_with_its_line_how_long_it_took_and_how_it_ended(inside: str, ended: str) -> None:
    notes = notes_of({BASE: f"<Response>{inside}</Response>".encode()})
    name, line = ended.split()[2:4]
    assert f"verb {name} {line}" in notes
    assert ended in notes
    assert notes.index(f"verb {name} {line}") < notes.index(ended)


def test_a_verb_cut_off_by_a_hang_up_is_noted_with_the_time_it_had() -> None:
    call = FakeCall()
    fetcher = FakeFetcher({BASE: b"<Response><Say>Hi</Say></Response>"})

    async def main() -> None:
        running = asyncio.ensure_future(interpreter.run(call, fetcher, APPLICATION, call.facts))
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run(main())
    assert call.notes[-1] == "verb ended name=Say line=1 took_ms=1000.0 how=cut off"
