"""Octets that pass between two legs as they came: who passes, what stops it, and what it looks like on the wire."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flexml.media.events import DigitReceived
from flexml.media.passthrough import LAWS, Passthrough
from flexml.media.protocol import (
    CloseLeg,
    Join,
    OpenLeg,
    SeekPlay,
    SendDigits,
    SrtpKeys,
    StartAmd,
    StartTone,
    Unwatch,
    Watch,
)

from .passing_pairs import (
    ALAW,
    LATER,
    LISTENERS,
    NEGATIVE_ZERO,
    NEVER,
    ROOM,
    SETTLED,
    ULAW,
    arrive,
    lossy,
    noise,
    pair,
    passed,
    passes,
    positive,
    talking,
)
from .rig import Rig, packet, parse, payloads
from .srtp_peer import SrtpPeer, need_openssl
from .test_hostile import EVENTS, TYPES

# ---- the stage --------------------------------------------------------------------------------------------------

ROWS = np.arange(8)
ALL = np.ones(8, np.bool_)


def everything(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ones(rows.size, np.bool_)


def arranged(laws: list[str], pairs: list[list[int]], free: np.ndarray[Any, Any] = ALL) -> Passthrough:
    stage = Passthrough(8)
    for row, law in enumerate(laws):
        stage.tune(row, law)
    for _ in range(2):
        stage.arrange(np.array(pairs, np.intp).reshape(-1, 2), free)
    return stage


def directions(stage: Passthrough, whole: Callable[[Any], Any] = everything) -> set[tuple[int, int]]:
    passage = stage.step(ROWS, whole)
    assert sorted([*passage.source.tolist(), *passage.rest.tolist()]) == ROWS.tolist()
    return set(zip(passage.source.tolist(), passage.target.tolist(), strict=True))


LAW_PAIRS = [(one, another) for one in TYPES for another in TYPES]


@pytest.mark.parametrize(("one", "another"), LAW_PAIRS)
def test_octets_pass_both_ways_between_legs_of_one_g711_law_and_no_others(one: str, another: str) -> None:
    passing = {(2, 5), (5, 2)} if one == another and one in {"PCMU", "PCMA"} else set[tuple[int, int]]()
    stage = arranged(["PCMU", "PCMU", one, "PCMU", "PCMU", another], [[2, 5]])
    assert directions(stage) == passing
    assert set(LAWS) == {"PCMU", "PCMA"}


def test_pairs_at_once_equal_each_alone() -> None:
    laws = ["PCMU", "PCMA", "PCMU", "PCMA", "PCMA", "G722", "PCMU", "PCMU"]
    pairs = [[1, 3], [0, 2], [4, 5], [6, 7]]
    free = ALL.copy()
    free[7] = False

    def whole(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return rows != 2

    for odd in (whole, everything):
        together = directions(arranged(laws, pairs, free), odd)
        alone = [directions(arranged(laws, [one], free), odd) for one in pairs]
        assert together == set[tuple[int, int]]().union(*alone)
        assert together == {(1, 3), (3, 1)} | ({(0, 2), (2, 0)} if odd is everything else set())


def test_who_is_free_passes_at_the_second_look_and_who_is_not_stops_at_the_first() -> None:
    stage, pairs = arranged(["PCMU"] * 4, []), np.array([[0, 1], [2, 3]])
    seen: list[set[tuple[int, int]]] = []
    for free in ([1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]):
        stage.arrange(pairs, np.array([*free, 0, 0, 0, 0], np.bool_))
        seen.append(directions(stage))
    first, second = {(0, 1), (1, 0)}, {(2, 3), (3, 2)}
    assert seen == [first, first, first | second, second, second, first | second]


def test_it_looks_again_only_when_there_is_doubt_or_somebody_new_is_free() -> None:
    stage, pairs = Passthrough(8), np.array([[0, 1]])
    looks: list[bool] = []
    for _ in range(3):
        looks.append(stage.doubtful)
        stage.arrange(pairs, ALL)
    assert (looks, stage.doubtful) == ([True, True, False], False)
    stage.doubt()
    assert stage.doubtful


def test_a_closed_row_does_not_pass() -> None:
    stage = arranged(["PCMU", "PCMU"], [[0, 1]])
    stage.close(1)
    stage.arrange(np.array([[0, 1]]), ALL)
    assert directions(stage) == set()


# ---- octets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", [ULAW, ALAW], ids=["PCMU", "PCMA"])
def test_octets_arrive_as_they_were_sent_negative_zero_too(law: dict[str, Any]) -> None:
    rig, said = pair(law, law), (noise(500, 1), noise(500, 2))
    for row in (0, 1):
        arrive(rig, row, said[row], kind=law.get("payload_type", 0))
    sent = rig.run(500 + LATER)[SETTLED:]
    for row in (0, 1):
        assert payloads(sent, row) == said[1 - row][160 * (SETTLED - LATER) :]
    assert {int(kind) for batch in sent for kind in batch.payload_type} == {law.get("payload_type", 0)}


def test_each_peer_gets_its_own_payload_type() -> None:
    rig = pair(ULAW, {**ULAW, "payload_type": 96})
    arrive(rig, 0, noise(20))
    arrive(rig, 1, noise(20), kind=96)
    assert NEGATIVE_ZERO in payloads(rig.run(20), 1)
    sent = parse([(row, octets) for _, row, octets in rig.network.sent])
    assert set(zip(sent.rows.tolist(), sent.payload_type.tolist(), strict=True)) == {(0, 0), (1, 96)}


@pytest.mark.parametrize("ours", [10, 20, 30, 60])
@pytest.mark.parametrize("theirs", [10, 20, 30, 60])
def test_octets_pass_from_packets_of_any_length_to_packets_of_any_other(theirs: int, ours: int) -> None:
    rig, said = pair({**ULAW, "ptime": theirs}, {**ULAW, "ptime": ours}), noise(120)
    arrive(rig, 0, said, ptime=theirs)
    arrive(rig, 1, noise(120))
    sent = payloads(rig.run(110), 1)
    begins = sent.index(NEGATIVE_ZERO) // 160 * 160
    assert begins <= 160 * 10
    lies = positive(said).index(positive(sent[begins : begins + 480]))
    assert len(sent) - begins > 160 * 95
    assert sent[begins:] == said[lies : lies + len(sent) - begins]
    lengths = {len(octets) - 12 for _, row, octets in rig.network.sent if row == 1}
    assert lengths == {ours * 8}


MIXED = {
    "two laws": (ULAW, ALAW),
    "two codecs": (ULAW, {"codec": "L16/8000", "payload_type": 97, "telephone_event": EVENTS}),
    "the first is listened to for keys": ({}, ULAW),
    "the second is listened to for keys": (ULAW, {}),
}


@pytest.mark.parametrize("name", MIXED)
def test_legs_that_have_to_be_listened_to_or_translated_are_mixed(name: str) -> None:
    rig = pair(*MIXED[name])
    for row in (0, 1):
        arrive(rig, row, noise(30, row), kind=int(MIXED[name][row].get("payload_type", 0)))
    assert passes(rig, 30) == [(False, False)] * 30


def test_a_pair_passes_once_both_have_been_heard() -> None:
    rig = pair()
    arrive(rig, 0, noise(60))
    assert passes(rig, 20) == [(False, False)] * 20
    arrive(rig, 1, noise(40))
    assert passes(rig, 20)[SETTLED:] == [(True, True)] * (20 - SETTLED)


def press(ticks: int = 10) -> bytes:
    """The octets of a key in the audio."""
    keys = Rig()
    keys.leg()
    keys.command(SendDigits(leg=1, job=1, digits="1", mode="inband"))
    return payloads(keys.run(ticks))


def test_who_has_sent_a_key_in_the_audio_is_listened_to_for_more_until_it_sends_an_event() -> None:
    rig = Rig(jitter_ms=20 * LATER)
    rig.leg(1, **ULAW)
    rig.leg(2, **ULAW)
    arrive(rig, 0, press() + noise(20) + press() + noise(25))
    arrive(rig, 1, noise(300))
    rig.run(15)
    rig.command(Join(leg=1, room=ROOM), Join(leg=2, room=ROOM), rig.remote(1, **ULAW))
    assert passes(rig, 45) == [(False, False)] * 45
    assert [event.digit for event in rig.said(DigitReceived)] == ["1", "1"]
    rig.network.arrive(rig.network.tick, 0, packet(200, bytes([5, 138, 0, 160]), kind=EVENTS))
    assert passes(rig, 5)[3:] == [(True, True)] * 2
    rig.command(CloseLeg(leg=1))
    rig.leg(3, **ULAW)  # in the row of leg 1, and has sent none
    rig.command(Join(leg=3, room=ROOM))
    arrive(rig, 0, noise(20))
    assert passes(rig, 20)[SETTLED:] == [(True, True)] * (20 - SETTLED)


def test_keys_are_not_put_together_from_before_octets_passed_and_after() -> None:
    rig, tone = Rig(jitter_ms=20 * LATER), press()[:320]
    for leg in (1, 2):
        rig.leg(leg, **ULAW)
        rig.command(Join(leg=leg, room=ROOM))
    rig.command(Watch(leg=1, job=1, noise=NEVER))
    before = noise(10)[:-240] + tone[:240]
    arrive(rig, 0, before + noise(10) + tone[:160] + noise(10))
    arrive(rig, 1, noise(60))
    rig.run(9 + LATER)
    rig.command(Unwatch(leg=1, job=1))
    assert passes(rig, 11) == [(False, False)] + [(True, True)] * 10
    rig.command(Watch(leg=1, job=1, noise=NEVER))
    assert passes(rig, 10) == [(False, False)] * 10
    assert not rig.said(DigitReceived)


# ---- what turns it off ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leg", [1, 2])
@pytest.mark.parametrize("name", LISTENERS)
def test_what_listens_or_plays_turns_it_off_at_once_and_its_end_turns_it_on(
    name: str, leg: int, tmp_path: Path
) -> None:
    rig, listener = talking(), LISTENERS[name]
    rig.leg(3)
    rig.command(OpenLeg(leg=4, address="127.0.0.1", port=4008))
    (tmp_path / "quiet").write_bytes(bytes(1600))
    assert passes(rig) == [(True, True)]
    rig.command(*listener.begin(leg, tmp_path))
    assert passes(rig, 5) == [(False, False)] * 5
    rig.command(*listener.end(leg))
    rig.run(listener.after)
    assert passes(rig, 20) == [(True, True)] * 20
    rig.pipeline.close()


def test_every_stage_that_listens_is_asked() -> None:
    """Whatever is in the pipeline's list of listeners has a say, so that a new one cannot be forgotten."""
    rig = talking()
    stages = rig.pipeline._stages  # pyright: ignore[reportPrivateUsage]
    for listener in stages.listeners:
        assert not listener.attentive()[:2].any()
    rig.command(rig.remote(1), Watch(leg=1, job=1, noise=NEVER), StartAmd(leg=1, job=2))
    assert [listener.attentive()[:2].tolist() for listener in stages.listeners] == [[True, False]] * 3


