"""Emulators of the three clouds, each somebody else's: s3rver, azurite, gcp-storage-emulator.

azurite checks credentials. The others do not, or not all; `cloud_fronts.py` stands before them for that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from xml.sax.saxutils import escape

import boto3
from cloud_fronts import GCP_PROJECT, GCP_REFRESH, GCP_TOKEN, GcsFront, S3Front
from ports import free_port

NODE: Final = Path(__file__).parents[2] / "var" / "emulators" / "node_modules" / ".bin"
START_S: Final = 20.0
S3_KEY: Final = "S3RVER"
S3_SECRET: Final = "s3-secret-hush"
"""s3rver knows that key; the secret is what its front wants."""
AZURE_ACCOUNT: Final = "devstoreaccount1"
AZURE_KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""azurite's, known to everybody."""
BUCKET: Final = "recordings"
GIVEN_UP_S: Final = 8
"""After which an upload has failed for good."""


def clouds_missing() -> str:
    """Why there are no emulators; "" where there are."""
    missing = [str(path) for path in (NODE / "s3rver", NODE / "azurite-blob", _gcs_command()) if not path.exists()]
    return f"{', '.join(missing)} not installed: see the end of var/setup.log" if missing else ""


class Process:
    """A server on a port of its own, from `with` on."""

    def __init__(self, command: Sequence[str | Path], port: int, folder: Path) -> None:
        self._command, self.port, self._folder = command, port, folder

    def __enter__(self) -> Process:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=self._folder, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_S
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            code = self._process.poll()
            if code is not None or time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError(f"{self._command[0]} does not start:\n{(self._folder / 'log').read_text()}")
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # azurite waits for connections to close before it ends by itself
        self._process.wait()


class S3(Process):
    """s3rver; its buckets stay over restarts."""

    def __init__(self, folder: Path, port: int) -> None:
        folder.mkdir()
        super().__init__([NODE / "s3rver", "-d", folder, "-a", "127.0.0.1", "-p", str(port)], port, folder)
        self.url = f"http://127.0.0.1:{port}"
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=S3_KEY,
            aws_secret_access_key=S3_SECRET,
        )

    def make_bucket(self, name: str) -> None:
        self._client.create_bucket(Bucket=name)

    def get(self, bucket: str, name: str) -> bytes:
        return self._client.get_object(Bucket=bucket, Key=name)["Body"].read()

    def names(self, bucket: str) -> list[str]:
        return [each["Key"] for each in self._client.list_objects_v2(Bucket=bucket).get("Contents", [])]


class Azure(Process):
    """azurite's blobs."""

    def __init__(self, folder: Path, port: int) -> None:
        folder.mkdir()
        where = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)]
        super().__init__([NODE / "azurite-blob", *where, "--skipApiVersionCheck"], port, folder)
        self.url = f"http://127.0.0.1:{port}"

    def make_container(self, name: str) -> None:
        url = f"{self.url}/{AZURE_ACCOUNT}/{name}?restype=container&{sas('rwlc')}"
        urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=5).close()

    def get(self, container: str, name: str) -> bytes:
        url = f"{self.url}/{AZURE_ACCOUNT}/{container}/{name}?{sas('r')}"
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.read()


def sas(permissions: str, key: str = AZURE_KEY) -> str:
    """A shared access signature of the account, for blobs and containers (version 2018-11-09 of the service)."""
    fields = {
        "sv": "2018-11-09", "ss": "b", "srt": "sco", "sp": permissions,
        "st": "2020-01-01T00:00:00Z", "se": "2099-01-01T00:00:00Z", "spr": "https,http",
    }  # fmt: skip
    signed = [AZURE_ACCOUNT, permissions, "b", "sco", fields["st"], fields["se"], "", fields["spr"], fields["sv"], ""]
    signature = hmac.new(base64.b64decode(key), "\n".join(signed).encode(), hashlib.sha256).digest()
    return urlencode({**fields, "sig": base64.b64encode(signature).decode()})


def _gcs_command() -> Path:
    return Path(sys.executable).parent / "gcp-storage-emulator"


class Clouds:
    """All three, each with a bucket or container BUCKET; what engines are to use are the fronts and azurite."""

    def __init__(self, folder: Path) -> None:
        self._s3 = S3(folder / "s3", free_port(socket.SOCK_STREAM))
        self.s3 = S3Front(self._s3.url, S3_KEY, S3_SECRET)
        self.azure = Azure(folder / "azure", free_port(socket.SOCK_STREAM))
        port = free_port(socket.SOCK_STREAM)
        command = [_gcs_command(), "start", "--host=127.0.0.1", f"--port={port}", "--in-memory"]
        self._gcs = Process([*command, f"--default-bucket={BUCKET}"], port, folder)
        self.gcs = GcsFront(f"http://127.0.0.1:{port}")
        self._ends = ExitStack()

    def __enter__(self) -> Clouds:
        with ExitStack() as stack:
            for each in (self._s3, self.s3, self.azure, self._gcs, self.gcs):
                stack.enter_context(each)
            self._s3.make_bucket(BUCKET)
            self.azure.make_container(BUCKET)
            self._ends = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    @property
    def settings(self) -> str:
        """What goes into [storage]; uploads are given up after some seconds."""
        urls = {
            "s3_endpoint": self.s3.url, "azure_endpoint": self.azure.url, "gcs_endpoint": self.gcs.url,
            "gcs_token_url": f"{self.gcs.url}/token",
        }  # fmt: skip
        return "".join(f'{name} = "{url}"\n' for name, url in urls.items()) + f"upload_retry_s = {GIVEN_UP_S}"

    def get(self, url: str) -> bytes:
        """The object that a RecordingUrl names, which nobody may read without credentials."""
        *_, bucket, name = url.split("/")
        if url.startswith(self.s3.url):
            return self._s3.get(bucket, name)
        if url.startswith(self.azure.url):
            return self.azure.get(bucket, name)
        assert url.startswith(self.gcs.url)
        with urllib.request.urlopen(f"{self.gcs.behind}/{bucket}/{name}", timeout=5) as response:
            return response.read()


AWS: Final = {"awsAccessKey": S3_KEY, "awsBucketName": BUCKET, "awsSecretKey": S3_SECRET}
GCP: Final = {"gcpAccessToken": GCP_TOKEN, "gcpBucketName": BUCKET, "gcpProject": GCP_PROJECT}
GCP_CLIENT: Final = {
    "gcpBucketName": BUCKET,
    "gcpProject": GCP_PROJECT,
    "gcpRefreshToken": GCP_REFRESH["refresh_token"],
    "gcpClientId": GCP_REFRESH["client_id"],
    "gcpClientSecret": GCP_REFRESH["client_secret"],
}
AZURE: Final = {
    "azureAccountName": AZURE_ACCOUNT,
    "azureContainerName": BUCKET,
    "azureAccountKey": AZURE_KEY,
}
AZURE_SAS: Final = {
    "azureAccountName": AZURE_ACCOUNT,
    "azureContainerName": BUCKET,
    "azureSasToken": sas("cw"),
}
SECRETS: Final = (
    S3_SECRET, GCP_TOKEN, *GCP_REFRESH.values(), AZURE_KEY, AZURE_SAS["azureSasToken"].partition("sig=")[2],
)  # fmt: skip


def attributes(store: Mapping[str, str], **others: str) -> str:
    """The attributes of a Record that names the store; `others` replace its own or come beside them."""
    return " ".join(f'{name}="{escape(value)}"' for name, value in {**store, **others}.items())
