"""Stored files as a client fetches them, over a real socket."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from flexml.engine.api.files import files_router
from flexml.engine.api.server import Health, create_app, run
from flexml.engine.db import Database
from flexml.engine.storage.base import Wanted
from flexml.engine.storage.local import LocalStorage

CONTENT = bytes(range(256)) * 4
HEALTH = Health(version="1", uptime_s=0, live_calls=0, workers=1)


async def _fetch(folder: Path, method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """Store CONTENT as a WAV file, and ask for `path`, in which SID stands for the file's sid."""
    database = Database(f"sqlite:///{folder / 'db'}")
    await database.start()
    storage = LocalStorage(database, folder / "files", clock=lambda: 1000.0)
    content = folder / "content"
    content.write_bytes(CONTENT)
    file = await storage.reserve("account", Wanted(name="x.wav", format="wav"))
    await storage.put(replace(file, bytes=len(CONTENT)), content)
    gone = await storage.reserve("account", Wanted(name="x.wav", format="wav"))
    content.write_bytes(CONTENT)
    await storage.put(gone, content)
    storage.path(gone).unlink()
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    app = create_app(health=lambda: HEALTH, routers=[files_router(storage)])
    server = asyncio.create_task(
        run(app, "127.0.0.1", 0, on_listening=lambda host, port: listening.set_result(f"http://{host}:{port}"))
    )
    for name, value in (("GONE", gone.sid), ("BARE", file.sid.replace("-", "")), ("SID", file.sid)):
        path = path.replace(name, value)
    async with aiohttp.ClientSession(await listening) as client:
        async with client.request(method, path, headers=headers) as response:
            told = {name.lower(): value for name, value in response.headers.items()}
            answer = response.status, told, await response.read()
    server.cancel()
    await asyncio.gather(server, return_exceptions=True)
    await database.close()
    return answer


def fetch(folder: Path, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return asyncio.run(_fetch(folder, method, path, headers))


@pytest.mark.parametrize("path", ["/f/SID", "/f/BARE", "/f/SID.wav", "/f/BARE.wav?download=1", "/f/SID?a=b&c"])
def test_a_file_is_given_under_its_sid(tmp_path: Path, path: str) -> None:
    status, headers, body = fetch(tmp_path, "GET", path)
    assert (status, body) == (200, CONTENT)
    assert headers["content-type"] == "audio/wav"
    assert headers["content-length"] == "1024"
    assert headers["accept-ranges"] == "bytes"


def test_head_tells_without_the_content(tmp_path: Path) -> None:
    status, headers, body = fetch(tmp_path, "HEAD", "/f/SID")
    assert (status, headers["content-length"], body) == (200, "1024", b"")


@pytest.mark.parametrize(
    ("wanted", "status", "body"),
    [("bytes=0-9", 206, CONTENT[:10]), ("bytes=-4", 206, CONTENT[-4:]), ("bytes=1000-", 206, CONTENT[1000:])],
)
def test_a_range_is_given_alone(tmp_path: Path, wanted: str, status: int, body: bytes) -> None:
    assert fetch(tmp_path, "GET", "/f/SID", Range=wanted)[::2] == (status, body)


@pytest.mark.parametrize(
    "path",
    ["/f/GONE", "/f/6a04a2e1-2f0e-4b5c-9a3c-07f9a1c1a001", "/f/nonsense", "/f/..%2f..%2fdb", "/f/", "/f/SID/x"],
)
def test_what_is_not_there_is_404(tmp_path: Path, path: str) -> None:
    status, _, body = fetch(tmp_path, "GET", path)
    assert status == 404
    assert b"errors" in body
