"""Half-band resampling: what passes, what does not, and that no frame border shows."""

import numpy as np
import pytest
from flexml.codecs.resample import DELAY_S, NARROW, WIDE, Downsampler, Frames, Upsampler

ROW = np.array([0])
FRAMES = 60
PEAK = 10000.0
SETTLED = 4 * NARROW
"""Samples after which nothing of the start is left, and FRAMES are far from over."""


def sine(hz: float, rate_hz: int) -> Frames:
    """A sine in frames of 20 ms: float32[FRAMES, 1, rate_hz / 50]."""
    time = np.arange(FRAMES * rate_hz // 50) / rate_hz
    return (PEAK * np.sin(2 * np.pi * hz * time)).astype(np.float32).reshape(FRAMES, 1, -1)


def run(stage: Upsampler | Downsampler, frames: Frames) -> Frames:
    return np.concatenate([stage.step(frame, ROW) for frame in frames], axis=1)[0]


def level_db(heard: Frames, hz: float, rate_hz: int) -> tuple[float, float]:
    """Return the level of the best sine of `hz` against PEAK, and of all else against that sine."""
    settled = heard[SETTLED:].astype(np.float64)
    phase = 2 * np.pi * hz * np.arange(settled.size) / rate_hz
    waves = np.stack([np.sin(phase), np.cos(phase)], axis=1)
    share = np.linalg.lstsq(waves, settled, rcond=None)[0]
    rest = settled - waves @ share
    level = float(np.hypot(*share))
    return 20 * np.log10(level / PEAK), 20 * np.log10(max(np.abs(rest).max(), 1e-9) / level)


PASSING_HZ = [50, 300, 1000, 1700, 2500, 3000, 3400]


@pytest.mark.parametrize("hz", PASSING_HZ)
def test_speech_passes_upwards_at_its_level_without_lines_beside_it(hz: float) -> None:
    level, rest = level_db(run(Upsampler(1), sine(hz, 8000)), hz, 16000)
    assert level == pytest.approx(0, abs=0.02)
    assert rest < -60


@pytest.mark.parametrize("hz", PASSING_HZ)
def test_speech_passes_downwards_at_its_level_without_lines_beside_it(hz: float) -> None:
    level, rest = level_db(run(Downsampler(1), sine(hz, 16000)), hz, 8000)
    assert level == pytest.approx(0, abs=0.02)
    assert rest < -100


@pytest.mark.parametrize("hz", [4600, 5000, 6000, 7000, 7900])
def test_what_8_khz_cannot_carry_is_taken_out(hz: float) -> None:
    heard = run(Downsampler(1), sine(hz, 16000))[SETTLED:]
    assert 20 * np.log10(np.abs(heard).max() / PEAK) < -65


def test_a_sweep_has_no_click_at_any_frame_border() -> None:
    """The third difference of a sine is small and known; a step of a thousandth of the peak would exceed it."""
    time = np.arange(FRAMES * NARROW) / 8000
    sweep = (PEAK * np.sin(2 * np.pi * (100 * time + 100 * time**2))).astype(np.float32).reshape(FRAMES, 1, -1)
    up = run(Upsampler(1), sweep)
    down = run(Downsampler(1), up.reshape(FRAMES, 1, WIDE))
    last_hz = 100 + 200 * time[-1]
    for heard, rate_hz in ((up, 16000), (down, 8000)):
        third = np.abs(np.diff(heard.astype(np.float64), 3))[SETTLED:]
        assert third.max() < PEAK * (2 * np.pi * last_hz / rate_hz) ** 3 + 3 * PEAK / 1000


def test_up_and_down_again_is_the_same_a_little_later() -> None:
    noise = np.random.default_rng(1).normal(0, 3000, (FRAMES, 1, NARROW)).astype(np.float32)
    spectrum = np.fft.rfft(noise.reshape(-1))
    spectrum[int(spectrum.size * 3400 / 4000) :] = 0
    speech = np.fft.irfft(spectrum).astype(np.float32)
    again = run(Downsampler(1), run(Upsampler(1), speech.reshape(FRAMES, 1, NARROW)).reshape(FRAMES, 1, WIDE))
    delay = round(2 * DELAY_S * 8000)
    error = again[delay + SETTLED :] - speech[SETTLED : speech.size - delay]
    assert 20 * np.log10(np.sqrt((error**2).mean()) / speech.std()) < -60


@pytest.mark.parametrize(("kind", "size"), [(Upsampler, NARROW), (Downsampler, WIDE)])
def test_rows_at_once_equal_each_row_alone_and_frames_follow_each_other(
    kind: type[Upsampler | Downsampler], size: int
) -> None:
    rows = np.array([4, 1, 2])
    frames = np.random.default_rng(2).normal(0, 3000, (10, rows.size, size)).astype(np.float32)
    together = kind(5)
    heard = np.stack([together.step(frame, rows) for frame in frames])
    for at in range(rows.size):
        alone = run(kind(1), frames[:, at : at + 1])
        assert (heard[:, at].reshape(-1) == alone).all()


def test_a_row_opened_again_has_forgotten_what_was() -> None:
    for stage, size in ((Upsampler(1), NARROW), (Downsampler(1), WIDE)):
        stage.step(np.full((1, size), 9000, np.float32), ROW)
        stage.open(0)
        assert not stage.step(np.zeros((1, size), np.float32), ROW).any()
