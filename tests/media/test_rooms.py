"""Rooms by themselves: who hears whom, and how much; then what a whole tick makes of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flexml.codecs import g711
from flexml.codecs.catalog import BY_NAME
from flexml.media.events import DigitReceived
from flexml.media.protocol import CloseLeg, Join, Leave, SendDigits, StartPlay, StartRecording, StopPlay, StopRecording
from flexml.media.receiver import Heard
from flexml.media.rooms import Others, Rooms
from numpy.typing import NDArray

from .rig import ULAW_SILENCE, Rig, packet, payloads
from .test_wide import TYPES, arrive, decoded, encoded, sent_to, share_at, sine

Frames = NDArray[np.float32]
CAPACITY = 64
EVERYBODY = np.ones(CAPACITY, np.bool_)
NOWHERE = np.zeros(0, np.intp)
LATER = 1
"""Ticks by which the jitter buffer holds what came: as many as a conversation keeps, so that nothing moves."""


def noise(shape: tuple[int, ...], seed: int = 1) -> Frames:
    return np.random.default_rng(seed).integers(-32768, 32768, shape).astype(np.float32)


def heard_by_all(frames: Frames, wide_at: list[int] | None = None) -> Heard:
    at = np.array(wide_at or [], np.intp)
    return Heard(frames, at, noise((at.size, 320), 2))


def by_row(others: Others, count: int) -> Frames:
    """What rows 0 to `count` hear; silence where they are in no room."""
    frames = np.zeros((count, 160), np.float32)
    frames[others.at] = others.frames
    return frames


def seated(*rooms: list[int]) -> Rooms:
    made = Rooms(CAPACITY)
    for number, members in enumerate(rooms):
        for row in members:
            made.join(row, number)
    return made


# ---- the stage --------------------------------------------------------------------------------------------------

SEATINGS = [
    [[0, 1]], [[1, 0], [3, 2]], [[0, 5], [4, 1], [2, 3]], [[0, 1, 2]], [[4, 2, 0], [1, 3]], [[0], [1, 2]],
    [[0, 1, 2, 3, 4, 5, 6, 7]], [[7, 3, 1], [0, 6], [2], [4, 5]],
]  # fmt: skip


@pytest.mark.parametrize("seating", SEATINGS, ids=str)
def test_each_leg_hears_exactly_the_sum_of_all_others_of_its_room(seating: list[list[int]]) -> None:
    said = noise((8, 160))
    heard = by_row(seated(*seating).step(np.arange(8), heard_by_all(said), EVERYBODY, EVERYBODY), 8)
    expected = np.zeros((8, 160), np.float32)
    for members in seating:
        for row in members:
            expected[row] = said[[other for other in members if other != row]].sum(axis=0)
    np.testing.assert_array_equal(heard, expected)


def test_many_rooms_at_once_equal_each_alone() -> None:
    random = np.random.default_rng(5)
    rows = random.permutation(CAPACITY)[:50]
    seating = [group.tolist() for group in np.split(rows, [2, 4, 7, 8, 13, 15, 30, 32, 41])]
    said = (random.normal(0, 9000, (CAPACITY, 160))).astype(np.float32)
    at = np.flatnonzero(random.random(CAPACITY) < 0.4)
    heard = Heard(said, at, random.normal(0, 9000, (at.size, 320)).astype(np.float32))
    everything = seated(*seating).step(np.arange(CAPACITY), heard, EVERYBODY, EVERYBODY)
    together = {row: place for place, row in enumerate(everything.at.tolist())}
    together_wide = {row: place for place, row in enumerate(everything.wide_at.tolist())}
    for members in seating:
        alone = seated(members).step(np.arange(CAPACITY), heard, EVERYBODY, EVERYBODY)
        assert sorted(alone.at.tolist()) == sorted(members)
        places = [together[row] for row in alone.at.tolist()]
        np.testing.assert_array_equal(everything.frames[places], alone.frames)
        np.testing.assert_array_equal(everything.base[places], alone.base)
        wide_places = [together_wide[row] for row in alone.wide_at.tolist()]
        np.testing.assert_array_equal(everything.wide[wide_places], alone.wide)
    assert sorted(together) == sorted(rows.tolist())
    assert len(together_wide) > 10


def test_positions_are_those_in_the_rows_stepped_and_rows_that_are_not_say_nothing() -> None:
    rooms = seated([10, 30, 50], [20, 40])
    said = noise((3, 160))
    others = rooms.step(np.array([20, 30, 50]), heard_by_all(said), EVERYBODY, EVERYBODY)
    np.testing.assert_array_equal(by_row(others, 3), [np.zeros(160), said[2], said[1]])


@pytest.mark.parametrize("size", [2, 3])
def test_a_leg_that_may_not_speak_or_hear_does_not(size: int) -> None:
    rooms, said = seated(list(range(size))), noise((size, 160))
    mute, deaf = EVERYBODY.copy(), EVERYBODY.copy()
    mute[0] = deaf[1] = False
    heard = by_row(rooms.step(np.arange(size), heard_by_all(said, [0, 1]), mute, deaf), size)
    expected = np.zeros_like(said)
    expected[0] = said[1:].sum(axis=0)
    expected[2:] = said[1]
    np.testing.assert_array_equal(heard, expected)


def test_at_16_khz_too_a_leg_that_may_not_speak_or_hear_does_not() -> None:
    rooms, heard = seated([0, 1, 2]), heard_by_all(noise((3, 160)), [0, 1, 2])
    mute, deaf = EVERYBODY.copy(), EVERYBODY.copy()
    mute[0] = deaf[1] = False
    others = rooms.step(np.arange(3), heard, mute, deaf)
    assert others.wide_at.tolist() == [0, 1, 2]
    assert not others.base.any()
    expected = [heard.wide[1] + heard.wide[2], np.zeros(320), heard.wide[1]]
    np.testing.assert_array_equal(others.wide, expected)


def test_16_khz_goes_between_those_who_have_it_and_8_khz_to_and_from_the_rest() -> None:
    rooms, said = seated([0, 1, 2, 3], [4, 5], [6, 7]), noise((8, 160))
    heard = heard_by_all(said, [1, 3, 4, 6, 7])
    others = rooms.step(np.arange(8), heard, EVERYBODY, EVERYBODY)
    base = dict(zip(others.at.tolist(), others.base, strict=True))
    wide = dict(zip(others.wide_at.tolist(), others.wide, strict=True))
    assert sorted(wide) == [1, 3, 6, 7]
    for row, other in ((1, 1), (3, 0), (6, 4), (7, 3)):
        np.testing.assert_array_equal(wide[row], heard.wide[other])
    for row in (1, 3):
        np.testing.assert_array_equal(base[row], said[0] + said[2])
    for row in (6, 7):
        assert not base[row].any()
    np.testing.assert_array_equal(base[4], said[5])
    np.testing.assert_array_equal(by_row(others, 8)[1], said[0] + said[2] + said[3])


def test_what_legs_say_is_not_written_to() -> None:
    said = noise((4, 160))
    heard = heard_by_all(said.copy(), [0, 1])
    wide = heard.wide.copy()
    seated([0, 1, 2]).step(np.arange(4), heard, np.zeros(CAPACITY, np.bool_), EVERYBODY)
    np.testing.assert_array_equal(heard.frames, said)
    np.testing.assert_array_equal(heard.wide, wide)


def test_a_row_is_in_the_room_it_joined_last_until_it_leaves() -> None:
    rooms, said = seated([0, 1], [2, 3]), noise((4, 160))

    def heard() -> Frames:
        return by_row(rooms.step(np.arange(4), heard_by_all(said), EVERYBODY, EVERYBODY), 4)

    rooms.join(1, 1)
    np.testing.assert_array_equal(heard(), [0 * said[0], said[2] + said[3], said[1] + said[3], said[1] + said[2]])
    rooms.leave(2)
    rooms.leave(2)
    np.testing.assert_array_equal(heard(), [0 * said[0], said[3], 0 * said[0], said[1]])
    rooms.close(3)
    rooms.close(1)
    assert not heard().any()


# ---- the tick ---------------------------------------------------------------------------------------------------


def codes(count: int, seed: int = 3, absent: int = 0x7F) -> bytes:
    """Octets of mu-law without negative zero, which no encoder makes."""
    made = np.random.default_rng(seed).integers(0, 256, count).astype(np.uint8)
    made[made == absent] = 0xFF
    return made.tobytes()


def say(
    rig: Rig, leg: int, octets: bytes, *, kind: int = 0, ptime: int = 20, lost: frozenset[int] = frozenset()
) -> None:
    """Let G.711 come in on a leg, in packets of `ptime`, from the next tick on."""
    size, first = ptime * 8, rig.network.tick
    for number in range(len(octets) // size):
        if number not in lost:
            rig.network.arrive(
                first + (number * size + size - 1) // 160,
                leg - 1,
                packet(number, octets[number * size : number * size + size], kind=kind, stamp=number * size),
            )


def bridge(*remotes: dict[str, Any], room: int = 5) -> Rig:
    rig = Rig(jitter_ms=20 * LATER)
    for leg, remote in enumerate(remotes, 1):
        rig.leg(leg, **remote)
        rig.command(Join(leg=leg, room=room))
    return rig


ULAW: dict[str, Any] = {}
ALAW: dict[str, Any] = {"codec": "PCMA", "payload_type": 8}


def remote(name: str) -> dict[str, Any]:
    return {"codec": name, "payload_type": TYPES[name]}


@pytest.mark.parametrize("law", [ULAW, ALAW], ids=["PCMU", "PCMA"])
def test_g711_passes_from_leg_to_leg_to_the_octet(law: dict[str, Any]) -> None:
    rig = bridge(law, law)
    kind = law.get("payload_type", 0)
    first, second = codes(160 * 500, 1, 0x7F if not kind else 0x100), codes(160 * 500, 2, 0x7F if not kind else 0x100)
    say(rig, 1, first, kind=kind)
    say(rig, 2, second, kind=kind)
    sent = rig.run(500 + LATER)[LATER:]
    assert payloads(sent, 1) == first
    assert payloads(sent, 0) == second


PTIMES = [(10, 20), (20, 10), (30, 20), (20, 60), (60, 30)]


@pytest.mark.parametrize(("theirs", "ours"), PTIMES)
def test_packets_of_any_length_pass_to_packets_of_any_other(theirs: int, ours: int) -> None:
    rig = bridge({"ptime": theirs}, {"ptime": ours})
    said = codes(160 * 120)
    say(rig, 1, said, ptime=theirs)
    sent = payloads(rig.run(150), 1).lstrip(b"\xff")
    assert sent.startswith(said.lstrip(b"\xff")[: 160 * 110])


def test_laws_are_translated_sample_by_sample() -> None:
    rig = bridge(ULAW, ALAW)
    said = codes(160 * 100)
    say(rig, 1, said)
    heard = payloads(rig.run(100 + LATER)[LATER:], 1)
    assert heard == g711.encode_alaw(g711.decode_ulaw(np.frombuffer(said, np.uint8))).tobytes()


@pytest.mark.parametrize("theirs", list(TYPES))
@pytest.mark.parametrize("ours", list(TYPES))
def test_speech_passes_between_any_two_codecs(theirs: str, ours: str) -> None:
    rig = bridge(remote(theirs), remote(ours))
    arrive(rig, theirs, encoded(theirs, sine(1000, 1.0, BY_NAME[theirs].rate_hz)))
    heard = decoded(ours, [payload for _, _, payload in sent_to(rig.run(60), 1)])
    rate_hz = BY_NAME[ours].rate_hz
    middle = heard[rate_hz // 5 : rate_hz * 9 // 10]
    assert share_at(middle, 1000, rate_hz) > 0.98
    assert middle.std() == pytest.approx(8000 / np.sqrt(2), rel=0.1)


def test_wideband_legs_hear_the_high_tones_of_each_other_and_narrowband_legs_do_not() -> None:
    rig = bridge(remote("L16"), remote("G722"), remote("PCMU"))
    arrive(rig, "L16", encoded("L16", sine(6000, 1.0, 16000) + sine(1000, 1.0, 16000)), row=0)
    arrive(rig, "PCMU", encoded("PCMU", sine(2000, 1.0, 8000)), row=2)
    sent = rig.run(60)
    wide = decoded("G722", [payload for _, _, payload in sent_to(sent, 1)])[3200:14000]
    narrow = decoded("PCMU", [payload for _, _, payload in sent_to(sent, 2)])[1600:7000]
    back = decoded("L16", [payload for _, _, payload in sent_to(sent, 0)])[3200:14000]
    for hz in (1000, 2000, 6000):
        assert share_at(wide, hz, 16000) == pytest.approx(1 / 3, abs=0.04)
    assert share_at(narrow, 1000, 8000) > 0.98
    assert share_at(back, 2000, 16000) > 0.98
    assert share_at(back, 6000, 16000) < 1e-3


def test_l16_passes_from_leg_to_leg_at_16_khz_to_the_sample() -> None:
    rig = bridge(remote("L16"), remote("L16"))
    samples = np.random.default_rng(1).integers(-32768, 32768, 16000).astype(np.int16)
    arrive(rig, "L16", encoded("L16", samples))
    sent = b"".join(payload for _, _, payload in sent_to(rig.run(50 + LATER)[LATER:], 1))
    assert sent == samples.astype(">i2").tobytes()


def test_three_parties_hear_the_other_two_and_the_codec_alone_clips() -> None:
    l16 = remote("L16/8000")
    rig = bridge(l16, l16, l16)
    said = noise((3, 50 * 160), 8)
    for row in range(3):
        arrive(rig, "L16/8000", encoded("L16/8000", said[row].astype(np.int16)), row=row)
    sent = rig.run(50 + LATER)[LATER:]
    for row, (one, another) in enumerate([(1, 2), (0, 2), (0, 1)]):
        expected = np.clip(said[one] + said[another], -32768, 32767).astype(">i2").tobytes()
        assert b"".join(payload for _, _, payload in sent_to(sent, row)) == expected


def test_loss_on_one_leg_is_mended_and_the_other_way_stays_as_it_was() -> None:
    rig = bridge(ULAW, ULAW)
    hum = g711.encode_ulaw(sine(200, 2.0, 8000).astype(np.float32)).tobytes()
    back = codes(160 * 100)
    say(rig, 1, hum, lost=frozenset({30, 50, 51, 70}))
    say(rig, 2, back)
    sent = rig.run(100 + LATER)[LATER:]
    heard = g711.decode_ulaw(np.frombuffer(payloads(sent, 1), np.uint8))
    assert share_at(heard[800:], 200, 8000) > 0.97
    assert payloads(sent, 0) == back


def test_a_codec_may_change_while_joined() -> None:
    rig = bridge(ULAW, ULAW)
    say(rig, 1, codes(160 * 50))
    rig.run(40)
    rig.command(rig.remote(1, codec="G722", payload_type=9), rig.remote(2, codec="L16", payload_type=96))
    for tick, payload in enumerate(encoded("G722", sine(6000, 1.0, 16000))):
        rig.network.arrive(rig.network.tick + tick, 0, packet(100 + tick, payload, kind=9, ssrc=55))
    heard = decoded("L16", [payload for _, _, payload in sent_to(rig.run(52), 1)])
    assert share_at(heard[3200:15000], 6000, 16000) > 0.9


# ---- coming and going -------------------------------------------------------------------------------------------


def test_a_leg_that_leaves_or_closes_is_heard_no_more_and_its_row_joins_nothing() -> None:
    rig = bridge(ULAW, ULAW, ULAW)
    said = codes(160 * 400)
    say(rig, 1, said)
    assert payloads(rig.run(20)[LATER:], 2) == said[: 160 * (20 - LATER)]
    rig.command(Leave(leg=2))
    after = rig.run(10)
    assert payloads(after, 1) == ULAW_SILENCE * 10
    assert payloads(after, 2) == said[160 * (20 - LATER) : 160 * (30 - LATER)]
    rig.command(CloseLeg(leg=3))
    rig.leg(4)  # in the row of leg 3
    assert payloads(rig.run(10), 2) == ULAW_SILENCE * 10
    rig.command(Join(leg=4, room=5), Leave(leg=2))
    assert payloads(rig.run(10), 2) == said[160 * (40 - LATER) : 160 * (50 - LATER)]
    rig.command(CloseLeg(leg=1))
    assert payloads(rig.run(10), 2) == ULAW_SILENCE * 10


def test_a_leg_may_go_from_room_to_room() -> None:
    rig = Rig(jitter_ms=20 * LATER)
    said = {leg: codes(160 * 100, leg) for leg in (1, 2, 3)}
    for leg in said:
        rig.leg(leg)
        say(rig, leg, said[leg])
    rig.command(Join(leg=1, room=7), Join(leg=2, room=7), Join(leg=3, room=8))
    assert payloads(rig.run(10)[LATER:], 0) == said[2][: 160 * (10 - LATER)]
    rig.command(Join(leg=1, room=8))
    after = rig.run(10)
    part = slice(160 * (10 - LATER), 160 * (20 - LATER))
    assert [payloads(after, row) for row in range(3)] == [said[3][part], ULAW_SILENCE * 10, said[1][part]]


def test_legs_may_join_before_their_remotes_are_known() -> None:
    rig = Rig(jitter_ms=20 * LATER)
    rig.leg(1)
    rig.command(Join(leg=1, room=3))
    said = codes(160 * 50)
    say(rig, 1, said)
    rig.run(5)
    rig.leg(2)
    rig.command(Join(leg=2, room=3))
    assert payloads(rig.run(5), 1) == said[160 * (5 - LATER) : 160 * (10 - LATER)]


# ---- on top -----------------------------------------------------------------------------------------------------


def constant(path: Path, value: int) -> str:
    path.write_bytes(np.full(8000, value, "<i2").tobytes())
    return str(path)


def test_what_plays_on_a_joined_leg_is_heard_there_only_and_on_top(tmp_path: Path) -> None:
    l16 = remote("L16/8000")
    rig = bridge(l16, l16)
    said = np.full((2, 8000), [[300], [5000]], np.int16)
    for row in (0, 1):
        arrive(rig, "L16/8000", encoded("L16/8000", said[row]), row=row)
    rig.command(StartPlay(leg=1, job=1, path=constant(tmp_path / "music", 40), layer="background", loops=0))
    rig.command(StartPlay(leg=1, job=2, path=constant(tmp_path / "whisper", 7), layer="aside", loops=0))
    rig.command(StartRecording(leg=1, job=3, path=str(tmp_path / "dual"), sides="dual"))
    rig.command(StartRecording(leg=1, job=4, path=str(tmp_path / "mixed"), sides="mixed"))
    rig.run(20)
    rig.command(StopPlay(leg=1, job=1), StopRecording(leg=1, job=3), StopRecording(leg=1, job=4))
    rig.run(1)
    rig.pipeline.close()
    values = {
        row: [
            int(np.frombuffer(payload, ">i2")[-1])
            for tick, at, octets in rig.network.sent
            if at == row and tick in (10, 20)
            for payload in [octets[12:]]
        ]
        for row in (0, 1)
    }
    assert values == {0: [5047, 5007], 1: [300, 300]}
    dual = np.frombuffer((tmp_path / "dual").read_bytes(), "<i2").reshape(-1, 2)
    assert dual.shape == (20 * 160, 2)
    assert dual[2000].tolist() == [300, 5040]
    assert np.frombuffer((tmp_path / "mixed").read_bytes(), "<i2")[2000] == 5340


HOLDS = [
    ("sendonly", True, False), ("recvonly", False, True), ("inactive", False, False), ("sendrecv", True, True),
]  # fmt: skip


@pytest.mark.parametrize(("direction", "hears", "speaks"), HOLDS)
def test_hold_silences_one_way_or_both_and_unhold_brings_them_back(direction: Any, hears: bool, speaks: bool) -> None:
    rig = bridge(ULAW, ULAW)
    said = [codes(160 * 100, 1), codes(160 * 100, 2)]
    say(rig, 1, said[0])
    say(rig, 2, said[1])
    rig.run(10)
    rig.command(rig.remote(1, direction=direction))
    held = rig.run(10)
    rig.command(rig.remote(1))
    after = rig.run(10)
    parts = [slice(160 * (start - LATER), 160 * (start + 10 - LATER)) for start in (10, 20)]
    assert payloads(held, 0) == (said[1][parts[0]] if hears else b"")
    assert payloads(held, 1) == (said[0][parts[0]] if speaks else ULAW_SILENCE * 10)
    assert [payloads(after, row) for row in (0, 1)] == [said[1][parts[1]], said[0][parts[1]]]


def test_keys_in_the_audio_pass_as_audio_and_are_told() -> None:
    rig = bridge(ULAW, ULAW)
    keys = Rig()
    keys.leg()
    keys.command(SendDigits(leg=1, job=1, digits="19#", mode="inband"))
    tones = payloads(keys.run(60))
    say(rig, 1, tones)
    heard = payloads(rig.run(60 + LATER)[LATER:], 1)
    assert heard == tones
    assert [(event.leg, event.digit) for event in rig.said(DigitReceived)] == [(1, "1"), (1, "9"), (1, "#")]


def test_events_are_told_and_not_passed_and_keys_sent_to_a_joined_leg_replace_what_it_hears() -> None:
    event = {"telephone_event": 101}
    rig = bridge(event, event)
    keys = Rig()
    keys.leg(**event)
    keys.command(SendDigits(leg=1, job=1, digits="5"))
    keys.run(10)
    for tick, _, octets in keys.network.sent:
        rig.network.arrive(tick, 0, octets)
    sent = rig.run(20)
    assert [(event.leg, event.digit) for event in rig.said(DigitReceived)] == [(1, "5")]
    assert {int(kind) for batch in sent for kind in batch.payload_type} == {0}
    assert payloads(sent, 1) == ULAW_SILENCE * 20
    say(rig, 1, codes(160 * 40))
    rig.command(SendDigits(leg=2, job=9, digits="5", mode="inband"))
    tones = rig.run(40)
    pure = Rig()
    pure.leg()
    pure.command(SendDigits(leg=1, job=1, digits="5", mode="inband"))
    assert payloads(tones, 1)[: 160 * 10] == payloads(pure.run(10))
