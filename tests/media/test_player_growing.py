"""Players of sounds that are still being made, and of streams kept as a ring."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from flexml.media.player import Finished, Player
from flexml.media.sound import Sound, Sounds
from numpy.typing import NDArray

ROW = np.array([0], np.intp)
SPARSE = 8000 * 7200


def noise(count: int, seed: int = 1) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-32768, 32768, count).astype(np.int16)


def run(player: Player, ticks: int, rows: NDArray[np.intp] = ROW) -> NDArray[np.int16]:
    frames: list[NDArray[np.int16]] = []
    for _ in range(ticks):
        frame = player.step(rows)
        frames.append(np.zeros((rows.size, player.frame_samples), np.int16) if frame is None else frame)
    return np.concatenate(frames, axis=1)


class Growing:
    """A file as the decoder makes it: as large as it may become at first, cut to what there is at the end."""

    def __init__(self, path: Path, sounds: Sounds, samples: NDArray[np.int16], *, sparse: bool = True) -> None:
        self.path, self.samples, self.sparse, self.there = path, samples, sparse, 0
        path.touch()
        if sparse:
            os.truncate(path, SPARSE * 2)
        self.sounds = sounds

    def sound(self) -> Sound:
        return self.sounds.file(str(self.path), growing=True)

    def to(self, available: int) -> int:
        with self.path.open("r+b") as file:
            file.seek(self.there * 2)
            file.write(self.samples[self.there : available].tobytes())
        self.there = available
        return available

    def finish(self) -> None:
        os.truncate(self.path, self.there * 2)


@pytest.mark.parametrize("sparse", [True, False])
def test_a_growing_sound_waits_in_silence_for_more_and_goes_on_to_the_sample(tmp_path: Path, sparse: bool) -> None:
    sounds, samples = Sounds(), noise(1000)
    growing = Growing(tmp_path / "a", sounds, samples, sparse=sparse)
    player = Player(1, sounds)
    player.start(0, 7, (growing.to(250), growing.sound())[1], available=250)
    first = run(player, 4)[0]
    np.testing.assert_array_equal(first[:250], samples[:250])
    assert not first[250:].any()
    assert player.grow(0, 7, available=growing.to(1000), complete=False)
    more = run(player, 6)[0]
    np.testing.assert_array_equal(more[:750], samples[250:])
    assert not more[750:].any()
    assert player.take_finished() == []
    growing.finish()
    player.grow(0, 7, available=1000, complete=True)
    assert player.take_finished() == [Finished(0, 7, "ended", 125)]
    assert len(sounds) == 0


def test_pages_that_were_cut_off_at_completion_are_never_touched(tmp_path: Path) -> None:
    """They would kill the process: the map reaches two hours further than the file."""
    sounds, samples = Sounds(), noise(5000)
    growing = Growing(tmp_path / "a", sounds, samples)
    player = Player(3, sounds)
    rows = np.arange(3)
    growing.to(300)
    for row in rows:
        player.start(int(row), 1, growing.sound(), available=300, loops=2)
    run(player, 1, rows)
    growing.to(5000)
    growing.finish()
    for row in rows:
        player.grow(int(row), 1, available=5000, complete=True)
    player.seek(1, 1, to=3_600_000)
    player.seek(2, 1, to=620)
    heard = run(player, 70, rows)
    np.testing.assert_array_equal(heard[0, : 10_000 - 160], np.tile(samples, 2)[160:])
    assert not heard[1].any()
    np.testing.assert_array_equal(heard[2, :5040], np.concatenate([samples[4960:], samples]))
    assert [(f.row, f.reason, f.loops) for f in player.take_finished()] == [
        (1, "ended", 0),
        (2, "ended", 1),
        (0, "ended", 1),
    ]


COMPLETIONS = [
    # position in samples and repetitions when it turns out that 480 samples are all -> what is heard then
    (480, 1, ""),
    (480, 2, "0:480"),
    (160, 1, "160:480"),
    (160, 2, "160:480 0:480"),
]


@pytest.mark.parametrize(("position", "loops", "line"), COMPLETIONS)
def test_once_complete_it_ends_and_repeats_as_ever(tmp_path: Path, position: int, loops: int, line: str) -> None:
    sounds, samples = Sounds(), noise(480)
    growing = Growing(tmp_path / "a", sounds, samples)
    player = Player(1, sounds)
    growing.to(480)
    player.start(0, 1, growing.sound(), available=480, loops=loops)
    run(player, position // 160)
    growing.finish()
    player.grow(0, 1, available=480, complete=True)
    parts = [part.split(":") for part in line.split()]
    expected = np.concatenate([samples[:0], *(samples[int(first) : int(last)] for first, last in parts)])
    np.testing.assert_array_equal(run(player, 10)[0], np.pad(expected, (0, 1600 - expected.size)))
    assert [finished.reason for finished in player.take_finished()] == ["ended"]


@pytest.mark.parametrize("strict", [False, True])
def test_a_seek_past_what_is_there_waits_for_it_unless_strict(tmp_path: Path, strict: bool) -> None:
    sounds, samples = Sounds(), noise(8000)
    growing = Growing(tmp_path / "a", sounds, samples)
    player = Player(1, sounds)
    growing.to(800)
    player.start(0, 1, growing.sound(), available=800)
    player.seek(0, 1, by=500, strict=strict)
    np.testing.assert_array_equal(run(player, 2)[0], samples[:320] if strict else np.zeros(320))
    player.grow(0, 1, available=growing.to(8000), complete=False)
    at = 320 if strict else 4000
    np.testing.assert_array_equal(run(player, 2)[0], samples[at : at + 320])


def test_what_ends_before_an_offset_ends_the_play(tmp_path: Path) -> None:
    sounds = Sounds()
    growing = Growing(tmp_path / "a", sounds, noise(800))
    player = Player(1, sounds)
    growing.to(400)
    player.start(0, 1, growing.sound(), available=400, offset=10_000)
    assert not run(player, 3).any()
    growing.to(800)
    growing.finish()
    player.grow(0, 1, available=800, complete=True)
    assert player.take_finished() == [Finished(0, 1, "ended", 100)]


def test_many_growing_rows_equal_each_row_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    sounds = Sounds()
    made = [Growing(tmp_path / str(n), sounds, noise(3000, n)) for n in range(3)]
    plays = [(int(rng.integers(3)), int(rng.integers(100)), int(rng.integers(1, 3))) for _ in range(12)]
    rows = np.arange(1, 13)
    together, alone = Player(14, sounds), [Player(1, sounds) for _ in rows]
    for growing in made:
        growing.to(200)
    for row, (n, offset, loops) in zip(rows, plays, strict=True):
        for player, at in ((together, int(row)), (alone[row - 1], 0)):
            player.start(at, 5, made[n].sound(), available=200, offset=offset, loops=loops)
    for step in range(1, 30):
        for n, growing in enumerate(made):
            available = growing.to(min(3000, 200 + step * 100 * (n + 1)))
            for row, (which, _, _) in zip(rows, plays, strict=True):
                if which == n:
                    together.grow(int(row), 5, available=available, complete=step == 29)
                    alone[row - 1].grow(0, 5, available=available, complete=step == 29)
        np.testing.assert_array_equal(run(together, 1, rows), np.concatenate([run(one, 1) for one in alone]))
    np.testing.assert_array_equal(run(together, 40, rows), np.concatenate([run(one, 40) for one in alone]))
    assert len(together.take_finished()) == 12


# ---- streams --------------------------------------------------------------------------------------------------


class Ring:
    """A stream's file: sample n lies at n modulo the size."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size, self.there = path, size, 0
        self.stream = noise(size * 4)
        self.file = np.memmap(path, np.int16, "w+", shape=(size,))

    def to(self, available: int) -> int:
        new = np.arange(self.there, available)
        self.file[new % self.size] = self.stream[new]
        self.there = available
        return available


