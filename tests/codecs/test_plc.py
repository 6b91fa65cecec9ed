"""Concealment of lost audio."""

import numpy as np
from flexml.codecs.plc import FRAME, Concealer, Frames, Timing

RETURN = Timing.at(8000).fade_in
ALL = np.ones((1, FRAME), np.bool_)
NONE = np.zeros((1, FRAME), np.bool_)
ROW = np.array([0])


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
