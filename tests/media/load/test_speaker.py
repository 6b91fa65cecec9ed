"""What streams send, packet by packet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from flexml.codecs.g711 import encode_alaw, encode_ulaw
from flexml.media.load.messages import Plan
from flexml.media.load.ports import LONGEST
from flexml.media.load.speaker import Speaker, sound
from flexml.media.rtp import MAX_PACKET, RtpBatch, parse_batch
from flexml.media.telephone_event import EventReceiver


def plan(**more: Any) -> Plan:
    usual = Plan(address="127.0.0.1", first_port=30000, streams=2, codec="PCMU", send="silence")
    return msgspec.structs.replace(usual, **more)


class Mouth:
    """A speaker, and what it says."""

    def __init__(self, plan: Plan) -> None:
        self.packets = np.zeros((plan.streams, LONGEST), np.uint8)
        self.lengths = np.zeros(plan.streams, np.uint64)
        self.speaker = Speaker(plan, self.packets, self.lengths)

    def step(self) -> RtpBatch:
        rows = self.speaker.step(np.arange(self.packets.shape[0]))
        data = np.zeros((self.packets.shape[0], MAX_PACKET), np.uint8)
        data[:, :LONGEST] = self.packets
        batch, good = parse_batch(data, self.lengths[rows].astype(np.int32), rows, rows)
        assert good.all()
        return batch


def test_only_open_rows_speak() -> None:
    mouth = Mouth(plan())
    assert len(mouth.step()) == 0
    mouth.speaker.open(1)
    assert mouth.step().rows.tolist() == [1]
    mouth.speaker.close(1)
    assert len(mouth.step()) == 0


def test_packets_follow_each_other() -> None:
    mouth = Mouth(plan())
    mouth.speaker.open(0)
    batches = [mouth.step() for _ in range(3)]
    sequences = np.array([int(batch.sequence[0]) for batch in batches])
    timestamps = np.array([int(batch.timestamp[0]) for batch in batches])
    assert (np.diff(sequences) % 65536).tolist() == [1, 1]
    assert (np.diff(timestamps) % 2**32).tolist() == [160, 160]
    assert [bool(batch.marker[0]) for batch in batches] == [True, False, False]
    assert len({int(batch.ssrc[0]) for batch in batches}) == 1


def test_each_call_on_a_row_is_another_source() -> None:
    mouth = Mouth(plan())
    sources: set[int] = set()
    for _ in range(5):
        mouth.speaker.open(0)
        sources.add(int(mouth.step().ssrc[0]))
    assert len(sources) == 5


@pytest.mark.parametrize(("codec", "payload_type", "silence"), [("PCMU", 0, 0xFF), ("PCMA", 8, 0xD5)])
def test_silence_is_that_of_the_codec(codec: str, payload_type: int, silence: int) -> None:
    mouth = Mouth(plan(codec=codec))
    mouth.speaker.open(0)
    batch = mouth.step()
    assert (int(batch.payload_type[0]), int(batch.length[0])) == (payload_type, 160)
    assert set(batch.data[0, 12:172].tolist()) == {silence}


def test_a_file_goes_round_from_another_place_on_each_row(tmp_path: Path) -> None:
    samples = np.random.default_rng(2).integers(-9000, 9000, 160 * 50).astype("<i2")
    path = tmp_path / "sound.s16"
    path.write_bytes(samples.tobytes())
    mouth = Mouth(plan(send="file", path=str(path)))
    whole = encode_ulaw(samples.astype(np.float32)).reshape(-1, 160)
    assert np.array_equal(sound(plan(send="file", path=str(path), codec="PCMA")).ravel(),
                          encode_alaw(samples.astype(np.float32)))  # fmt: skip
    mouth.speaker.open(0)
    mouth.speaker.open(1)
    heard = [mouth.step().data[:, 12:172].copy() for _ in range(60)]
    for frame, payload in enumerate(heard):
        assert np.array_equal(payload[0], whole[frame % 50])
        assert np.array_equal(payload[1], whole[(frame + 37) % 50])


def test_keys_are_pressed_once_a_second_and_heard_as_they_were_pressed() -> None:
    mouth = Mouth(plan(digits="1*a", hold_s=8.0))
    mouth.speaker.open(0)
    receiver = EventReceiver(2)
    receiver.open(0)
    heard: list[tuple[int, str]] = []
    kinds: list[int] = []
    for frame in range(8 * 50):
        batch = mouth.step()
        kinds.append(int(batch.payload_type[0]))
        heard += [(frame, digit) for _, digit in receiver.push(batch.where(batch.payload_type == 101))]
    # 8 s less the 2.5 s in which the last is to be heard back: the first after a second, then one a second.
    assert heard == [(50, "1"), (100, "*"), (150, "A"), (200, "1"), (250, "*")]
    assert mouth.speaker.digits_sent.tolist() == [5, 0]
    assert kinds[50:60] == [101] * 8 + [0] * 2


def test_who_sends_nothing_still_presses_keys() -> None:
    mouth = Mouth(plan(send="nothing", digits="5", hold_s=10.0))
    mouth.speaker.open(0)
    spoke = [len(mouth.step()) for _ in range(100)]
    assert [frame for frame, count in enumerate(spoke) if count] == list(range(50, 58))
    assert mouth.speaker.sent == 8