def test_a_paused_play_is_none() -> None:
    rig = talking()
    rig.command(StartTone(leg=1, job=1, tone="comfort-noise"))
    assert passes(rig) == [(False, False)]
    rig.command(SeekPlay(leg=1, job=1, paused=True))
    assert passes(rig, 2)[-1] == (True, True)
    rig.command(SeekPlay(leg=1, job=1, paused=False))
    assert passes(rig) == [(False, False)]


# ---- the stream -------------------------------------------------------------------------------------------------


def test_sequence_and_timestamp_go_on_through_every_change(tmp_path: Path) -> None:
    rig = talking(1000)
    (tmp_path / "quiet").write_bytes(bytes(1600))
    rig.leg(3)
    rig.command(OpenLeg(leg=4, address="127.0.0.1", port=4008))
    for name, listener in LISTENERS.items():
        if not name.startswith("hold"):
            rig.command(*listener.begin(1, tmp_path))
            rig.run(10)
            rig.command(*listener.end(1))
            assert passes(rig, 6)[-1] == (True, True), name
    for row in (0, 1):
        sent = parse([(row, octets) for _, at, octets in rig.network.sent if at == row])
        audio = sent.payload_type != EVENTS
        assert set(np.diff(sent.sequence) % 65536) == {1}
        assert set(np.diff(sent.timestamp[audio]) % 2**32) == ({160} if row else {160, 160 * 8})
        assert set(sent.ssrc.tolist()) == {7}
        assert np.flatnonzero(sent.marker[audio]).tolist() == [0]


