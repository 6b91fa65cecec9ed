"""Media that is broken, hostile or without end: errorAction, bounded memory and disk, no other call disturbed."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from engine_process import EngineProcess
from flexml_app import Line, tone_wav, wav
from flexml_app import tone as sine
from rtp_endpoint import RtpEndpoint, loud_part, share_at
from sipp import Sipp, call, pause

MEGABYTE: Final = 2**20
DISK: Final = 300 * MEGABYTE
"""What the cache may have grown by while an endless body came in: one download and what was decoded of it."""
MEMORY: Final = 600 * MEGABYTE
"""Resident in all processes of the engine together, beyond what they had before."""


class MediaServer:
    """A web server that says one thing of a body and sends another."""

    def __init__(self) -> None:
        self.bodies: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.close_connection = True
                try:
                    bodies[self.path](self)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the engine has had enough

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def media() -> Iterator[MediaServer]:
    server = MediaServer()
    yield server
    server.close()


def send(handler: BaseHTTPRequestHandler, body: bytes, announced: int | None = None, kind: str = "audio/mpeg") -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body) if announced is None else announced))
    handler.end_headers()
    handler.wfile.write(body)


def send_for_ever(handler: BaseHTTPRequestHandler, chunk: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "audio/mpeg")
    handler.send_header("Connection", "close")
    handler.end_headers()
    while True:
        handler.wfile.write(chunk)


def mp3(folder: Path, seconds: float) -> bytes:
    source, target = folder / "tone.wav", folder / "tone.mp3"
    source.write_bytes(wav(sine(1000, seconds)))
    subprocess.run(
        ["ffmpeg", "-y", "-loglevel", "error", "-i", source, "-b:a", "64k", "-ar", "44100", target], check=True
    )
    return target.read_bytes()


@pytest.mark.parametrize(
    ("name", "announced", "kind"),
    [
        ("broken off", 32000, "audio/mpeg"),
        ("html", None, "audio/mpeg"),
        ("empty", None, "audio/mpeg"),
        ("noise", None, "audio/wav"),
        ("ten gigabytes", 10 * 2**30, "audio/mpeg"),
    ],
)
def test_what_cannot_be_played_leads_to_the_error_action(
    line: Line, sipp: Sipp, rtp: RtpEndpoint, media: MediaServer, tmp_path: Path,
    name: str, announced: int | None, kind: str,
) -> None:  # fmt: skip
    whole = mp3(tmp_path, 4.0)
    body = {
        "broken off": whole[: len(whole) // 2],
        "html": b"<!doctype html><html><body><h1>Not found</h1></body></html>" * 20,
        "empty": b"",
        "noise": np.random.default_rng(1).bytes(30000),
        "ten gigabytes": whole[:2000],
    }[name]
    media.bodies["/a.mp3"] = lambda handler: send(handler, body, announced, kind)
    line.serve(f'<Play errorAction="sorry" action="wrong">{media.url("/a.mp3")}</Play>')
    line.serve("<Hangup/>", at="sorry")
    outcome = sipp.run(call(hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    assert len(line.wait_for("sorry")) == 1
    assert line.requests("wrong") == []


def test_a_file_that_was_cut_is_heard_up_to_the_cut(
    line: Line, sipp: Sipp, rtp: RtpEndpoint, media: MediaServer, tmp_path: Path
) -> None:
    whole = mp3(tmp_path, 4.0)
    media.bodies["/a.mp3"] = lambda handler: send(handler, whole[: len(whole) // 2])
    line.serve(f'<Play errorAction="wrong" action="done">{media.url("/a.mp3")}</Play>')
    line.serve("<Hangup/>", at="done")
    outcome = sipp.run(call(hang_up=False), number=line.number, rtp_port=rtp.port)
    assert outcome.status == 0, outcome.errors
    assert len(line.wait_for("done")) == 1
    heard = loud_part(rtp.heard())
    assert abs(len(heard) / 8000 - 2.0) < 0.2
    assert share_at(heard, 1000) > 0.9


def resident(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
        except FileNotFoundError:
            pass
    return total


def disk(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def test_a_body_without_end_is_bounded_and_disturbs_no_other_call(
    engine: EngineProcess, line: Line, free_numbers: Iterator[str], sipp: Sipp, rtp: RtpEndpoint, media: MediaServer,
    tmp_path: Path,
) -> None:  # fmt: skip
    chunk = mp3(tmp_path, 20.0)
    media.bodies["/endless.mp3"] = lambda handler: send_for_ever(handler, chunk)
    other = Line(next(free_numbers), line.application)
    other.serve("<Play>tone.wav</Play>")
    other.serve(tone_wav(440, 12.0), at="tone.wav")
    line.serve(f'<Play errorAction="sorry">{media.url("/endless.mp3")}</Play>')
    line.serve("<Hangup/>", at="sorry")
    before, cached = resident(engine.pids), disk(engine.log_path.parent)
    disturbed = Sipp(tmp_path, engine.target)
    with RtpEndpoint() as listener:
        (tmp_path / "other").mkdir()
        undisturbed = threading.Thread(
            target=lambda: Sipp(tmp_path / "other", engine.target).run(
                call(hang_up=False), number=other.number, rtp_port=listener.port
            )
        )
        undisturbed.start()
        disturbed.run(call(pause(10000)), number=line.number, rtp_port=rtp.port)
        grown, stored = resident(engine.pids) - before, disk(engine.log_path.parent) - cached
        undisturbed.join()
        tone = loud_part(listener.heard())
    assert grown < MEMORY
    assert stored < DISK
    assert 11.9 <= len(tone) / 8000 <= 12.1
    assert share_at(tone, 440) > 0.98
    gaps = np.abs(tone).reshape(-1)[: len(tone) // 80 * 80].reshape(-1, 80).max(axis=1)
    assert gaps.min() > 0.1, "10 ms of the other call's tone are missing"
