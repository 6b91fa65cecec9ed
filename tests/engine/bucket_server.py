"""A store on this machine that does as it is told: what comes to it is kept, or answered with an error."""

from __future__ import annotations

import contextlib
import ssl
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

Answer = tuple[int, str]
"""A status and a body."""


@dataclass
class BucketServer:
    """Use as a context manager. `answers` are given first, each once; then everything is taken."""

    answers: list[Answer] = field(default_factory=list[Answer])
    objects: dict[str, bytes] = field(default_factory=dict[str, bytes])
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list[Any])
    port: int = 0
    """0 before the first start; the same again at the next one."""
    stalls_s: float = 0.0
    stuck: str = ""
    """What comes for a path that begins so is not answered before the server ends."""
    tls: ssl.SSLContext | None = None
    """For https."""

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> BucketServer:
        bucket, self._ends = self, Event()
        ends = self._ends

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                bucket.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
                time.sleep(bucket.stalls_s)
                if bucket.stuck and self.path.startswith(bucket.stuck):
                    ends.wait()
                    return
                status, answer = bucket.answers.pop(0) if bucket.answers else (200, "")
                if status == 200:
                    bucket.objects[self.path.partition("?")[0]] = body
                self.send_response(status)
                self.send_header("ETag", '"1"')
                self.send_header("Content-Length", str(len(answer)))
                with contextlib.suppress(ConnectionError):  # who asked may have given up
                    self.end_headers()
                    self.wfile.write(answer.encode())

            def do_POST(self) -> None:
                self.do_PUT()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._server.shutdown()
        self._server.server_close()
