"""What a call says of its media on the timeline."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from flexml.codecs.catalog import PCMU
from flexml.engine import call_notes
from flexml.engine.errors import PromptError
from flexml.engine.sip.negotiation import Agreed
from flexml.media.events import LegStats

from .virtual_time import run


def test_what_was_agreed_names_codec_peer_and_direction() -> None:
    agreed = Agreed(
        sdp="v=0", codec=PCMU, payload_type=0, telephone_event=101, telephone_event_hz=8000, address="192.0.2.1",
        port=4000, rtcp_port=4001, ptime=20, direction="recvonly", on_hold=True,
    )  # fmt: skip
    assert call_notes.media(agreed) == {
        "codec": "PCMU/8000", "payload_type": 0, "telephone_event": 101, "ptime_ms": 20, "direction": "recvonly",
        "remote": "192.0.2.1:4000",
    }  # fmt: skip


def test_quality_counts_from_one_report_to_the_next_and_from_when_media_flows() -> None:
    quality = call_notes.Quality()
    assert quality.since_last(LegStats(packets_received=3), 4.0) is None, "no media yet"
    quality.begin(5.0)
    assert quality.since_last(LegStats(packets_received=10), 5.5) is None, "too short a time to tell"
    first = LegStats(packets_received=500, packets_sent=490, lost=5, late=2, concealed_ms=100, jitter_ms=1.26)
    assert quality.since_last(first, 15.0) == {
        "over_s": 10.0, "received": 500, "sent": 490, "lost": 5, "late": 2, "concealed_ms": 100, "jitter_ms": 1.3,
    }  # fmt: skip
    quality.begin(16.0)
    second = LegStats(
        packets_received=999, packets_sent=991, lost=5, late=3, concealed_ms=120,
        peer_lost=7, peer_jitter_ms=3.14, round_trip_ms=20.06,
    )  # fmt: skip
    assert quality.since_last(second, 25.0) == {
        "over_s": 10.0, "received": 499, "sent": 501, "lost": 0, "late": 1, "concealed_ms": 20, "jitter_ms": 0.0,
        "round_trip_ms": 20.1, "peer_lost": 7, "peer_jitter_ms": 3.1,
    }  # fmt: skip


def test_the_total_is_of_the_whole_call() -> None:
    stats = LegStats(packets_received=9, lost=1, duplicates=2, invalid=3)
    assert call_notes.total(stats) == {
        "received": 9, "sent": 0, "lost": 1, "late": 0, "concealed_ms": 0, "jitter_ms": 0.0,
        "duplicates": 2, "invalid": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("takes_s", "error", "noted"),
    [
        (0.0, None, {"url": "x", "took_ms": 0.0}),
        (1.5, None, {"url": "x", "took_ms": 1500.0}),
        (0.5, PromptError("x: status 404"), {"url": "x", "error": "x: status 404", "took_ms": 500.0}),
        (9.0, None, {"url": "x", "abandoned": True, "took_ms": 2000.0}),
    ],
)
def test_waiting_for_audio_is_noted_with_how_it_ended(
    takes_s: float, error: PromptError | None, noted: dict[str, object]
) -> None:
    notes: list[tuple[str, dict[str, object]]] = []

    def note(what: str, **details: Any) -> None:
        notes.append((what, details))

    async def wait() -> None:
        with call_notes.waiting(note, "audio", url="x"):
            await asyncio.sleep(takes_s)
            if error:
                raise error

    async def main() -> None:
        waiting = asyncio.ensure_future(wait())
        await asyncio.wait({waiting}, timeout=2)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    run(main())
    assert notes == [("audio", noted)]


def test_an_error_of_the_application_is_a_warning_and_all_else_is_information(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines: list[str] = []
    note = call_notes.Noting("sid", lambda _sid, _at, what, _details: lines.append(what))
    with caplog.at_level(logging.INFO, "flexml.call"):
        note("document", url="http://a.example/")
        note("application error", error="status 500")
        note("application error, trying the fallback URL", error="status 500")
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "WARNING"]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "flexml.call"):
        note("document", url="http://a.example/")
        note("application error", error="status 500")
    assert [record.getMessage() for record in caplog.records] == ["application error error=status 500"]
    assert len(lines) == 5
