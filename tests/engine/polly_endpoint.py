"""Amazon Polly's API over HTTP, as far as the engine uses it: DescribeVoices and SynthesizeSpeech.

A server on loopback that answers as the API reference describes, and keeps what it was asked.
"""

from __future__ import annotations

import json
import math
from array import array
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

VOICES = {
    "Joanna": ("en-US", ["generative", "neural", "standard"]),
    "Ivy": ("en-US", ["standard"]),
    "Hans": ("de-DE", ["standard"]),
    "Patrick": ("en-US", ["long-form"]),
}


@dataclass
class PollyEndpoint:
    """Use as a context; `failing` is what SynthesizeSpeech answers instead of audio: status and error type."""

    texts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    described: int = 0
    authorizations: list[str] = field(default_factory=list[str])
    asked: Event = field(default_factory=Event)
    """Set once the voices have been asked for."""
    failing: tuple[int, str] | None = None

    def __enter__(self) -> PollyEndpoint:
        polly = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                polly.authorizations.append(self.headers["Authorization"])
                polly.described += 1
                polly.asked.set()
                parts = urlsplit(self.path)
                assert parts.path == "/v1/voices"
                self.answer(200, "application/json", json.dumps(_page(parse_qs(parts.query))).encode())

            def do_POST(self) -> None:
                assert self.path == "/v1/speech"
                polly.authorizations.append(self.headers["Authorization"])
                wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                polly.texts.append(wanted)
                if polly.failing:
                    status, error = polly.failing
                    self.answer(status, "application/json", b'{"message": "refused"}', {"x-amzn-ErrorType": error})
                else:
                    self.answer(200, "audio/pcm", _tone(int(wanted["SampleRate"]), len(wanted["Text"])))

            def answer(
                self, status: int, content_type: str, body: bytes, headers: dict[str, str] | None = None
            ) -> None:
                self.send_response(status)
                for name, value in {
                    "Content-Type": content_type,
                    "Content-Length": str(len(body)),
                    **(headers or {}),
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}"


def _page(query: dict[str, list[str]]) -> dict[str, Any]:
    """Two voices a page."""
    start = int(query.get("NextToken", ["0"])[0])
    voices = [
        {"Id": name, "Name": name, "Gender": "Female", "LanguageCode": language, "SupportedEngines": engines}
        for name, (language, engines) in list(VOICES.items())[start : start + 2]
    ]
    more = {"NextToken": str(start + 2)} if start + 2 < len(VOICES) else {}
    return {"Voices": voices, **more}


def _tone(rate_hz: int, characters: int) -> bytes:
    """A tone of 440 Hz, 60 ms for each character."""
    samples = (
        round(8000 * math.sin(2 * math.pi * 440 * n / rate_hz)) for n in range(characters * rate_hz * 60 // 1000)
    )
    return array("h", samples).tobytes()
