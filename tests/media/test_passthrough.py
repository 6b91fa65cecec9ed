"""Octets that pass between two legs as they came: when they do, and that nothing else can tell whether they do.

Mu-law's negative zero is what tells: once decoded it is zero, which is encoded as the positive one. All else is
compared with a second pipeline that is told the same and has a watch on every leg that never fires, so that nothing
passes there.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from flexml.codecs.catalog import BY_NAME
from flexml.media.passthrough import LAWS, Passthrough
from flexml.media.protocol import (
    CloseLeg,
    Command,
    CommandFailed,
    DigitReceived,
    Event,
    Join,
    Leave,
    LegClosed,
    LegHeard,
    LegReport,
    LegSilent,
    OpenLeg,
    RecordingFinished,
    SeekPlay,
    SendDigits,
    SrtpKeys,
    StartAmd,
    StartPlay,
    StartRecording,
    StartTone,
    StopAmd,
    StopPlay,
    StopRecording,
    Unwatch,
    Watch,
)
from flexml.media.rtp import RtpBatch

from .rig import PEER, STRANGER, Rig, noise_file, packet, parse, payloads
from .srtp_peer import SrtpPeer, need_openssl
from .test_hostile import EVENTS, TYPES, Liar, Master
from .test_wide import encoded, sine

NEGATIVE_ZERO, POSITIVE_ZERO = b"\x7f", b"\xff"
ULAW: dict[str, Any] = {"telephone_event": EVENTS}
ALAW: dict[str, Any] = {"codec": "PCMA", "payload_type": 8, "telephone_event": EVENTS}
LATER = 1
"""Ticks by which the jitter buffer holds what came."""

NEVER = 1 << 40
REFERENCE = 99
ROOM = 5
SETTLED = 3
"""Ticks after which a pair passes: the first packet's delay, and one tick more than it takes to see it is free."""


def noise(ticks: int, seed: int = 1) -> bytes:
    """Octets of any value, every fourth of them negative zero."""
    octets = np.random.default_rng(seed).integers(0, 256, ticks * 160).astype(np.uint8)
    octets[::4] = NEGATIVE_ZERO[0]
    return octets.tobytes()


def positive(octets: bytes) -> bytes:
    """Octets with zeros that were decoded and encoded."""
    return octets.replace(NEGATIVE_ZERO, POSITIVE_ZERO)


def passed(octets: bytes) -> bool:
    """Say whether a packet's octets are as they came."""
    return set(octets[::4]) == set(NEGATIVE_ZERO)


