"""Long texts: heard from the first sentence on, while espeak-ng makes the others."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from flexml.engine.errors import PromptError
from flexml.engine.speech.pauses import pause
from flexml.engine.speech.service import Speech, SpeechSettings
from flexml.engine.speech.voices import TAIL_MS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from flexml.engine.flexml.verb import Prompt
    from flexml.engine.growth import Growth

LONG = " ".join(f"This is sentence number {number}, one of many." for number in range(1, 41))
SAMPLE = 2


@contextlib.asynccontextmanager
async def opened(directory: Path) -> AsyncGenerator[Speech]:
    speech = Speech(directory, SpeechSettings(man="espeak", woman="espeak"))
    await speech.start()
    try:
        yield speech
    finally:
        await speech.close()


def read(prompt: Prompt) -> bytes:
    return Path(prompt.path).read_bytes()


def inode(prompt: Prompt) -> int:
    return Path(prompt.path).stat().st_ino


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir() if path.is_file()}


def growing(directory: Path) -> bool:
    return any(name.endswith(".growing") for name in names(directory))


async def end(growth: Growth | None) -> Growth:
    assert growth is not None
    while not growth.complete:
        await growth.changed()
    return growth


def test_the_first_sentence_can_be_heard_while_the_rest_is_made(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as speech:
            prompt = await speech.say(LONG)
            assert prompt.growth is not None
            assert not prompt.growth.complete
            assert prompt.duration_ms == 0
            first = read(prompt)
            assert prompt.growth.available * SAMPLE == len(first)
            assert 8000 < prompt.growth.available < 8000 * 5
            seen = [prompt.growth.available]
            while not prompt.growth.complete:
                await prompt.growth.changed()
                seen.append(prompt.growth.available)
            whole = read(prompt)
        assert seen == sorted(seen)
        assert len(set(seen)) > 10
        assert prompt.growth.error == ""
        assert whole.startswith(first)
        assert len(whole) == prompt.growth.available * SAMPLE

    asyncio.run(run())


def test_whoever_asks_while_it_grows_gets_the_same_and_later_the_whole(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as speech:
            one, two = await asyncio.gather(speech.say(LONG), speech.say(LONG))
            three = await speech.say(LONG)
            assert one.growth is two.growth is three.growth
            assert {one.path} == {two.path, three.path}
            growth = await end(one.growth)
            whole = await speech.whole(LONG)
        async with opened(tmp_path) as speech:
            later = await speech.say(LONG)
        assert (later.path, later.growth) == (one.path, None)
        assert later.duration_ms == whole.duration_ms == growth.available // 8

    asyncio.run(run())


def test_a_sentence_said_before_is_not_made_again_in_another_text(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as speech:
            hello = await speech.say("Hello there.")
            made = inode(hello)
            await speech.whole("Hello there. Good bye.")
            await speech.whole("Good bye. Hello there.")
            assert inode(hello) == made
            bye = await speech.say("Good bye.")
        files = names(tmp_path)
        assert len(files) == 4  # two sentences, two texts
        assert {Path(hello.path).name, Path(bye.path).name} < files

    asyncio.run(run())


def test_a_short_text_does_not_wait_for_a_long_one(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as speech:
            long = [await speech.say(LONG.replace("many", word)) for word in ("few", "some")]
            for word in ("One.", "Two.", "Three."):
                await speech.say(word)
            assert all(prompt.growth is not None and not prompt.growth.complete for prompt in long)

    asyncio.run(run())


def block(made: Path, directory: Path, number: int) -> Path:
    """Put a directory where the piece of that number will have to be, going by what was `made` of the same text."""
    pieces = sorted(made.glob("*.pcm"), key=lambda path: path.stat().st_size)[:-1]  # the largest is the whole
    ordered = sorted(pieces, key=lambda path: path.stat().st_mtime_ns)
    blocked = directory / ordered[number].name
    blocked.mkdir(parents=True)
    return blocked


def test_a_later_sentence_that_fails_ends_the_text_with_an_error_and_is_tried_anew(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path / "made") as speech:
            whole = await speech.whole(LONG)
        blocked = block(tmp_path / "made", tmp_path / "tried", 20)
        async with opened(tmp_path / "tried") as speech:
            prompt = await speech.say(LONG)
            growth = await end(prompt.growth)
            assert "Is a directory" in growth.error
            assert 0 < growth.available < whole.duration_ms * 8 * 2 // 3
            assert Path(prompt.path).name not in names(tmp_path / "tried")
            assert not growing(tmp_path / "tried")
            with pytest.raises(PromptError, match="Is a directory"):
                await speech.whole(LONG)
            blocked.rmdir()
            assert (await speech.whole(LONG)).duration_ms == whole.duration_ms

    asyncio.run(run())


def break_off(prompt: Prompt) -> None:
    """What an engine leaves that is killed while it makes that prompt."""
    path = Path(prompt.path)
    path.write_bytes(path.read_bytes()[:16000])
    path.with_suffix(".growing").touch()


def test_what_was_not_completed_is_made_anew_after_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as speech:
            whole = await speech.whole(LONG)
        octets = read(whole)
        break_off(whole)
        async with opened(tmp_path) as speech:
            assert Path(whole.path).name not in names(tmp_path)
            assert not growing(tmp_path)
            assert await speech.whole(LONG) == whole
        assert read(whole) == octets

    asyncio.run(run())


def test_closing_ends_a_text_that_grows(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as speech:
            prompt = await speech.say(LONG)
        assert prompt.growth is not None
        assert (prompt.growth.complete, prompt.growth.error) == (True, "the engine is ending")

    asyncio.run(run())


def test_pauses_of_the_text_are_silent_for_as_long(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as speech:
            one, two = [await speech.whole(word) for word in ("One", "Two")]
            both = await speech.whole(f"{pause(1000)}One{pause(2000)}Two{pause(500)}")
            sound = np.frombuffer(read(both), np.int16)
            first, second = [np.frombuffer(read(word), np.int16) for word in (one, two)]
            before, between, after = [np.zeros(ms * 8, np.int16) for ms in (1000, 2000 - TAIL_MS, 500 - TAIL_MS)]
            np.testing.assert_array_equal(sound, np.concatenate([before, first, between, second, after]))
            silent = await speech.whole(pause(1200))
            assert (silent.duration_ms, set(read(silent))) == (1200, {0})

    asyncio.run(run())
