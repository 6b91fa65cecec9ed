"""Codecs of 16 kHz, and mixes of all codecs, through the whole tick on a fake network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flexml.codecs.bank import Bank
from flexml.codecs.catalog import BY_NAME
from flexml.codecs.coder import Coder, Frames
from flexml.codecs.opus import TOKEN, Opus
from flexml.codecs.resample import Downsampler, Upsampler
from flexml.media import rtp
from flexml.media.events import CommandFailed, DigitReceived, DigitsSent, LegClosed, PlayFinished
from flexml.media.protocol import CloseLeg, SendDigits, StartPlay, StartRecording, StartTone, StopRecording
from numpy.typing import NDArray

from .rig import Rig, packet

TYPES = {"PCMU": 0, "PCMA": 8, "G722": 9, "L16": 96, "L16/8000": 97, "OPUS": 98}
WIDE = ["G722", "L16", "OPUS"]
ROW = np.array([0])


def sine(hz: float, seconds: float, rate_hz: int, peak: float = 8000) -> NDArray[np.int16]:
    return np.rint(peak * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate_hz)) / rate_hz)).astype(np.int16)


def sound_file(path: Path, samples: NDArray[np.int16]) -> str:
    path.write_bytes(samples.astype("<i2").tobytes())
    return str(path)


def coder_of(name: str) -> Coder:
    return Bank(1).open(0, name)


def decoded(name: str, payloads: list[bytes]) -> Frames:
    """Decode packets of 20 ms that all came."""
    coder = coder_of(name)
    frames: list[Frames] = []
    for payload in payloads:
        octets = np.frombuffer(payload, np.uint8)[None]
        if isinstance(coder, Opus):
            octets = np.concatenate([coder.keep([payload], ROW).tokens, np.zeros((1, TOKEN.itemsize), np.uint8)], 1)
        have = np.ones((1, 160 + coder.ahead), np.bool_)
        have[:, 160:] = False
        frames.append(coder.decode(octets, have, ROW)[0])
    return np.concatenate(frames)


def encoded(name: str, samples: NDArray[np.int16]) -> list[bytes]:
    """Encode samples at the codec's rate as packets of 20 ms."""
    coder = coder_of(name)
    made = [coder.encode(f, ROW) for f in samples.astype(np.float32).reshape(-1, 1, coder.rate_hz // 50)]
    return [octets[0, : octets.shape[1] if size is None else size[0]].tobytes() for octets, size in made]


def payload_of(batch: rtp.RtpBatch, at: int) -> bytes:
    start = int(batch.start[at])
    return batch.data[int(batch.index[at]), start : start + int(batch.length[at])].tobytes()


def sent_to(batches: list[rtp.RtpBatch], row: int = 0) -> list[tuple[int, int, bytes]]:
    """What went to a row: payload type, timestamp, payload."""
    return [
        (int(batch.payload_type[at]), int(batch.timestamp[at]), payload_of(batch, at))
        for batch in batches
        for at in np.flatnonzero(batch.rows == row).tolist()
    ]


def share_at(heard: NDArray[np.floating | np.signedinteger], hz: float, rate_hz: int) -> float:
    audio = heard.astype(np.float64)
    power = np.abs(np.fft.rfft(audio * np.hanning(audio.size))) ** 2
    return float(power[np.abs(np.fft.rfftfreq(audio.size, 1 / rate_hz) - hz) < 60].sum() / max(power.sum(), 1e-9))


def arrive(rig: Rig, name: str, packets: list[bytes], row: int = 0, **options: Any) -> None:
    """Let packets of 20 ms come in, one a tick; `lost` names those that do not."""
    units = BY_NAME[name].clock_hz // 50
    first, lost = options.get("first", 1000), options.get("lost", set[int]())
    for tick, payload in enumerate(packets):
        if tick not in lost:
            stamp = (first + tick * units) % 2**32
            rig.network.arrive(tick, row, packet(tick, payload, kind=TYPES[name], stamp=stamp))


def heard_by(rig: Rig, ticks: int, path: Path, leg: int = 1) -> NDArray[np.int16]:
    """Run, and return what the leg said as the recorder, and with it every listener, hears it."""
    rig.command(StartRecording(leg=leg, job=90, path=str(path), sides="heard"))
    rig.run(ticks)
    rig.command(StopRecording(leg=leg, job=90))
    rig.pipeline.close()
    rig.pipeline._stages.recorder._writer.close()  # pyright: ignore[reportPrivateUsage]
    return np.frombuffer(path.read_bytes(), "<i2")


# ---- sending ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(TYPES))
def test_timestamps_count_the_clock_of_the_codec(name: str) -> None:
    rig = Rig()
    rig.leg(codec=name, payload_type=TYPES[name])
    sent = sent_to(rig.run(10))
    units = BY_NAME[name].clock_hz // 50
    assert [kind for kind, _, _ in sent] == [TYPES[name]] * 10
    assert [stamp for _, stamp, _ in sent] == [(2**32 - 800 + units * n) % 2**32 for n in range(10)]


@pytest.mark.parametrize("name", WIDE)
def test_a_sound_of_16_khz_reaches_a_wideband_leg_whole(name: str, tmp_path: Path) -> None:
    rig = Rig()
    rig.leg(codec=name, payload_type=TYPES[name])
    path = sound_file(tmp_path / "a.s16", sine(6000, 1.0, 16000))
    rig.command(StartPlay(leg=1, job=1, path=path, rate_hz=16000))
    heard = decoded(name, [payload for _, _, payload in sent_to(rig.run(60))])
    assert share_at(heard[3200:15000], 6000, 16000) > 0.9
    assert heard[3200:15000].std() == pytest.approx(8000 / np.sqrt(2), rel=0.15)
    assert rig.said(PlayFinished) == [PlayFinished(leg=1, job=1, reason="ended", position=1000)]


def test_l16_carries_a_sound_of_16_khz_to_the_sample(tmp_path: Path) -> None:
    rig = Rig()
    rig.leg(codec="L16", payload_type=96)
    samples = np.random.default_rng(1).integers(-20000, 20000, 16000).astype(np.int16)
    rig.command(StartPlay(leg=1, job=1, path=sound_file(tmp_path / "a.s16", samples), rate_hz=16000))
    sent = b"".join(payload for _, _, payload in sent_to(rig.run(50)))
    assert sent == samples.astype(">i2").tobytes()


def test_a_sound_of_16_khz_is_brought_down_for_a_narrowband_leg(tmp_path: Path) -> None:
    rig = Rig()
    samples = sine(1000, 1.0, 16000) + sine(6000, 1.0, 16000)
    path = sound_file(tmp_path / "a.s16", samples)
    rig.leg(codec="L16/8000", payload_type=97)
    rig.command(StartPlay(leg=1, job=1, path=path, rate_hz=16000))
    heard = decoded("L16/8000", [payload for _, _, payload in sent_to(rig.run(50))])[400:]
    assert share_at(heard, 1000, 8000) > 0.9999
    assert share_at(heard, 2000, 8000) < 1e-5


@pytest.mark.parametrize("name", WIDE)
def test_sounds_of_8_khz_are_brought_up_without_images(name: str, tmp_path: Path) -> None:
    rig = Rig()
    rig.leg(codec=name, payload_type=TYPES[name])
    rig.command(StartPlay(leg=1, job=1, path=sound_file(tmp_path / "a.s16", sine(2000, 1.0, 8000))))
    heard = decoded(name, [payload for _, _, payload in sent_to(rig.run(50))])[3200:]
    assert share_at(heard, 2000, 16000) > 0.99
    assert share_at(heard, 6000, 16000) < 1e-4


def test_layers_of_both_rates_are_heard_together_and_aside_is_not_recorded(tmp_path: Path) -> None:
    rig = Rig()
    rig.leg(codec="L16", payload_type=96)
    spool = tmp_path / "sent.s16"
    rig.command(
        StartPlay(leg=1, job=1, path=sound_file(tmp_path / "a", sine(3000, 1.0, 16000)), rate_hz=16000),
        StartPlay(leg=1, job=2, path=sound_file(tmp_path / "b", sine(500, 1.0, 8000)), layer="background"),
        StartPlay(leg=1, job=3, path=sound_file(tmp_path / "c", sine(7000, 1.0, 16000)), rate_hz=16000, layer="aside"),
        StartRecording(leg=1, job=4, path=str(spool), sides="sent"),
    )
    heard = decoded("L16", [payload for _, _, payload in sent_to(rig.run(50))])[800:15000]
    for hz in (500, 3000, 7000):
        assert share_at(heard, hz, 16000) == pytest.approx(1 / 3, abs=0.01)
    rig.pipeline.close()
    rig.pipeline._stages.recorder._writer.close()  # pyright: ignore[reportPrivateUsage]
    recorded = np.frombuffer(spool.read_bytes(), "<i2")[800:7500]
    assert share_at(recorded, 500, 8000) == pytest.approx(0.5, abs=0.01)
    assert share_at(recorded, 3000, 8000) == pytest.approx(0.5, abs=0.01)


def test_a_play_at_another_rate_replaces_that_of_its_layer(tmp_path: Path) -> None:
    rig = Rig()
    rig.leg(codec="G722", payload_type=9)
    narrow, wide = sound_file(tmp_path / "a", sine(500, 1, 8000)), sound_file(tmp_path / "b", sine(500, 1, 16000))
    rig.command(
        StartPlay(leg=1, job=1, path=narrow),
        StartPlay(leg=1, job=2, path=wide, rate_hz=16000),
        StartTone(leg=1, job=3, tone="beep"),
        StartPlay(leg=1, job=4, path=wide, rate_hz=16000),
        StartPlay(leg=1, job=5, path=narrow, layer="background"),
    )
    rig.run(1)
    rig.command(CloseLeg(leg=1))
    ended = sorted((event.job, event.reason) for event in rig.said(PlayFinished))
    assert ended == [(1, "replaced"), (2, "replaced"), (3, "replaced"), (4, "closed"), (5, "closed")]


@pytest.mark.parametrize(("asked", "used"), [(10, 10), (20, 20), (30, 30), (40, 40), (60, 40)])
def test_l16_keeps_the_ptime_of_the_peer_as_far_as_a_packet_holds_it(asked: int, used: int, tmp_path: Path) -> None:
    rig = Rig()
    samples = np.random.default_rng(1).integers(-20000, 20000, 16000).astype(np.int16)
    rig.leg(codec="L16", payload_type=96, ptime=asked)
    rig.command(StartPlay(leg=1, job=1, path=sound_file(tmp_path / "a", samples), rate_hz=16000))
    sent = sent_to(rig.run(12))
    assert {len(payload) for _, _, payload in sent} == {used * 32}
    assert b"".join(payload for _, _, payload in sent) == samples[: 12 * 320].astype(">i2").tobytes()
    assert [stamp for _, stamp, _ in sent] == [(2**32 - 800 + used * 16 * n) % 2**32 for n in range(len(sent))]


# ---- receiving --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(TYPES))
@pytest.mark.parametrize("first", [1000, 2**32 - 30_000], ids=["", "over the wrap"])
def test_speech_of_every_codec_is_heard_at_8_khz(name: str, first: int, tmp_path: Path) -> None:
    rig = Rig()
    rig.leg(codec=name, payload_type=TYPES[name])
    arrive(rig, name, encoded(name, sine(1000, 2.0, BY_NAME[name].rate_hz)), first=first)
    heard = heard_by(rig, 100, tmp_path / "heard")[1600:14000]
    assert share_at(heard, 1000, 8000) > 0.98
    assert heard.std() == pytest.approx(8000 / np.sqrt(2), rel=0.1)
    stats = rig.said(LegClosed)[0].stats
    assert (stats.packets_received, stats.late, stats.invalid, stats.lost) == (100, 0, 0, 0)
    assert stats.jitter_ms < 1


@pytest.mark.parametrize("name", list(TYPES))
def test_loss_is_concealed_at_its_pitch_and_without_a_click(name: str, tmp_path: Path) -> None:
    """Of a tone that repeats every 5 ms, what is made up is nearly what was lost."""
    rig = Rig()
    rig.leg(codec=name, payload_type=TYPES[name])
    samples = sine(200, 2.0, BY_NAME[name].rate_hz)
    arrive(rig, name, encoded(name, samples), lost={30, 50, 70})
    heard = heard_by(rig, 100, tmp_path / "heard")[1600:14000].astype(np.float64)
    assert share_at(heard, 200, 8000) > 0.97
    assert np.abs(np.diff(heard)).max() < 2.5 * 8000 * 2 * np.pi * 200 / 8000
    assert rig.said(LegClosed)[0].stats.concealed_ms >= 60


RUBBISH = [
    ("OPUS", b"\x03", 98), ("OPUS", b"\xff\x3f" + bytes(30), 98), ("OPUS", b"\x13\xff\xff", 98),
    ("L16", bytes(641), 96), ("L16", b"\x01", 96), ("L16/8000", bytes(3), 97),
]  # fmt: skip


@pytest.mark.parametrize(("name", "payload", "kind"), RUBBISH)
def test_payloads_that_cannot_be_the_codec_are_counted_and_harm_nobody(name: str, payload: bytes, kind: int) -> None:
    rig = Rig()
    rig.leg(1, codec=name, payload_type=kind)
    rig.leg(2)
    for tick in range(20):
        rig.network.arrive(tick, 0, packet(tick, payload, kind=kind, stamp=1000 + tick * 960))
        rig.network.arrive(tick, 1, packet(tick))
    rig.run(40)
    rig.command(CloseLeg(leg=1), CloseLeg(leg=2))
    assert [event.stats.invalid for event in rig.said(LegClosed)] == [20, 0]


def test_any_payload_of_any_codec_is_survived() -> None:
    rig = Rig()
    random = np.random.default_rng(3)
    for number, name in enumerate(TYPES):
        rig.leg(number + 1, codec=name, payload_type=TYPES[name])
    for tick in range(200):
        for row, name in enumerate(TYPES):
            octets, stamp = random.bytes(int(random.integers(1, 1400))), int(random.integers(0, 50_000))
            rig.network.arrive(tick, row, packet(tick, octets, kind=TYPES[name], stamp=stamp))
    assert all(len(batch) == len(TYPES) for batch in rig.run(210))


def test_a_changed_codec_keeps_what_was_counted_and_the_stream() -> None:
    rig = Rig()
    rig.leg(codec="OPUS", payload_type=98)
    rig.network.arrive(0, 0, packet(0, b"\x03", kind=98))
    rig.network.arrive(1, 0, packet(3, b"\x03", kind=98))
    before = sent_to(rig.run(5))
    rig.command(rig.remote(codec="G722", payload_type=9))
    rig.network.arrive(5, 0, packet(4, bytes(160), kind=9, stamp=0))
    after = sent_to(rig.run(5))
    assert after[0][1] == (before[-1][1] + 960) % 2**32
    assert after[1][1] == (after[0][1] + 160) % 2**32
    rig.command(CloseLeg(leg=1))
    stats = rig.said(LegClosed)[0].stats
    assert (stats.packets_received, stats.packets_sent, stats.invalid, stats.lost) == (3, 10, 2, 2)


# ---- digits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "event_hz", "a_tick"),
    [("OPUS", 48000, 960), ("OPUS", 8000, 160), ("L16", 16000, 320), ("G722", 8000, 160)],
)
def test_digits_count_their_clock_and_lie_on_the_line_of_the_audio(name: str, event_hz: int, a_tick: int) -> None:
    remote: dict[str, Any] = {
        "codec": name, "payload_type": TYPES[name], "telephone_event": 101, "telephone_event_hz": event_hz,
    }  # fmt: skip
    sender = Rig()
    sender.leg(**remote)
    sender.command(SendDigits(leg=1, job=2, digits="19"))
    sent = sent_to(sender.run(30))
    events = [(stamp, int.from_bytes(payload[2:4], "big")) for kind, stamp, payload in sent if kind == 101]
    units = BY_NAME[name].clock_hz // 50
    starts = list(dict.fromkeys(stamp for stamp, _ in events))
    assert starts == [(2**32 - 800 + units * tick) % 2**32 for tick in (0, 10)]
    lasting = [duration for stamp, duration in events if stamp == starts[0]]
    assert lasting == [a_tick * tick for tick in (1, 2, 3, 4, 5, 5, 5)]
    assert sender.said(DigitsSent) == [DigitsSent(leg=1, job=2)]
    receiver = Rig()
    receiver.leg(**remote)
    for tick, _, octets in sender.network.sent:
        receiver.network.arrive(tick, 0, octets)
    receiver.run(40)
    assert [event.digit for event in receiver.said(DigitReceived)] == ["1", "9"]


def test_a_long_press_at_48_khz_goes_on_in_segments_and_is_one_digit() -> None:
    remote: dict[str, Any] = {
        "codec": "OPUS", "payload_type": 98, "telephone_event": 101, "telephone_event_hz": 48000,
    }  # fmt: skip
    sender, receiver = Rig(), Rig()
    sender.leg(**remote)
    receiver.leg(**remote)
    sender.command(SendDigits(leg=1, job=2, digits="55", on=4000))
    sent = [(stamp, payload) for kind, stamp, payload in sent_to(sender.run(450)) if kind == 101]
    starts = list(dict.fromkeys(stamp for stamp, _ in sent))
    assert [(later - starts[0]) % 2**32 for later in starts[:3]] == [0, 0xFFFF, 2 * 0xFFFF]
    assert int.from_bytes(sent[199][1][2:4], "big") + 2 * 0xFFFF == 4 * 48000
    for tick, _, octets in sender.network.sent:
        receiver.network.arrive(tick, 0, octets)
    receiver.run(460)
    assert [event.digit for event in receiver.said(DigitReceived)] == ["5", "5"]


@pytest.mark.parametrize("name", WIDE)
def test_keys_in_band_are_heard_over_wideband_codecs(name: str) -> None:
    sender, receiver = Rig(), Rig()
    for rig in (sender, receiver):
        rig.leg(codec=name, payload_type=TYPES[name])
    sender.command(SendDigits(leg=1, job=1, digits="147*", mode="inband"))
    sender.run(60)
    for tick, _, octets in sender.network.sent:
        receiver.network.arrive(tick, 0, octets)
    receiver.run(70)
    assert "".join(event.digit for event in receiver.said(DigitReceived)) == "147*"


# ---- together ---------------------------------------------------------------------------------------------------


def test_legs_of_all_codecs_at_once_equal_each_leg_alone(tmp_path: Path) -> None:
    together, expected = Rig(), list[list[tuple[int, int, bytes]]]()
    names = list(TYPES)
    for number, name in enumerate(names):
        alone = Rig()
        noise = np.random.default_rng(number).normal(0, 3000, 16000).astype(np.int16)
        wide, narrow = sound_file(tmp_path / f"{number}w", noise), sound_file(tmp_path / f"{number}n", noise[::2])
        for rig, leg in ((together, number + 1), (alone, 1)):
            rig.leg(leg, codec=name, payload_type=TYPES[name])
            rig.command(
                StartPlay(leg=leg, job=1, path=wide, rate_hz=16000),
                StartPlay(leg=leg, job=2, path=narrow, layer="background"),
                SendDigits(leg=leg, job=3, digits=",1", mode="inband"),
            )
        expected.append(sent_to(alone.run(50)))
    sent = together.run(50)
    assert [sent_to(sent, row) for row in range(len(names))] == expected
    assert not together.said(CommandFailed)


def test_a_row_used_again_has_nothing_of_the_wideband_leg_before(tmp_path: Path) -> None:
    rig = Rig()
    path = sound_file(tmp_path / "a", sine(3000, 1, 16000))
    rig.leg(1, codec="L16", payload_type=96)
    rig.command(StartPlay(leg=1, job=1, path=path, rate_hz=16000))
    arrive(rig, "L16", encoded("L16", sine(3000, 0.2, 16000)))
    rig.run(12)
    rig.command(CloseLeg(leg=1))
    rig.leg(2, codec="L16", payload_type=96)
    assert all(payload == bytes(640) for _, _, payload in sent_to(rig.run(10)))
    rig.command(CloseLeg(leg=2))
    assert rig.said(LegClosed)[1].stats.packets_received == 0


def test_up_and_down_delay_as_they_say() -> None:
    """What listeners hear of a wideband leg comes this much later, which is far less than a tick."""
    impulse = np.zeros((1, 160), np.float32)
    impulse[0, 0] = 1000
    wide = Upsampler(1).step(impulse, ROW)
    assert int(wide[0].argmax()) == 31
    assert int(Downsampler(1).step(wide, ROW)[0].argmax()) == 31
