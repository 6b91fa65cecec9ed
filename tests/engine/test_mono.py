"""Decoded audio of any shape becomes mono PCM, whatever numbers are in it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from av.audio.frame import AudioFrame
from flexml.engine.mono import Mono, Samples
from numpy.typing import NDArray


def tone(rate_hz: int) -> NDArray[np.float32]:
    """A second at half of full scale."""
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz)).astype(np.float32)


def converted(channels: NDArray[np.float32], rate_hz: int) -> Samples:
    layout = "mono" if len(channels) == 1 else "stereo"
    frame = AudioFrame.from_ndarray(channels, format="fltp", layout=layout)
    frame.sample_rate = rate_hz
    mono = Mono(8000)
    return np.concatenate([mono.convert(frame), mono.flush()])


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e30, -3e38])
def test_a_number_that_is_no_sample_is_a_click_at_most(rate_hz: int, number: float) -> None:
    whole, spoiled = tone(rate_hz), tone(rate_hz)
    spoiled[rate_hz // 2] = number
    wanted = converted(whole[None], rate_hz).astype(np.int64)
    difference = np.abs(converted(spoiled[None], rate_hz) - wanted)
    assert wanted.size == 8000
    assert difference.max(initial=0, where=np.abs(np.arange(8000) - 4000) > 40) < 700  # of 16384, 5 ms away


def test_a_channel_of_no_numbers_leaves_the_other() -> None:
    heard = converted(np.stack([tone(8000), np.full(8000, math.nan, np.float32)]), 8000)
    assert np.abs(heard - 8192 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)).max() < 2


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_are_none_and_cancel_each_other_are_silence(number: float) -> None:
    assert not converted(np.stack([np.full(8000, sign * number, np.float32) for sign in (1, -1)]), 8000).any()


def test_what_is_a_little_too_loud_in_one_channel_is_not_clipped_in_the_mix() -> None:
    heard = converted(np.stack([3 * tone(8000), -tone(8000)]), 8000)
    assert np.abs(heard - 16384 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)).max() < 2
