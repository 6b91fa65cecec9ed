"""Conversions are made once, kept, and let go; the converter is the real process unless it is said otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from flexml.engine.conversions import Conversions
from flexml.engine.errors import PromptError
from flexml.engine.workers import Workers


class Counted(Workers):
    """Copies the source instead of converting it, when it is let; counts how often."""

    def __init__(self) -> None:
        super().__init__("flexml.engine.convert", size=0)
        self.runs = 0
        self.asked, self.free = asyncio.Event(), asyncio.Event()

    async def run(self, progress: Callable[[dict[str, Any]], None] | None = None, **request: Any) -> dict[str, Any]:
        self.runs += 1
        self.asked.set()
        await self.free.wait()
        shutil.copyfile(request["source"], request["target"])
        return {}


@contextlib.asynccontextmanager
async def opened(folder: Path, workers: Workers | None = None, most: int = 10**6) -> AsyncGenerator[Conversions]:
    conversions = Conversions(folder, max_bytes=most, workers=workers)
    await conversions.start()
    try:
        yield conversions
    finally:
        await conversions.close()


def made(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "converted").iterdir() if path.is_file())


def test_the_process_converts_a_wave_file(tmp_path: Path) -> None:
    source = tmp_path / "a.wav"
    soundfile.write(source, np.zeros(8000, np.int16), 8000)

    async def run() -> None:
        async with opened(tmp_path) as conversions:
            with await conversions.open(source, "1", "mp3") as file:
                assert soundfile.info(file).format == "MP3"
            source.write_bytes(b"nothing")
            with pytest.raises(PromptError, match="not audio"):
                await conversions.open(source, "2", "mp3")
            assert len(made(tmp_path)) == 1
            assert list((tmp_path / "converted" / "growing").iterdir()) == []

    asyncio.run(run())


def test_a_folder_that_somebody_has_removed_is_made_anew(tmp_path: Path) -> None:
    source = tmp_path / "a.wav"
    soundfile.write(source, np.zeros(8000, np.int16), 8000)

    async def run() -> None:
        async with opened(tmp_path) as conversions:
            await asyncio.to_thread(shutil.rmtree, tmp_path / "converted")
            with await conversions.open(source, "1", "mp3") as file:
                assert soundfile.info(file).format == "MP3"
            await asyncio.to_thread(shutil.rmtree, tmp_path / "converted")

    asyncio.run(run())


def test_however_many_ask_at_once_or_later_it_is_converted_once(tmp_path: Path) -> None:
    source = tmp_path / "a.wav"
    source.write_bytes(b"octets")

    async def run() -> None:
        counted = Counted()
        async with opened(tmp_path, counted) as conversions:
            asking = [asyncio.create_task(conversions.open(source, "1", "mp3")) for _ in range(20)]
            await counted.asked.wait()
            asking[0].cancel()  # who leaves does not spoil it for the others
            counted.free.set()
            files = await asyncio.gather(*asking[1:])
            assert [file.read() for file in files] == [b"octets"] * 19
            for file in files:
                file.close()
            (await conversions.open(source, "1", "mp3")).close()
            assert counted.runs == 1
            (await conversions.open(source, "1", "ogg")).close()
            (await conversions.open(source, "2", "mp3")).close()
            assert counted.runs == 3
        async with opened(tmp_path, counted) as conversions:  # after a restart
            (await conversions.open(source, "1", "mp3")).close()
            assert counted.runs == 3

    asyncio.run(run())


def test_the_longest_unused_is_let_go_and_what_is_being_read_stays_readable(tmp_path: Path) -> None:
    source = tmp_path / "a.wav"
    source.write_bytes(b"x" * 400)

    async def run() -> None:
        counted = Counted()
        counted.free.set()
        async with opened(tmp_path, counted, most=1000) as conversions:
            first = await conversions.open(source, "1", "mp3")
            (await conversions.open(source, "2", "mp3")).close()
            for number, name in enumerate(made(tmp_path)):
                os.utime(tmp_path / "converted" / name, (number, number))
            (await conversions.open(source, "1", "mp3")).close()  # used now
            (await conversions.open(source, "3", "mp3")).close()
            assert (len(made(tmp_path)), counted.runs) == (2, 3)
            (await conversions.open(source, "1", "mp3")).close()
            assert counted.runs == 3
            (await conversions.open(source, "2", "mp3")).close()
            assert counted.runs == 4
            with first:
                assert first.read() == b"x" * 400

    asyncio.run(run())
