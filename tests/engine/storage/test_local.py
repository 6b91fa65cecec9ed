"""Files and containers over a real SQLite file and a real directory."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest
from flexml.engine.db import Database
from flexml.engine.errors import ContainerFullError, StorageError
from flexml.engine.storage.base import StoredFile, Wanted, canonical_sid, format_of
from flexml.engine.storage.local import LocalStorage

ACCOUNT, OTHER = "account 1", "account 2"
NOW = 1000.0


class Storage(LocalStorage):
    """With a way to store octets."""

    async def keep(self, octets: bytes, wanted: Wanted | None = None, **changes: object) -> StoredFile:
        content = self.aside / f"content {uuid.uuid4()}"
        content.write_bytes(octets)
        file = await self.reserve(ACCOUNT, wanted or Wanted(name="a.wav", format="wav"))
        file = replace(file, bytes=len(octets), **changes)  # pyright: ignore[reportArgumentType]
        await self.put(file, content)
        return file

    aside: Path


@contextlib.asynccontextmanager
async def opened(folder: Path, url: str) -> AsyncGenerator[Storage]:
    database = Database(url)
    await database.start()
    storage = Storage(database, folder / "files", clock=lambda: NOW)
    storage.aside = folder
    try:
        yield storage
    finally:
        await database.close()


def test_a_file_is_found_again_with_all_its_fields(tmp_path: Path, database_url: str) -> None:
    wanted = Wanted(
        name="a.mp3", format="mp3", string_key_1="s1", string_key_2="s2", integer_key_1=-1, integer_key_2=2**40,
        lifecycle_ttl=5,
    )  # fmt: skip

    async def run() -> None:
        async with opened(tmp_path, database_url) as storage:
            kept = await storage.keep(b"octets", wanted, duration=1.5)
            assert await storage.open_file(ACCOUNT, kept.sid.replace("-", "").upper()) == kept
            assert (kept.mime, kept.integer_key_2, kept.expires, kept.created) == ("audio/mpeg", 2**40, 1005.0, NOW)
            assert (await storage.content(kept.sid))[1].read_bytes() == b"octets"
            parts = storage.path(kept).relative_to(tmp_path / "files").parts
            assert parts == (kept.sid[:2], kept.sid[2:4], f"{kept.sid}.mp3")

    asyncio.run(run())


def test_an_account_has_one_default_container_however_many_ask_at_once(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with opened(tmp_path, database_url) as storage:
            found = await asyncio.gather(*(storage.default_container(ACCOUNT) for _ in range(20)))
            assert len({container.sid for container in found}) == 1
            assert (await storage.default_container(OTHER)).sid != found[0].sid

    asyncio.run(run())


def test_what_is_stored_twice_is_there_once(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with opened(tmp_path, database_url) as storage:
            kept = await storage.keep(b"octets")
            await storage.put(kept, tmp_path / "content")  # as after a crash: it has been moved already
            assert storage.path(kept).read_bytes() == b"octets"
            lost = replace(kept, sid=canonical_sid("6a04a2e12f0e4b5c9a3c07f9a1c1a001"))
            with pytest.raises(StorageError, match="No such file"):
                await storage.put(lost, tmp_path / "content")

    asyncio.run(run())


def test_a_quota_counts_all_files_of_a_container_and_a_replaced_one_once(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with opened(tmp_path, database_url) as storage:
            container = await storage.create_container(ACCOUNT, "small", quota_bytes=10)
            wanted = Wanted(name="a", format="ul", container_sid=container.sid)
            first = await storage.keep(bytes(6), wanted)
            again = Wanted(name="a", format="ul", file_sid=first.sid, append=False)
            await storage.keep(bytes(8), again)
            with pytest.raises(StorageError, match="full: 8 of 10 bytes taken, 3 wanted"):
                await storage.keep(bytes(3), wanted)
            await storage.keep(bytes(2), wanted)
            with pytest.raises(StorageError, match="full"):
                await storage.reserve(ACCOUNT, wanted)

    asyncio.run(run())


def test_what_is_stored_at_the_same_time_keeps_to_one_quota(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with opened(tmp_path, database_url) as storage:
            container = await storage.create_container(ACCOUNT, "small", quota_bytes=100)
            wanted = Wanted(name="a", format="ul", container_sid=container.sid)
            done = await asyncio.gather(*(storage.keep(bytes(30), wanted) for _ in range(8)), return_exceptions=True)
            kept = [one for one in done if isinstance(one, StoredFile)]
            assert (len(kept), sum(isinstance(one, ContainerFullError) for one in done)) == (3, 5)
            left = [path for path in storage.folder.rglob("*") if path.is_file()]
            assert sorted(left) == sorted(storage.path(one) for one in kept)

    asyncio.run(run())


def test_a_content_that_cannot_be_moved_leaves_no_row(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with opened(tmp_path, database_url) as storage:
            file = await storage.reserve(ACCOUNT, Wanted(name="a", format="ul"))
            with pytest.raises(StorageError, match="No such file"):
                await storage.put(file, tmp_path / "nothing")
            assert await storage.find(file.sid) is None

    asyncio.run(run())


def test_a_container_is_deleted_once_it_is_empty(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with opened(tmp_path, database_url) as storage:
            container = await storage.create_container(ACCOUNT, "a")
            kept = await storage.keep(b"x", Wanted(name="a", format="ul", container_sid=container.sid))
            with pytest.raises(StorageError, match="1 files"):
                await storage.delete_container(container.sid)
            await storage.delete(kept.sid)
            assert await storage.delete_container(container.sid)
            assert not await storage.delete_container(container.sid)
            with pytest.raises(StorageError, match="is gone"):
                await storage.put(kept, tmp_path / "content")

    asyncio.run(run())


def test_a_changed_lifetime_counts_from_the_last_change_of_the_content(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with opened(tmp_path, database_url) as storage:
            kept = await storage.keep(b"x", Wanted(name="a", format="ul"))
            await storage.change(kept.sid, {"lifecycle_ttl": 60, "name": "b"})
            assert (await storage.open_file(ACCOUNT, kept.sid)).name == "b"
            assert await storage.sweep(NOW + 59) == 0
            await storage.change(kept.sid, {"lifecycle_ttl": None})
            assert await storage.sweep(NOW + 61) == 0
            await storage.change(kept.sid, {"lifecycle_ttl": 60})
            assert await storage.sweep(NOW + 60) == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "mime", "known"),
    [
        ("a.WAV", "", "wav"),
        ("a.ulaw", "audio/wav", "ul"),
        ("a.m4a", "", "mp4"),
        ("a", "audio/mpeg; x=y", "mp3"),
        ("a.html", "text/html", "bin"),
        ("a.b/../c", "", "bin"),
        ("", "", "bin"),
    ],
)
def test_the_format_is_what_the_name_says_or_else_the_media_type(name: str, mime: str, known: str) -> None:
    assert format_of(name, mime) == known


def test_files_live_as_long_as_they_are_to(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with opened(tmp_path, database_url) as storage:
            kept = [
                await storage.keep(b"x", Wanted(name="a", format="ul", lifecycle_ttl=ttl, lifecycle_action=action))
                for ttl, action in ((None, "delete"), (60, "delete"), (600, "delete"), (1, "archive"))
            ]
            there = [True, True, True, True]
            for now, deleted, number in ((NOW + 59, 0, 1), (NOW + 60, 1, 1), (NOW + 60, 0, 1), (NOW + 9e9, 1, 2)):
                assert await storage.sweep(now) == deleted
                if deleted:
                    there[number] = False
                assert [storage.path(file).exists() for file in kept] == there
                assert [await storage.find(file.sid) is not None for file in kept] == there

    asyncio.run(run())


def test_deleting_twice_is_harmless(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with opened(tmp_path, database_url) as storage:
            kept = await storage.keep(b"x")
            assert await storage.delete(kept.sid)
            assert not await storage.delete(kept.sid)
            with pytest.raises(StorageError, match="has none of that sid"):
                await storage.open_file(ACCOUNT, kept.sid)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("given", "sid"),
    [
        ("6a04a2e1-2f0e-4b5c-9a3c-07f9a1c1a001", "6a04a2e1-2f0e-4b5c-9a3c-07f9a1c1a001"),
        (" 6A04A2E12F0E4B5C9A3C07F9A1C1A001 ", "6a04a2e1-2f0e-4b5c-9a3c-07f9a1c1a001"),
        ("../../etc/passwd", ""),
        ("6a04a2e1", ""),
        ("", ""),
    ],
)
def test_sids_are_read_with_and_without_dashes(given: str, sid: str) -> None:
    assert canonical_sid(given) == sid