def test_pairs_at_once_sound_as_each_pair_alone() -> None:
    kinds: list[dict[str, Any]] = [ULAW, ALAW, {**ULAW, "ptime": 30}, {}]
    together, alone = Rig(), [Rig() for _ in kinds]
    for number, remote in enumerate(kinds):
        for side in (0, 1):
            row, dice = 2 * number + side, random.Random(2 * number + side)
            together.leg(row + 1, **remote)
            together.command(Join(leg=row + 1, room=number))
            alone[number].leg(side + 1, **remote)
            alone[number].command(Join(leg=side + 1, room=1))
            said = noise(300, row)
            for tick, place in lossy(dice, 300):
                octets = packet(place, said[place * 160 : place * 160 + 160], kind=remote.get("payload_type", 0))
                together.network.arrive(tick, row, octets)
                alone[number].network.arrive(tick, side, octets)
    together.run(300)
    count = 0
    for number, rig in enumerate(alone):
        rig.run(300)
        for side in (0, 1):
            sent = [(tick, octets) for tick, row, octets in together.network.sent if row == 2 * number + side]
            assert sent == [(tick, octets) for tick, row, octets in rig.network.sent if row == side]
            count += sum(passed(octets[12:]) for _, octets in sent)
    assert count > 300


def test_octets_pass_between_protected_legs_each_under_its_own_keys() -> None:
    need_openssl()
    keys = [
        SrtpKeys(suite="AES_CM_128_HMAC_SHA1_80", ours=bytes(range(30)), theirs=bytes(range(60, 90))),
        SrtpKeys(suite="AES_CM_128_HMAC_SHA1_32", ours=bytes(range(100, 130)), theirs=bytes(range(200, 230))),
    ]
    rig = pair({**ULAW, "srtp": keys[0]}, {**ULAW, "srtp": keys[1]})
    peers = [SrtpPeer(each.suite, ours=each.theirs, theirs=each.ours) for each in keys]
    said = [noise(8, 1), noise(8, 2)]
    for row in (0, 1):
        for number in range(8):
            octets = packet(number, said[row][number * 160 : number * 160 + 160])
            rig.network.arrive(number, row, peers[row].protect(octets))
    for _ in range(9):
        rig.pipeline.tick(rig.now_s)
        rig.now_s += 0.02
    for row in (0, 1):
        wire = [octets for _, at, octets in rig.network.sent if at == row]
        heard = b"".join(peers[row].unprotect(octets)[12:] for octets in wire[SETTLED:])
        assert heard == said[1 - row][160 * (SETTLED - LATER) :]
