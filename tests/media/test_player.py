"""Players on many rows: to the sample, gapless, and each play ends exactly once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flexml.media.player import Finished, Player
from flexml.media.sound import Sound, SoundError, Sounds
from numpy.typing import NDArray

ROW = np.array([0], np.intp)


def noise(count: int, seed: int = 1) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-32768, 32768, count).astype(np.int16)


def sound_of(tmp_path: Path, samples: NDArray[np.int16], sounds: Sounds, name: str = "a.s16") -> Sound:
    path = tmp_path / name
    path.write_bytes(samples.tobytes())
    return sounds.file(str(path))


def run(player: Player, ticks: int, rows: NDArray[np.intp] = ROW) -> NDArray[np.int16]:
    frames: list[NDArray[np.int16]] = []
    for _ in range(ticks):
        frame = player.step(rows)
        frames.append(np.zeros((rows.size, player.frame_samples), np.int16) if frame is None else frame)
    return np.concatenate(frames, axis=1)


LINES = [
    # samples, offset ms, loops, pause ms, limit ms -> the line they make
    (160, 0, 1, 0, 0, "0:160"),
    (161, 0, 1, 0, 0, "0:161"),
    (1000, 0, 1, 0, 0, "0:1000"),
    (1000, 20, 1, 0, 0, "160:1000"),
    (1000, 124, 1, 0, 0, "992:1000"),
    (1000, 0, 3, 0, 0, "0:1000 0:1000 0:1000"),
    (1000, 100, 2, 0, 0, "800:1000 0:1000"),
    (1000, 0, 2, 30, 0, "0:1000 -240 0:1000"),
    (320, 0, 3, 1000, 0, "0:320 -8000 0:320 -8000 0:320"),
    (7, 0, 60, 0, 0, " ".join(["0:7"] * 60)),
    (1000, 0, 1, 0, 50, "0:400"),
    (300, 0, 0, 0, 100, "0:300 0:300 0:200"),
    (1000, 0, 1, 0, 125, "0:1000"),
    (160, 20, 2, 0, 0, "0:160"),
    (160, 99, 3, 10, 0, "-80 0:160 -80 0:160"),
]


@pytest.mark.parametrize(("count", "offset", "loops", "pause", "limit", "line"), LINES)
def test_the_line_played_is_exact_and_ends_once(
    tmp_path: Path, count: int, offset: int, loops: int, pause: int, limit: int, line: str
) -> None:
    samples = noise(count)
    pieces: list[NDArray[np.int16]] = []
    for part in line.split():
        first, _, last = part.partition(":")
        pieces.append(samples[int(first) : int(last)] if last else np.zeros(-int(first), np.int16))
    expected = np.concatenate(pieces)
    sounds = Sounds()
    player = Player(1, sounds)
    player.start(0, 7, sound_of(tmp_path, samples, sounds), offset=offset, loops=loops, pause=pause, limit=limit)
    ticks = -(-expected.size // 160)
    got = run(player, ticks - 1)[0] if ticks > 1 else np.zeros(0, np.float32)
    assert player.take_finished() == []
    got = np.concatenate([got, run(player, 1)[0]])
    np.testing.assert_array_equal(got[: expected.size], expected)
    assert not got[expected.size :].any()
    (finished,) = player.take_finished()
    assert finished[:3] == (0, 7, "ended")
    assert player.step(ROW) is None
    assert len(sounds) == 0


def test_zero_loops_play_on_and_on(tmp_path: Path) -> None:
    sounds, samples = Sounds(), noise(250)
    player = Player(1, sounds)
    player.start(0, 1, sound_of(tmp_path, samples, sounds), loops=0)
    np.testing.assert_array_equal(run(player, 1000)[0], np.tile(samples, 640))
    assert player.stop(0, 1)
    assert player.take_finished()[0].reason == "stopped"


def test_many_rows_equal_each_row_alone(tmp_path: Path) -> None:
    sounds = Sounds()
    rng = np.random.default_rng(4)
    made = [sound_of(tmp_path, noise(int(rng.integers(100, 3000)), n), sounds, f"{n}.s16") for n in range(4)]
    plays = [
        (made[int(rng.integers(4))], int(rng.integers(300)), int(rng.integers(1, 4)), int(rng.integers(3)) * 25)
        for _ in range(30)
    ]
    together = Player(32, sounds)
    rows = np.arange(1, 31)
    alone: list[NDArray[np.float32]] = []
    for row, (sound, offset, loops, pause) in zip(rows, plays, strict=True):
        sound.users += 2
        together.start(int(row), 5, sound, offset=offset, loops=loops, pause=pause)
        single = Player(1, sounds)
        single.start(0, 5, sound, offset=offset, loops=loops, pause=pause)
        alone.append(run(single, 60)[0])
    np.testing.assert_array_equal(run(together, 60, rows), np.array(alone))
    assert len(together.take_finished()) == 30


def test_a_new_play_replaces_the_one_that_plays(tmp_path: Path) -> None:
    sounds = Sounds()
    player = Player(1, sounds)
    player.start(0, 1, sound_of(tmp_path, noise(1600), sounds))
    run(player, 2)
    player.start(0, 2, sounds.tone("beep"), loops=0)
    assert player.take_finished() == [Finished(0, 1, "replaced", 40)]
    assert not player.stop(0, 1)
    assert player.stop(0, 2)
    assert len(sounds) == 0


def test_closing_a_row_ends_its_play(tmp_path: Path) -> None:
    sounds = Sounds()
    player = Player(2, sounds)
    player.start(1, 9, sound_of(tmp_path, noise(1600), sounds))
    player.close(0)
    player.close(1)
    player.close(1)
    assert player.take_finished() == [Finished(1, 9, "closed", 0)]


SEEKS = [
    # to, by -> position in ms after 100 ms have played of 1000
    (None, 200, 300),
    (None, -60, 40),
    (None, -5000, 0),
    (0, 0, 0),
    (640, 0, 640),
    (640, -40, 600),
]


@pytest.mark.parametrize(("to", "by", "position"), SEEKS)
def test_seek_moves_and_clamps_at_the_start(tmp_path: Path, to: int | None, by: int, position: int) -> None:
    sounds, samples = Sounds(), noise(8000)
    player = Player(1, sounds)
    player.start(0, 1, sound_of(tmp_path, samples, sounds))
    run(player, 5)
    assert player.seek(0, 1, to=to, by=by)
    np.testing.assert_array_equal(run(player, 1)[0], samples[position * 8 : position * 8 + 160])
    player.close(0)
    assert player.take_finished() == [Finished(0, 1, "closed", position + 20)]


def test_seeking_past_the_end_ends_the_play_there(tmp_path: Path) -> None:
    sounds = Sounds()
    player = Player(1, sounds)
    player.start(0, 1, sound_of(tmp_path, noise(8000), sounds), loops=5)
    assert player.seek(0, 1, to=999_999)
    assert player.take_finished() == [Finished(0, 1, "ended", 1000)]
    assert not player.seek(0, 1, to=0)


def test_what_ends_between_two_repetitions_ends_at_the_end_of_the_first_and_can_go_on_from_there(
    tmp_path: Path,
) -> None:
    sounds, samples = Sounds(), noise(160)
    player = Player(1, sounds)
    sound = sound_of(tmp_path, samples, sounds)
    sound.users += 1
    player.start(0, 1, sound, loops=4, pause=1000)
    run(player, 53)
    assert player.stop(0, 1)
    assert player.take_finished() == [Finished(0, 1, "stopped", 20, 1)]
    player.start(0, 2, sound, offset=20, loops=3, pause=20)
    np.testing.assert_array_equal(run(player, 2)[0], np.concatenate([np.zeros(160, np.int16), samples]))


def test_an_offset_past_the_end_ends_the_play_at_once(tmp_path: Path) -> None:
    sounds = Sounds()
    player = Player(1, sounds)
    player.start(0, 1, sound_of(tmp_path, noise(80), sounds), offset=10)
    assert player.take_finished() == [Finished(0, 1, "ended", 10)]
    assert player.step(ROW) is None


def test_a_paused_play_stands_still_and_goes_on_where_it_was(tmp_path: Path) -> None:
    sounds, samples = Sounds(), noise(1600)
    player = Player(1, sounds)
    player.start(0, 1, sound_of(tmp_path, samples, sounds))
    first = run(player, 3)[0]
    player.seek(0, 1, paused=True)
    assert player.step(ROW) is None
    player.seek(0, 1, paused=False)
    np.testing.assert_array_equal(np.concatenate([first, run(player, 7)[0]]), samples)
    assert player.take_finished() == [Finished(0, 1, "ended", 200)]


def test_rows_that_play_nothing_stay_silent(tmp_path: Path) -> None:
    sounds = Sounds()
    player = Player(3, sounds)
    player.start(1, 1, sound_of(tmp_path, noise(1600), sounds))
    frames = player.step(np.array([0, 1, 2]))
    assert frames is not None
    assert frames[1].any()
    assert not frames[[0, 2]].any()


def test_a_file_is_mapped_once_for_all_who_play_it_and_let_go_with_the_last(tmp_path: Path) -> None:
    sounds = Sounds()
    first = sound_of(tmp_path, noise(800), sounds)
    assert sounds.file(str(tmp_path / "a.s16")) is first
    sounds.release(first)
    assert len(sounds) == 1
    sounds.release(first)
    assert len(sounds) == 0


def test_a_file_replaced_under_its_name_is_another_sound(tmp_path: Path) -> None:
    sounds = Sounds()
    first = sound_of(tmp_path, noise(800), sounds)
    other = tmp_path / "b.s16"
    other.write_bytes(noise(800, 2).tobytes())
    other.replace(tmp_path / "a.s16")
    second = sounds.file(str(tmp_path / "a.s16"))
    assert second is not first
    assert not np.array_equal(first.samples, second.samples)


UNPLAYABLE = [
    ("missing.s16", None, r"missing\.s16: cannot be opened: No such file"),
    ("empty.s16", b"", r"empty\.s16: expected whole 16-bit samples, at least one, found 0 octets"),
    ("odd.s16", b"abc", r"odd\.s16: expected whole 16-bit samples, at least one, found 3 octets"),
    ("", None, r"cannot be mapped|expected whole|cannot be opened"),
    ("a\0b", None, r"cannot be opened: embedded null"),
]


@pytest.mark.parametrize(("name", "content", "error"), UNPLAYABLE)
def test_what_cannot_be_played_says_why(tmp_path: Path, name: str, content: bytes | None, error: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    sounds = Sounds()
    with pytest.raises(SoundError, match=error):
        sounds.file(str(path))
    assert len(sounds) == 0


def test_an_unknown_tone_cannot_be_played() -> None:
    with pytest.raises(SoundError, match="'fanfare' is not known"):
        Sounds().tone("fanfare")
