"""An HTTP server of audio for tests: whole bodies, slow ones, broken ones, endless ones, and what was asked of it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import ssl
import subprocess
import wave
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any

from aiohttp import web
from flexml.engine.prompts import PromptLimits, Prompts

Handler = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]


def wav(samples: bytes, *, rate_hz: int = 8000, channels: int = 1) -> bytes:
    """A WAV file of 16-bit samples."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(samples)
    return file.getvalue()


def ffmpeg(*arguments: object) -> None:
    """Run ffmpeg; it is silent, or the test fails."""
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True)


def sine(target: Path, *arguments: object, seconds: float = 1.0) -> Path:
    """A file with a tone of 1 kHz, -18 dBov, encoded as the arguments and its name say."""
    ffmpeg("-f", "lavfi", "-i", f"sine=1000:d={seconds}", *arguments, target)
    return target


def proof(directory: Path, host: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate for `host` (`IP:...` or `DNS:...`) that vouches for itself, and a server's side of TLS with it."""
    files = directory / "proof.pem", directory / "proof.key"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=proof", "-addext", f"subjectAltName={host}", "-out", files[0], "-keyout", files[1],
    ]  # fmt: skip
    subprocess.run(command, capture_output=True, check=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*files)
    return files[0], tls


class Files:
    """Serves a directory below /, and `special` handlers by path. `taps` let bodies of /slow/ flow."""

    def __init__(self, directory: Path, **special: Handler) -> None:
        self.directory, self.special = directory, special
        self.base = ""
        self.requests: list[str] = []
        self.pieces = asyncio.Semaphore(0)
        """/slow/NAME sends one of its forty pieces for each."""
        self.hung_up = asyncio.Event()
        """Set when a client leaves in the middle of a body."""

    def let(self, pieces: int) -> None:
        """Let so many pieces of slow bodies go out."""
        for _ in range(pieces):
            self.pieces.release()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one request."""
        path = request.match_info["path"]
        self.requests.append(path)
        kind, _, name = path.partition("/")
        if path in self.special:
            return await self.special[path](request)
        if kind == "slow":
            return await self._slow(request, (self.directory / name).read_bytes())
        file = self.directory / path
        if not file.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(file)

    async def _slow(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await response.prepare(request)
        cut = int(request.query.get("cut", len(body)))
        piece = -(-len(body) // 40)
        for at in range(0, cut, piece):
            await self.pieces.acquire()
            await self.write(response, body[at : min(cut, at + piece)])
        if cut < len(body) and request.transport is not None:
            request.transport.close()
        return response

    async def write(self, response: web.StreamResponse, octets: bytes) -> None:
        """Send a piece; notice when nobody takes it."""
        try:
            await response.write(octets)
        except (ConnectionError, asyncio.CancelledError):
            self.hung_up.set()
            raise

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncGenerator[None]:
        """Serve while the context lasts; by https where there is a `tls`."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        self.base = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()


@contextlib.asynccontextmanager
async def opened(
    directory: Path, *, roots: tuple[Path, ...] = (), limits: PromptLimits | None = None
) -> AsyncGenerator[Prompts]:
    """Prompts whose cache is in `directory`."""
    prompts = Prompts(directory / "cache", roots=roots, limits=limits)
    await prompts.start()
    try:
        yield prompts
    finally:
        await prompts.close()
