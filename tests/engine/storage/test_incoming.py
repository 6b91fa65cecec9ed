"""Files that come in, over a real directory and database."""

from __future__ import annotations

import asyncio
import os
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from flexml.engine.errors import ContainerFullError
from flexml.engine.storage.base import StoredFile
from flexml.engine.storage.incoming import BLOCK, forget, incoming
from flexml.engine.storage.local import LocalStorage

from .test_local import ACCOUNT, opened


def files(folder: Path) -> list[Path]:
    return [path for path in (folder / "files").rglob("*") if path.is_file()]


async def send(
    storage: LocalStorage,
    coming: StoredFile,
    chunks: Iterable[bytes],
    written: list[int] | None = None,
    announced: int = 0,
) -> None:
    """Let chunks come in; how long those are that were taken goes to `written`."""
    async with incoming(storage, coming) as file:
        file.announce(announced)
        for chunk in chunks:
            await file.write(chunk)
            if written is not None:
                written.append(len(chunk))


def test_what_came_in_whole_is_a_file_and_takes_no_more_memory_than_some_blocks(
    tmp_path: Path, database_url: str
) -> None:
    async def run() -> None:
        async with opened(tmp_path, database_url) as storage:
            container = await storage.create_container(ACCOUNT, "a", quota_bytes=100 * BLOCK)
            coming = storage.new_file(ACCOUNT, container, "grüße.mp3", "audio/mpeg")
            chunk = bytes(64 * 1024)
            tracemalloc.start()
            async with incoming(storage, coming) as file:
                file.announce(40 * BLOCK)
                for _ in range(40 * BLOCK // len(chunk)):
                    await file.write(chunk)
                await file.write(b"end")
                stored = await file.store()
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert most < 8 * BLOCK
            assert (stored.bytes, stored.format) == (40 * BLOCK + 3, "mp3")
            assert await storage.open_file(ACCOUNT, stored.sid) == stored
            assert files(tmp_path) == [storage.path(stored)]
            assert storage.path(stored).read_bytes()[-4:] == b"\0end"

    asyncio.run(run())


def test_what_outgrows_the_quota_ends_there_and_leaves_nothing(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with opened(tmp_path, database_url) as storage:
            container = await storage.create_container(ACCOUNT, "a", quota_bytes=1000)
            coming = storage.new_file(ACCOUNT, container, "a.wav", "")
            written: list[int] = []
            with pytest.raises(ContainerFullError) as caught:
                await send(storage, coming, (bytes(100) for _ in range(20)), written)
            assert (sum(written), caught.value.free) == (1000, 1000)
            with pytest.raises(ContainerFullError):
                await send(storage, coming, [], announced=1001)
            assert files(tmp_path) == []
            assert await storage.find(coming.sid) is None

    asyncio.run(run())


@pytest.mark.parametrize("ending", [asyncio.CancelledError, ConnectionResetError])
def test_what_breaks_off_leaves_nothing(tmp_path: Path, database_url: str, ending: type[BaseException]) -> None:
    async def run() -> None:
        async with opened(tmp_path, database_url) as storage:
            coming = storage.new_file(ACCOUNT, await storage.default_container(ACCOUNT), "a.wav", "")

            def breaking() -> Iterator[bytes]:
                yield bytes(2 * BLOCK)
                assert len(files(tmp_path)) == 1
                raise ending

            with pytest.raises(ending):
                await send(storage, coming, breaking())
            assert files(tmp_path) == []

    asyncio.run(run())


def test_two_that_come_in_at_once_do_not_share_the_last_room(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with opened(tmp_path, database_url) as storage:
            container = await storage.create_container(ACCOUNT, "a", quota_bytes=100)
            first, second = (storage.new_file(ACCOUNT, container, "a.wav", "") for _ in range(2))
            async with incoming(storage, first) as one, incoming(storage, second) as other:
                await one.write(bytes(60))
                await other.write(bytes(60))
                await one.store()
                with pytest.raises(ContainerFullError) as caught:
                    await other.store()
            assert caught.value.free == 40
            assert await storage.find(first.sid) is not None
            assert files(tmp_path) == [storage.path(first)]

    asyncio.run(run())


def test_what_a_killed_process_left_is_forgotten(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with opened(tmp_path, database_url) as storage:
            forget(storage, 1000.0)
            left = storage.folder / "incoming" / "left"
            left.parent.mkdir(parents=True)
            left.write_bytes(b"x")
            os.utime(left, (1000, 1000))
            forget(storage, 1000.0)
            assert left.exists(), "it may be another engine's that still comes in"
            forget(storage, 1000.5)
            assert not left.exists()

    asyncio.run(run())
