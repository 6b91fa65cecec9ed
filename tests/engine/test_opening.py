"""Files that are opened in a thread are closed by somebody, whenever whoever asked is cancelled."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import aiohttp
import pytest
from flexml.engine.download import DownloadLimits, request
from flexml.engine.opening import opened

from .audio_server import Files

LIMITS = DownloadLimits(timeout_s=5, max_bytes=1 << 20, redirects=0)


def test_what_is_opened_for_somebody_who_has_gone_is_closed(tmp_path: Path) -> None:
    let, files = threading.Event(), list[BinaryIO]()

    def opens(path: Path) -> BinaryIO:
        let.wait()
        files.append(path.open("wb"))
        return files[0]

    async def run() -> None:
        asking = asyncio.create_task(opened(opens, tmp_path / "a"))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert asking.cancelled()
        let.set()

    asyncio.run(run())
    assert [file.closed for file in files] == [True]


def test_what_cannot_be_opened_is_told_and_where_nobody_waits_is_not(tmp_path: Path) -> None:
    async def run() -> None:
        loop, told = asyncio.get_running_loop(), list[object]()
        loop.set_exception_handler(lambda _, context: told.append(context))
        with pytest.raises(FileNotFoundError):
            await opened(lambda path: path.open("rb"), tmp_path / "a")
        asking = asyncio.create_task(opened(lambda path: path.open("rb"), tmp_path / "a"))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await loop.shutdown_default_executor()
        gc.collect()
        await asyncio.sleep(0)
        assert told == []

    asyncio.run(run())


def test_a_download_that_is_cancelled_at_any_moment_leaves_its_file_closed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1000))
    server = Files(tmp_path)

    async def cancelled_after(turns: int, session: aiohttp.ClientSession) -> bool:
        """False if it was complete by then."""
        download = await request(session, f"{server.base}/a", conditions={}, limits=LIMITS)
        saving = asyncio.create_task(download.save(tmp_path / "saved"))
        for _ in range(turns):
            await asyncio.sleep(0)
        told = saving.cancel()
        await asyncio.gather(saving, return_exceptions=True)
        return told

    async def run() -> None:
        loop, threads = asyncio.get_running_loop(), ThreadPoolExecutor(1)
        loop.set_default_executor(threads)
        async with server.running(), aiohttp.ClientSession() as session:
            turns = 0
            while await cancelled_after(turns, session):
                turns += 1
                threads.submit(threading.Event().wait, 0.001)  # what comes next waits for its turn
        assert turns > 3

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(run())
        gc.collect()
    assert [str(warning.message) for warning in caught if warning.category is ResourceWarning] == []
