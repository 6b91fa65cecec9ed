"""Tones have their frequencies, level and cadence."""

from __future__ import annotations

import numpy as np
import pytest
from flexml.media import tones


@pytest.mark.parametrize("name", sorted(tones.TONES))
def test_one_cadence_is_as_long_as_its_parts_and_silent_where_off(name: str) -> None:
    made = tones.samples(name)
    assert made.dtype == np.int16
    assert made.size == sum(on + off for on, off in tones.TONES[name].cadence) * 8
    start = 0
    for on, off in tones.TONES[name].cadence:
        assert made[start : start + on * 8].any()
        assert not made[start + on * 8 : start + (on + off) * 8].any()
        start += (on + off) * 8


@pytest.mark.parametrize("name", [name for name, tone in tones.TONES.items() if tone.frequencies_hz])
def test_the_spectrum_holds_the_frequencies_at_their_level_and_nothing_else(name: str) -> None:
    tone = tones.TONES[name]
    on = tones.samples(name)[: tone.cadence[0][0] * 8].astype(np.float64)
    window = np.hanning(on.size)
    points = 8 * on.size  # padded, so that a frequency between two bins keeps its level
    spectrum = np.abs(np.fft.rfft(on * window, points)) * 2 / window.sum()
    peaks = {hz: round(hz * points / 8000) for hz in tone.frequencies_hz}
    for peak in peaks.values():
        level_dbm0 = 20 * np.log10(spectrum[peak - 2 : peak + 3].max() / 32767) + 3.14
        assert level_dbm0 == pytest.approx(tone.level_dbm0, abs=0.5)
    elsewhere = np.ones(spectrum.size, np.bool_)
    for peak in peaks.values():
        elsewhere[peak - 80 : peak + 81] = False
    assert spectrum[elsewhere].max() < 0.01 * spectrum.max()


def test_comfort_noise_is_at_minus_60_dbm0_and_the_same_each_time() -> None:
    noise = tones.samples("comfort-noise").astype(np.float64)
    rms = np.sqrt(np.mean(noise**2))
    assert 20 * np.log10(rms * np.sqrt(2) / 32767) + 3.14 == pytest.approx(-60, abs=0.2)
    tones.samples.cache_clear()
    np.testing.assert_array_equal(tones.samples("comfort-noise"), noise)


def test_samples_are_shared_and_cannot_be_written() -> None:
    assert tones.samples("beep") is tones.samples("beep")
    with pytest.raises(ValueError, match="read-only"):
        tones.samples("beep")[0] = 1


def test_busy_and_congestion_have_a_default() -> None:
    np.testing.assert_array_equal(tones.samples("busy"), tones.samples("busy-us"))
    np.testing.assert_array_equal(tones.samples("congestion"), tones.samples("congestion-us"))


def test_an_unknown_tone_is_answered_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match=r"tone 'fanfare' is not known; known: beep, busy, .*ringback-us"):
        tones.samples("fanfare")
