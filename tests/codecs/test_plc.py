"""Concealment of lost audio, against G.711 Appendix I written out sample by sample, but for the delay that it adds."""

import numpy as np
import pytest
from flexml.codecs.plc import FRAME, Concealer, Flags, Frames, Timing
from numpy.typing import NDArray

RETURN = Timing.at(8000).fade_in
ALL = np.ones((1, FRAME), np.bool_)
NONE = np.zeros((1, FRAME), np.bool_)
ROW = np.array([0])

Samples = NDArray[np.float64]


def tone(hz: float, frames: int) -> Frames:
    time = np.arange(frames * FRAME) / 8000
    return (8000 * np.sin(2 * np.pi * hz * time)).astype(np.float32).reshape(frames, 1, FRAME)


def run(concealer: Concealer, frames: Frames, lost: set[int]) -> Frames:
    out = [
        concealer.step(np.zeros_like(frame) if number in lost else frame, NONE if number in lost else ALL, ROW)
        for number, frame in enumerate(frames)
    ]
    return np.concatenate(out, axis=1)[0]


def opened() -> Concealer:
    concealer = Concealer(4)
    concealer.open(0)
    return concealer


def voice(frames: int, rate_hz: int = 8000) -> Frames:
    """Return something like speech: harmonics of a pitch that wanders, in noise."""
    random = np.random.default_rng(3)
    frame = rate_hz // 50
    time = np.arange(frames * frame) / rate_hz
    phase = 2 * np.pi * np.cumsum(115 + 40 * np.sin(2 * np.pi * 1.3 * time)) / rate_hz
    sound = np.sum([np.sin(number * phase + number**2) / number for number in range(1, 12)], axis=0)
    sound = 3000 * sound * (1 + 0.5 * np.sin(2 * np.pi * 3 * time)) + random.normal(0, 100, time.size)
    return sound.astype(np.float32).reshape(frames, 1, frame)


def last_period(past: Samples, ms: int) -> Samples:
    """Return the pitch period that `past` ends with, its last quarter going over into what came before it."""
    recent = past[-20 * ms :]
    best, period = -np.inf, 0
    for lag in range(15 * ms, 5 * ms - 1, -1):
        earlier = past[-20 * ms - lag : -lag]
        likeness = float(recent @ earlier) / np.sqrt(float(earlier @ earlier) + 1)
        if likeness > best:
            best, period = likeness, lag
    cycle = past[-period:].copy()
    overlap = period // 4
    for step in range(1, overlap + 1):
        at = period - overlap - 1 + step
        cycle[at] += (past[-2 * period + at] - cycle[at]) * step / overlap
    return cycle


