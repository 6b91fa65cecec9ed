"""What clouds have before their storage and the emulators lack: somebody who looks at credentials.

s3rver takes any signature of version 4; gcp-storage-emulator takes any token, and leaves out the ETag and the uploads
in parts that obstore needs. What is allowed goes on to the emulator.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

GCP_TOKEN: Final = "ya29.access-token-hush"
"""The access token that opens the store, and what the refresh token is exchanged for."""
GCP_PROJECT: Final = "project-7"
GCP_REFRESH: Final = {
    "refresh_token": "1//refresh-token-hush",
    "client_id": "client-id-hush",
    "client_secret": "client-secret-hush",
}


class Request(NamedTuple):
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: value[0] for name, value in parse_qs(urlsplit(self.target).query, True).items()}


class Answer(NamedTuple):
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


def error(status: int, code: str) -> Answer:
    return Answer(status, f"<Error><Code>{code}</Code></Error>".encode())


class Front:
    """A proxy before the server `behind`; use as a context manager."""

    def __init__(self, behind: str) -> None:
        self.behind = behind
        front = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = front.answer(Request(self.command, self.path, headers, body))
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                with contextlib.suppress(ConnectionError):
                    self.end_headers()
                    self.wfile.write(answer.body)

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self.handle_any
                raise AttributeError(name)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Front:
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: Request) -> Answer:
        raise NotImplementedError

    def forward(self, request: Request) -> Answer:
        """What the server behind says; of its headers, the ETag."""
        passed = {name: value for name, value in request.headers.items() if name != "content-length"}
        asked = urllib.request.Request(
            self.behind + request.target, data=request.body, headers=passed, method=request.method
        )
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                etag = answer.headers["ETag"]
                return Answer(answer.status, answer.read(), {"ETag": etag} if etag else {})
        except urllib.error.HTTPError as refused:
            with refused:
                return Answer(refused.code, refused.read())


class S3Front(Front):
    """Checks signatures (SigV4) as botocore makes them, with the secret of the only access key there is."""

    def __init__(self, behind: str, key: str, secret: str) -> None:
        super().__init__(behind)
        self._auth = S3SigV4Auth(Credentials(key, secret), "s3", "us-east-1")

    def answer(self, request: Request) -> Answer:
        given = request.headers.get("authorization", "")
        found = re.search(r"SignedHeaders=([\w;-]+),\s*Signature=(\w+)", given)
        if found is None:
            return error(403, "AccessDenied")
        signed = {name: request.headers[name] for name in found[1].split(";")}
        url = f"http://{request.headers['host']}{request.target}"
        made = AWSRequest(method=request.method, url=url, headers=signed)
        made.context["timestamp"] = request.headers["x-amz-date"]
        wanted = self._auth.signature(self._auth.string_to_sign(made, self._auth.canonical_request(made)), made)
        return self.forward(request) if wanted == found[2] else error(403, "SignatureDoesNotMatch")


class GcsFront(Front):
    """Checks tokens, gives them, and puts uploads in parts together. `projects` are those that requests have named."""

    def __init__(self, behind: str) -> None:
        super().__init__(behind)
        self.projects: list[str] = []
        self.exchanged = 0
        self._parts: dict[str, dict[int, bytes]] = {}

    def answer(self, request: Request) -> Answer:
        if request.path == "/token":
            return self._token(request)
        self.projects.append(request.headers.get("x-goog-project-id", ""))
        if request.headers.get("authorization") != f"Bearer {GCP_TOKEN}":
            return error(401, "AuthenticationRequired")
        if "uploads" in request.query:
            upload = f"upload-{len(self._parts)}"
            self._parts[upload] = {}
            return _result("InitiateMultipartUploadResult", UploadId=upload)
        if upload := request.query.get("uploadId"):
            return self._part(request, upload)
        return self._put(request.path, request.body)

    def _token(self, request: Request) -> Answer:
        given = {name: value[0] for name, value in parse_qs(request.body.decode()).items()}
        if given != {"grant_type": "refresh_token", **GCP_REFRESH}:
            return Answer(400, b'{"error": "invalid_grant"}')
        self.exchanged += 1
        return Answer(200, json.dumps({"access_token": GCP_TOKEN, "expires_in": 3599}).encode())

    def _part(self, request: Request, upload: str) -> Answer:
        parts = self._parts[upload]
        if request.method == "DELETE":
            return Answer(204)
        if request.method == "PUT":
            parts[int(request.query["partNumber"])] = request.body
            return Answer(200, headers={"ETag": _etag(request.body)})
        put = self._put(request.path, b"".join(parts[number] for number in sorted(parts)))
        return _result("CompleteMultipartUploadResult", ETag=put.headers["ETag"]) if put.status == 200 else put

    def _put(self, path: str, body: bytes) -> Answer:
        answer = self.forward(Request("PUT", path, {"Content-Type": "audio/wav"}, body))
        return answer._replace(headers={"ETag": _etag(body)}) if answer.status == 200 else answer


def _result(name: str, **fields: str) -> Answer:
    inside = "".join(f"<{key}>{value}</{key}>" for key, value in {"Bucket": "b", "Key": "k", **fields}.items())
    return Answer(200, f"<{name}>{inside}</{name}>".encode())


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
