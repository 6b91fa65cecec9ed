"""The ring of frames against a plain array of samples that does the same."""

from __future__ import annotations

import numpy as np
import pytest
from flexml.media.frame_ring import AHEAD, FRAMES, RING, FrameRing
from flexml.media.rows import FRAME_SAMPLES

FRAME = FRAME_SAMPLES
ROW = np.array([1])


class Plain:
    """One row: sample n from what is played next on lies at n; those behind come last, -1 there where nothing is."""

    def __init__(self) -> None:
        self.samples = np.full(RING, -1)

    def place(self, position: int, octets: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> None:
        self.samples[(position + np.arange(octets.size)) % RING] = octets

    def move(self, shift: int) -> None:
        end = AHEAD * FRAME
        if shift > 0:
            self.samples[end : end + shift] = -1  # the oldest, where what comes next is to lie
            self.samples = np.roll(self.samples, -shift)
        else:
            self.samples = np.roll(self.samples, -shift)
            self.samples[:-shift] = self.samples[end : end - shift] = -1


def samples(ring: FrameRing, head: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    at = ring.places(ROW, (head + np.arange(FRAMES))[:, None])[:, 0]
    return np.where(ring.flags(at), ring.octets(at)[:, :, 0].astype(np.int64), -1).ravel()


@pytest.mark.parametrize("unit", [FRAME, 1])
def test_what_is_placed_lies_where_it_was_placed_however_the_play_point_moves(unit: int) -> None:
    random = np.random.default_rng(unit)
    ring, plain, head = FrameRing(3, 1), Plain(), 5
    for _ in range(300):
        position = int(random.integers(0, AHEAD * FRAME - 480) // unit * unit)
        octets = random.integers(0, 256, int(random.integers(1, 4)) * 80 if unit == 1 else FRAME, np.uint8)
        place = np.array([(head * FRAME + position) % RING])
        if unit == FRAME:
            ring.put(ring.places(ROW, place // FRAME), octets[None, :, None])
        else:
            ring.place(ROW, place, octets[None, :, None])
        plain.place(position, octets)
        if random.random() < 0.2:
            shift = int(random.integers(-10 * FRAME, 12 * FRAME) // unit * unit)
            if shift:
                head = int(ring.move(ROW, np.array([head]), np.array([shift]))[0])
                plain.move(shift)
        assert (samples(ring, head) == plain.samples).all()


def test_a_frame_that_came_in_pieces_is_whole_once_the_last_is_there() -> None:
    ring, at = FrameRing(3, 1), FrameRing.places(ROW, np.array([2]))
    for start, whole in ((80, False), (0, True)):
        ring.place(ROW, np.array([2 * FRAME + start]), np.ones((1, 80, 1), np.uint8))
        assert not ring.empty(at)[0]
        assert ring.whole(at)[0] == whole
    ring.drop(at)
    assert ring.empty(at)[0]


def test_what_was_there_of_a_frame_is_forgotten_once_that_is_dropped() -> None:
    ring, at = FrameRing(3, 1), FrameRing.places(ROW, np.array([2]))
    ring.place(ROW, np.array([2 * FRAME]), np.ones((1, 80, 1), np.uint8))
    ring.drop(at)
    ring.place(ROW, np.array([2 * FRAME + 100]), np.ones((1, 20, 1), np.uint8))
    assert np.flatnonzero(ring.flags(at)[0]).tolist() == list(range(100, 120))


def test_a_row_is_cleared_and_those_beside_it_are_not() -> None:
    ring = FrameRing(3, 1)
    everywhere = [FrameRing.places(np.full(FRAMES, row), np.arange(FRAMES)) for row in range(3)]
    for at in everywhere:
        ring.put(at, np.ones((FRAMES, FRAME, 1), np.uint8))
    ring.clear(1)
    assert [ring.whole(at).all() for at in everywhere] == [True, False, True]
    assert ring.empty(everywhere[1]).all()