@pytest.mark.parametrize(
    ("available", "offset", "begins"),
    [(2400, 0, 0), (12_000, 0, 0), (12_000, 500, 4000), (40_000, 4000, 32_000), (40_000, 100, 26_000), (40, 9000, 40)],
)
def test_a_stream_begins_where_asked_within_what_is_kept_and_never_passes_its_newest(
    tmp_path: Path, available: int, offset: int, begins: int
) -> None:
    sounds, ring = Sounds(), Ring(tmp_path / "ring", 16_000)
    ring.to(available)
    player = Player(2, sounds)
    rows = np.arange(2)
    for row in rows:  # both shapes: a row by itself and rows with the same sound
        player.start(
            int(row), 1, sounds.file(str(ring.path), growing=True), available=available, ring=16_000, offset=offset
        )
    heard = run(player, 90, rows)
    there = available - begins
    for row in rows:
        np.testing.assert_array_equal(heard[row, :there], ring.stream[begins:available])
        assert not heard[row, there:].any()
    for row in rows:
        player.grow(int(row), 1, available=ring.to(available + 1600), complete=False)
    np.testing.assert_array_equal(run(player, 10, rows[:1])[0], ring.stream[available : available + 1600])
    player.grow(0, 1, available=available + 1600, complete=True)
    assert [finished.reason for finished in player.take_finished()] == ["ended"]


def test_who_falls_behind_the_ring_goes_on_with_what_is_new(tmp_path: Path) -> None:
    sounds, ring = Sounds(), Ring(tmp_path / "ring", 16_000)
    player = Player(1, sounds)
    player.start(0, 1, sounds.file(str(ring.path), growing=True), available=ring.to(800), ring=16_000)
    player.grow(0, 1, available=ring.to(14_000), complete=False)
    np.testing.assert_array_equal(run(player, 1)[0], ring.stream[:160])
    player.grow(0, 1, available=ring.to(14_800), complete=False)
    np.testing.assert_array_equal(run(player, 1)[0], ring.stream[6800:6960])


@pytest.mark.parametrize(("by", "at"), [(-60_000, 32_000), (-500, 36_000), (60_000, 40_000)])
def test_seeks_in_a_stream_stay_within_what_is_kept(tmp_path: Path, by: int, at: int) -> None:
    sounds, ring = Sounds(), Ring(tmp_path / "ring", 16_000)
    player = Player(1, sounds)
    sound = sounds.file(str(ring.path), growing=True)
    player.start(0, 1, sound, available=ring.to(40_000), ring=16_000, offset=4000)
    run(player, 50)
    player.seek(0, 1, by=by)
    player.grow(0, 1, available=ring.to(40_160), complete=False)
    np.testing.assert_array_equal(run(player, 1)[0], ring.stream[at : at + 160])


def test_frames_are_20_ms_at_any_rate(tmp_path: Path) -> None:
    sounds, samples = Sounds(), noise(1600)
    (tmp_path / "a").write_bytes(samples.tobytes())
    player = Player(1, sounds, rate_hz=16_000)
    player.start(0, 1, sounds.file(str(tmp_path / "a")), offset=20, loops=2, pause=10)
    expected = np.concatenate([samples[320:], np.zeros(160, np.int16), samples])
    np.testing.assert_array_equal(run(player, 10)[0][: expected.size], expected)
    assert player.take_finished() == [Finished(0, 1, "ended", 100, 1)]