def arrive(rig: Rig, row: int, octets: bytes, *, kind: int = 0, number: int = 0, ptime: int = 20) -> None:
    """Let octets come in from the next tick on, in packets of `ptime`, the first of which has this number."""
    size, first = ptime * 8, rig.network.tick
    for place in range(len(octets) // size):
        tick = first + (place * size + size - 1) // 160
        stamp = number * size + place * size
        said = octets[place * size : (place + 1) * size]
        rig.network.arrive(tick, row, packet(number + place, said, kind=kind, stamp=stamp))


def pair(first: dict[str, Any] = ULAW, second: dict[str, Any] = ULAW, **options: Any) -> Rig:
    rig = Rig(jitter_ms=20 * LATER, **options)
    for leg, remote in ((1, first), (2, second)):
        rig.leg(leg, **remote)
        rig.command(Join(leg=leg, room=ROOM))
    return rig


def passes(rig: Rig, ticks: int = 1) -> list[tuple[bool, bool]]:
    """Run, and say of each tick whether octets of mu-law passed to the first leg, and to the second."""
    return [(in_ulaw(sent, 0), in_ulaw(sent, 1)) for sent in rig.run(ticks)]


def in_ulaw(sent: RtpBatch, row: int) -> bool:
    """Say whether octets passed on `row`; what is negative zero in mu-law is an octet like others in A-law."""
    return passed(payloads([sent.where(sent.payload_type == TYPES["PCMU"])], row))


def talking(ticks: int = 200) -> Rig:
    """A pair whose octets pass, and go on coming."""
    rig = pair()
    for row in (0, 1):
        arrive(rig, row, noise(ticks, row))
    assert passes(rig, SETTLED + 5)[SETTLED:] == [(True, True)] * 5
    return rig


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


@dataclass(frozen=True, slots=True)
class Listener:
    """What begins something that listens to a leg or plays to it, and what ends it; nothing: it ends by itself.

    It goes on for 5 ticks at least, and octets pass again `after` that many at most.
    """

    begin: Callable[[int, Path], list[Command]]
    end: Callable[[int], list[Command]] = lambda leg: []
    after: int = 1


def play(**given: Any) -> Listener:
    return Listener(
        lambda leg, folder: [StartPlay(leg=leg, job=1, path=str(folder / "quiet"), loops=0, **given)],
        lambda leg: [StopPlay(leg=leg, job=1)],
    )


def held(**given: Any) -> Listener:
    after = SETTLED if "codec" in given else 1
    return Listener(
        lambda leg, folder: [Rig.remote(leg, **(ULAW | given))], lambda leg: [Rig.remote(leg, **ULAW)], after
    )


def recorded(sides: Any) -> Listener:
    return Listener(
        lambda leg, folder: [StartRecording(leg=leg, job=1, path=str(folder / "spool"), sides=sides)],
        lambda leg: [StopRecording(leg=leg, job=1)],
    )


def pressed(**given: Any) -> Listener:
    return Listener(lambda leg, folder: [SendDigits(leg=leg, job=1, digits="5", off=0, **given)], after=5)


LISTENERS = {
    "foreground": play(),
    "background": play(layer="background"),
    "aside": play(layer="aside"),
    "play at 16 kHz": play(rate_hz=16000),
    "tone": Listener(
        lambda leg, folder: [StartTone(leg=leg, job=1, tone="comfort-noise")], lambda leg: [StopPlay(leg=leg, job=1)]
    ),
    "play that ends": Listener(lambda leg, folder: [StartPlay(leg=leg, job=1, path=str(folder / "quiet"))], after=5),
    "recording of what is heard": recorded("heard"),
    "recording of what is sent": recorded("sent"),
    "recording of both": recorded("dual"),
    "watch for silence": Listener(
        lambda leg, folder: [Watch(leg=leg, job=1, silence=NEVER)], lambda leg: [Unwatch(leg=leg, job=1)]
    ),
    "watch by WebRTC": Listener(
        lambda leg, folder: [Watch(leg=leg, job=1, noise=NEVER, detector="webrtc")],
        lambda leg: [Unwatch(leg=leg, job=1)],
    ),
    "watch that fires": Listener(lambda leg, folder: [Watch(leg=leg, job=1, noise=100)], after=5),
    "answering machine": Listener(
        lambda leg, folder: [
            StartAmd(leg=leg, job=1, greeting=NEVER, total_analysis_time=NEVER, maximum_word_length=NEVER)
        ],
        lambda leg: [StopAmd(leg=leg, job=1)],
    ),
    "answering machine that is found": Listener(
        lambda leg, folder: [StartAmd(leg=leg, job=1, greeting=NEVER, maximum_word_length=100)], after=5
    ),
    "telephone events": pressed(),
    "tones of keys": pressed(mode="inband"),
    "hold, sendonly": held(direction="sendonly"),
    "hold, recvonly": held(direction="recvonly"),
    "hold, inactive": held(direction="inactive"),
    "hold, unspecified address": held(address="0.0.0.0"),
    "no telephone events": held(telephone_event=None),
    "another law": held(codec="PCMA", payload_type=8),
    "nobody there": Listener(lambda leg, folder: [Leave(leg=leg)], lambda leg: [Join(leg=leg, room=ROOM)]),
    "a third": Listener(lambda leg, folder: [Join(leg=3, room=ROOM)], lambda leg: [Leave(leg=3)]),
    "a third without a remote": Listener(lambda leg, folder: [Join(leg=4, room=ROOM)], lambda leg: [Leave(leg=4)]),
    "another room": Listener(
        lambda leg, folder: [Join(leg=leg, room=ROOM + 1)], lambda leg: [Join(leg=leg, room=ROOM)]
    ),
}


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


# ---- nothing else can tell --------------------------------------------------------------------------------------


class Twins:
    """A pipeline in which octets may pass, and one that is told the same, in which a watch on each leg prevents it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.passing, self.mixed = Rig(**options), Rig(**options)
        self.folders = [folder / "passing", folder / "mixed"]
        for each in self.folders:
            each.mkdir()
        self.passed: int = 0  # packets

    def command(self, *messages: Command) -> None:
        for message in messages:
            for rig, folder in zip((self.passing, self.mixed), self.folders, strict=True):
                own = message
                if isinstance(message, StartRecording) and "\0" not in message.path:
                    own = msgspec.structs.replace(message, path=str(folder / Path(message.path).name))
                rig.command(own)
            if isinstance(message, OpenLeg):
                self.mixed.command(Watch(leg=message.leg, job=REFERENCE, silence=NEVER))

    def arrive(self, tick: int, row: int, octets: bytes, source: Any = PEER) -> None:
        for rig in (self.passing, self.mixed):
            rig.network.arrive(tick, row, octets, source)

    def leg(self, leg: int, **remote: Any) -> None:
        self.command(
            OpenLeg(leg=leg, address="127.0.0.1", port=4000 + 2 * leg, ssrc=leg, sequence=65_000, timestamp=2**32 - 80),
            Rig.remote(leg, **(ULAW | remote)),
        )

    def run(self, ticks: int = 1) -> None:
        """Run both, and compare what they send."""
        for rig in (self.passing, self.mixed):
            rig.run(ticks)
        sent = sorted(self.passing.network.sent, key=lambda one: one[:2])
        expected = sorted(self.mixed.network.sent, key=lambda one: one[:2])
        self.passed += sum(passed(octets[12:]) for _, _, octets in sent)
        for (tick, row, octets), wanted in zip(sent, expected, strict=True):
            assert (tick, row, octets[:12] + positive(octets[12:])) == (
                *wanted[:2],
                wanted[2][:12] + positive(wanted[2][12:]),
            )
        for rig in (self.passing, self.mixed):
            rig.network.sent.clear()

    def end(self) -> None:
        """Close both; compare all that was told, counted, reported by RTCP and recorded."""
        for leg in self.passing.pipeline._stages.legs.open_legs:  # pyright: ignore[reportPrivateUsage]
            self.command(CloseLeg(leg=leg))
        for rig in (self.passing, self.mixed):
            rig.run(1)
            rig.pipeline.close()
            rig.run(1)
        assert told(self.passing) == told(self.mixed)
        assert self.passing.network.sent_control == self.mixed.network.sent_control
        recorded = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in self.folders]
        assert recorded[0] == recorded[1]


def told(rig: Rig) -> list[Event]:
    """All events but those of the reference; when a recording is complete is up to a thread."""
    events = [event for event in rig.events if not (isinstance(event, CommandFailed) and event.job == REFERENCE)]
    return sorted(events, key=lambda event: isinstance(event, RecordingFinished))


def joined(folder: Path, first: dict[str, Any] = ULAW, second: dict[str, Any] = ULAW, **options: Any) -> Twins:
    twins = Twins(folder, **options)
    for leg, remote in ((1, first), (2, second)):
        twins.leg(leg, **remote)
        twins.command(Join(leg=leg, room=ROOM))
    return twins


def lossy(dice: random.Random, ticks: int) -> list[tuple[int, int]]:
    """When which packet comes: some never, some twice, some late and out of order, and the clock a little slow."""
    return [
        (number + number // 700 + held, number)
        for number in range(ticks)
        if dice.random() > 0.03
        for held in [dice.choice([0] * 12 + [1, 2, 3])] * dice.choice([1] * 80 + [2])
    ]


@pytest.mark.parametrize("ptimes", [(20, 20), (30, 10)])
@pytest.mark.parametrize("seed", range(3))
def test_loss_jitter_and_reordering_sound_as_if_all_were_mixed(
    seed: int, ptimes: tuple[int, int], tmp_path: Path
) -> None:
    twins, dice = joined(tmp_path, {**ULAW, "ptime": ptimes[0]}, {**ULAW, "ptime": ptimes[1]}), random.Random(seed)
    said = [noise(1000, row) for row in (0, 1)]
    for row in (0, 1):
        for tick, number in lossy(dice, 1000):
            twins.arrive(tick, row, packet(number, said[row][number * 160 : number * 160 + 160]))
    twins.run(1000)
    assert twins.passed > 500
    twins.end()
    stats = [event.stats for event in twins.passing.said(LegClosed)]
    assert all(min(each.late, each.duplicates, each.concealed_ms) > 0 for each in stats)


def test_a_source_that_restarts_stops_or_is_silent_for_long_sounds_as_if_all_were_mixed(tmp_path: Path) -> None:
    twins, said = joined(tmp_path, silent_after_s=2.0), noise(1000)
    for number in range(1000):
        octets = said[number * 160 : number * 160 + 160]
        twins.arrive(number, 1, packet(number, octets))
        if number < 200:
            twins.arrive(number, 0, packet(number, octets))
        elif number < 300:
            twins.arrive(number, 0, packet(number, octets, ssrc=5, stamp=number * 160 + 10**9))
        elif number < 500:
            twins.arrive(number, 0, packet(number, octets, ssrc=5, stamp=(number * 160 - 77777) % 2**32))
        elif number > 700:
            twins.arrive(number, 0, packet(number + 40_000, octets, ssrc=6, stamp=number * 160))
    twins.run(1000)
    assert twins.passed > 600
    twins.end()
    assert len(twins.passing.said(LegSilent)) == 1
    assert len(twins.passing.said(LegHeard)) == 2
    assert len(twins.passing.said(LegReport)) > 2


@pytest.mark.parametrize("codec", [name for name in TYPES if name != "PCMU"])
def test_another_codec_has_nothing_of_what_passed_before(codec: str, tmp_path: Path) -> None:
    twins, said, loud = joined(tmp_path, jitter_ms=0), noise(80), encoded(codec, sine(700, 1.0, BY_NAME[codec].rate_hz))
    for number in range(80):
        octets = said[number * 160 : number * 160 + 160]
        twins.arrive(number, 1, packet(number, octets))
        if number <= 40:
            twins.arrive(number, 0, packet(number, octets))
        elif number != 42:
            stamp = number * BY_NAME[codec].clock_hz // 50
            twins.arrive(number, 0, packet(number, loud[number - 41], kind=TYPES[codec], stamp=stamp))
    twins.run(41)
    assert twins.passed > 60
    twins.command(Rig.remote(1, codec=codec, payload_type=TYPES[codec], telephone_event=EVENTS))
    twins.run(39)
    twins.command(Rig.remote(1, **ULAW))
    twins.run(5)
    twins.end()


def test_a_recording_that_begins_late_is_in_step_though_the_clocks_have_drifted(tmp_path: Path) -> None:
    twins, said = joined(tmp_path), noise(1000)
    for number in range(1000):
        for row, drift in ((0, 0), (1, number // 3)):  # the second talker's clock is slow: packets come as ever
            octets = packet(number, said[number * 160 : number * 160 + 160], stamp=(number * 160 - drift) % 2**32)
            twins.arrive(number, row, octets)
    twins.run(700)
    assert twins.passed > 400
    twins.command(StartRecording(leg=2, job=1, path="late", sides="dual"))
    twins.run(300)
    twins.end()


def test_keys_are_told_and_counted(tmp_path: Path) -> None:
    twins, octets = joined(tmp_path), noise(1)
    for number in range(150):
        twins.arrive(number, 1, packet(number, octets))
        age = number % 50 - 40
        if age < 0:
            twins.arrive(number, 0, packet(number, octets))
        else:
            report = bytes([number // 50, 128 * (age > 7) | 10]) + (160 * (age + 1)).to_bytes(2, "big")
            twins.arrive(number, 0, packet(number, report, kind=EVENTS, stamp=(number - age) * 160))
    twins.run(150)
    assert [event.digit for event in twins.passing.said(DigitReceived)] == ["0", "1", "2"]
    assert twins.passed > 150
    twins.end()


@pytest.mark.parametrize("seed", range(4))
def test_going_over_to_mixing_and_back_leaves_no_trace(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    twins = joined(tmp_path, {**ULAW, "ptime": dice.choice([20, 30])})
    noise_file(tmp_path / "sound", 0.5)
    said = [noise(1500, row) for row in (0, 1)]
    for row in (0, 1):
        for tick, number in lossy(dice, 1500):
            twins.arrive(tick, row, packet(number, said[row][number * 160 : number * 160 + 160]))
    twins.command(OpenLeg(leg=3, address="127.0.0.1", port=4006), OpenLeg(leg=4, address="127.0.0.1", port=4008))
    (tmp_path / "quiet").write_bytes(np.random.default_rng(seed).integers(-9000, 9000, 2000).astype("<i2").tobytes())
    for _ in range(100):
        leg, listener = dice.choice([1, 2]), LISTENERS[dice.choice(list(LISTENERS))]
        twins.command(*listener.begin(leg, tmp_path))
        twins.run(dice.randrange(1, 9))
        twins.command(*listener.end(leg))
        twins.run(dice.randrange(1, 9))
    assert twins.passed > 100
    twins.end()


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
        assert set(np.diff(sent.timestamp[audio]) % 2**32) == {160} if row else {160, 160 * 8}
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


# ---- SRTP and hostility -----------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("seed", range(6))
def test_hostile_packets_and_commands_sound_as_if_all_were_mixed(seed: int, tmp_path: Path) -> None:
    """Two steady talkers and six liars come and go among few rooms while anything is asked of them."""
    dice = random.Random(seed)
    (tmp_path / "sounds").mkdir()
    twins, master = Twins(tmp_path), Master(dice, tmp_path / "sounds")
    liars = {row: Liar(dice) for row in range(2, 8)}
    said = noise(800)
    for tick in range(800):
        if tick % 60 == 0:  # all begin anew, and the talkers talk to each other
            for leg in range(1, 9):
                twins.command(CloseLeg(leg=leg))
                twins.leg(leg)
                twins.command(Join(leg=leg, room=(leg - 1) // 2))
        for row in (0, 1):
            twins.arrive(tick, row, packet(tick, said[tick * 160 : tick * 160 + 160]))
        for row, liar in liars.items():
            for _ in range(dice.choice([0, 1, 1, 4])):
                twins.arrive(tick, row, liar.packet(), dice.choice([PEER, PEER, PEER, STRANGER]))
        leg = dice.randrange(1, 9)
        if leg > 2 or not tick % 5:
            twins.command(master.command(leg))
        twins.run()
    assert twins.passed > 200
    twins.end()