def written_out(sound: Samples, have: Flags, ms: int) -> Samples:
    """Return `sound`, in which a first sample is there, with what is missing made up."""
    said = np.zeros(60 * ms + sound.size)
    cycle, elapsed, back = np.zeros(1), 60 * ms, 5 * ms
    for at in range(sound.size):
        if not have[at] and back:
            cycle, elapsed = last_period(said[at : 60 * ms + at], ms), 0
        back = min(back + 1, 5 * ms) if have[at] else 0
        made_up = cycle[elapsed % cycle.size] * min(max((60 * ms - elapsed - 1) / (50 * ms), 0), 1)
        elapsed += 1
        share = back / (5 * ms)
        said[60 * ms + at] = share * (sound[at] if have[at] else 0) + (1 - share) * made_up
    return said[60 * ms :]


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_gaps_of_every_length_are_filled_as_the_appendix_says(rate_hz: int) -> None:
    frame = rate_hz // 50
    sound = voice(120, rate_hz)
    have = np.ones(sound.size, np.bool_)
    gaps = (
        (4.0, 1),
        (8.2, 0.3),
        (12.5, 1),
        (16.9, 2.2),
        (22.0, 3),
        (27.3, 1.6),
        (32.1, 8),
        (45.0, 0.1),
        (48, 2),
        (53.7, 1),
    )
    for begin, length in gaps:
        have[int(begin * frame) : int((begin + length) * frame)] = False
    concealer = Concealer(1, rate_hz)
    concealer.open(0)
    lines = have.reshape(-1, 1, frame)
    heard = [
        concealer.step(np.where(there, one, np.float32(7)), there, ROW) for one, there in zip(sound, lines, strict=True)
    ]
    expected = written_out(sound.reshape(-1).astype(np.float64), have, rate_hz // 1000)
    assert np.abs(np.concatenate(heard, axis=1)[0] - expected).max() < 2


@pytest.mark.parametrize("lost_before", [{7, 8}, {7}], ids=["within a gap", "after one"])
def test_a_row_opened_anew_is_as_one_that_was_never_used(lost_before: set[int]) -> None:
    used, fresh = opened(), opened()
    run(used, voice(9), lost_before)
    used.open(0)
    lost = {0, 2, 5, 6, 7}
    assert (run(used, voice(12), lost) == run(fresh, voice(12), lost)).all()


def test_audio_with_nothing_missing_passes_as_it_is() -> None:
    concealer = opened()
    frames = tone(300, 50)
    for frame in frames:
        assert (concealer.step(frame, ALL, ROW) == frame).all()
    last = frames[0]
    assert concealer.step(last, ALL, ROW) is last


def test_a_lost_frame_of_a_tone_is_continued_at_its_level() -> None:
    frames = tone(100, 10)
    heard = run(opened(), frames, lost={5})
    wanted = frames.reshape(-1)
    gap = slice(5 * FRAME, 5 * FRAME + 80)
    assert np.abs(heard[gap] - wanted[gap]).max() < 400  # of 8000
    assert np.abs(np.diff(heard)).max() < 1.5 * np.abs(np.diff(wanted)).max()


def test_a_long_gap_fades_to_silence_after_60_ms() -> None:
    frames = tone(120, 12)
    heard = run(opened(), frames, lost=set(range(4, 12)))
    gap = heard[4 * FRAME :]
    assert np.abs(gap[: FRAME // 2]).max() > 7000
    assert 0 < np.abs(gap[400:480]).max() < 2000
    assert not gap[480:].any()


def test_audio_that_returns_is_faded_in_over_5_ms_and_then_exact() -> None:
    frames = tone(120, 12)
    heard = run(opened(), frames, lost={4, 5, 6, 7, 8})
    back = 9 * FRAME
    assert (heard[back + RETURN :] == frames.reshape(-1)[back + RETURN :]).all()
    assert np.abs(heard[back]) <= np.abs(frames.reshape(-1)[back])


def test_the_first_audio_of_a_row_is_exact() -> None:
    frames = tone(120, 6)
    heard = run(opened(), frames, lost={0, 1})
    assert not heard[: 2 * FRAME].any()
    assert (heard[2 * FRAME :] == frames.reshape(-1)[2 * FRAME :]).all()


def test_a_gap_within_a_frame_touches_nothing_before_it() -> None:
    frames = tone(200, 6)
    concealer = opened()
    for frame in frames[:4]:
        concealer.step(frame, ALL, ROW)
    have = ALL.copy()
    have[0, 50:100] = False
    out = concealer.step(np.where(have, frames[4], np.float32(0)), have, ROW)
    assert (out[0, :50] == frames[4, 0, :50]).all()
    assert (out[0, 100 + RETURN :] == frames[4, 0, 100 + RETURN :]).all()
    assert np.abs(out[0, 50:100] - frames[4, 0, 50:100]).max() < 400


def test_rows_at_once_equal_each_row_alone() -> None:
    random = np.random.default_rng(2)
    frames = random.normal(0, 3000, (60, 5, FRAME)).astype(np.float32)
    have = np.repeat(random.random((60, 5, 16)) > 0.2, 10, axis=2) | (random.random((60, 5, 1)) > 0.4)
    rows = np.array([1, 2, 4, 6, 7])
    together, alone = Concealer(8), Concealer(8)
    for tick in range(60):
        out = together.step(frames[tick], have[tick], rows)
        for at, row in enumerate(rows.tolist()):
            one = alone.step(frames[tick, at : at + 1], have[tick, at : at + 1], np.array([row]))
            assert np.allclose(one[0], out[at], atol=0.01)


def test_a_closed_row_is_silent_and_forgets() -> None:
    concealer = opened()
    for frame in tone(100, 5):
        concealer.step(frame, ALL, ROW)
    concealer.close(0)
    assert not concealer.step(tone(100, 1)[0], NONE, ROW).any()
