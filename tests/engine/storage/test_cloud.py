"""Uploads by obstore to a store on this machine: addresses, who signs, and what is said of a failure."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from flexml.engine.errors import UploadError
from flexml.engine.storage import cloud
from flexml.engine.storage.cloud import CloudSettings

from ..audio_server import proof
from ..bucket_server import BucketServer

AWS = {"aws_access_key": "AKIAKEY", "aws_bucket_name": "bucket", "aws_secret_key": "aws-hush"}
GCP = {"gcp_access_token": "gcp-hush", "gcp_bucket_name": "bucket", "gcp_project": "project-7"}
REFRESH = {
    "gcp_bucket_name": "bucket", "gcp_project": "project-7", "gcp_access_token": "expired",
    "gcp_refresh_token": "refresh-hush", "gcp_client_id": "client-7", "gcp_client_secret": "client-hush",
}  # fmt: skip
AZURE = {"azure_account_key": "aHVzaA==", "azure_account_name": "account", "azure_container_name": "container"}
SAS = {"azure_sas_token": "?sv=2&sig=sas-hush", "azure_account_name": "account", "azure_container_name": "container"}
SECRETS = ("AKIAKEY", "hush", "aHVzaA")


def settings(server: BucketServer) -> CloudSettings:
    return CloudSettings(
        s3_endpoint=server.url + "/", gcs_endpoint=server.url, gcs_token_url=f"{server.url}/token",
        azure_endpoint=server.url, request_timeout_s=0.5,
    )  # fmt: skip


def put(where: CloudSettings, external: Mapping[str, str], folder: Path, content: bytes = b"RIFF") -> None:
    path = folder / "content"
    path.write_bytes(content)
    asyncio.run(cloud.upload(where, external, "a.wav", path, "audio/wav"))


def failure(where: CloudSettings, external: Mapping[str, str], folder: Path) -> UploadError:
    with pytest.raises(UploadError) as caught:
        put(where, external, folder)
    assert not any(secret in str(caught.value) for secret in SECRETS)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return caught.value


@pytest.mark.parametrize(
    ("external", "url"),
    [
        (AWS, "https://bucket.s3.eu-west-1.amazonaws.com/a.wav"),
        (AWS | {"aws_bucket_name": "my.bucket"}, "https://s3.eu-west-1.amazonaws.com/my.bucket/a.wav"),
        (GCP, "https://storage.googleapis.com/bucket/a.wav"),
        (AZURE, "https://account.blob.core.windows.net/container/a.wav"),
        (SAS, "https://account.blob.core.windows.net/container/a.wav"),
    ],
)
def test_an_object_has_the_address_that_its_provider_gives_it(external: Mapping[str, str], url: str) -> None:
    assert cloud.url(CloudSettings(s3_region="eu-west-1"), external, "a.wav") == url


@pytest.mark.parametrize(
    ("external", "path", "header", "value"),
    [
        (AWS, "/bucket/a.wav", "authorization", r"AWS4-HMAC-SHA256 Credential=AKIAKEY/\d+/us-east-1/s3/.*"),
        (GCP, "/bucket/a%2Ewav", "authorization", "Bearer gcp-hush"),
        (GCP, "/bucket/a%2Ewav", "x-goog-project-id", "project-7"),
        (AZURE, "/account/container/a.wav", "authorization", "SharedKey account:.*"),
        (SAS, "/account/container/a.wav", "x-ms-blob-content-type", "audio/wav"),
    ],
)
def test_an_upload_bears_what_the_document_gave(
    external: Mapping[str, str], path: str, header: str, value: str, tmp_path: Path
) -> None:
    with BucketServer() as server:
        put(settings(server), external, tmp_path)
        assert server.objects == {path: b"RIFF"}
        ((_, asked, headers),) = server.requests
        assert re.fullmatch(value, headers[header])
        assert asked == path + ("?sv=2&sig=sas-hush" if external is SAS else "")
        assert cloud.url(settings(server), external, "a.wav").endswith(path.replace("%2E", "."))


def test_what_the_environment_holds_for_others_goes_to_no_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AZURE_STORAGE_SAS_TOKEN", "GOOGLE_BASE_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/ours")
    for name in ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "AWS_SKIP_SIGNATURE", "AZURE_STORAGE_USE_EMULATOR"):
        monkeypatch.setenv(name, "true")
    with BucketServer() as server:
        for external in (AWS, GCP, AZURE):
            put(settings(server), external, tmp_path)
        assert len(server.objects) == 3
        assert all("authorization" in headers and "ours" not in str(headers) for _, _, headers in server.requests)


def test_a_refresh_token_is_exchanged_for_an_access_token(tmp_path: Path) -> None:
    with BucketServer(answers=[(201, '{"access_token": "fresh"}')]) as server:
        put(settings(server), REFRESH, tmp_path)
        (asked, _, _), (_, _, headers) = server.requests
        assert (asked, headers["authorization"]) == ("POST", "Bearer fresh")


@pytest.mark.parametrize(
    ("status", "body", "refused", "says"),
    [
        (403, "<Error><Code>SignatureDoesNotMatch</Code><Is>AKIAKEY aws-hush</Is></Error>", True, "403 Signature"),
        (404, "<Error><Code>NoSuchBucket</Code></Error>", True, "the store answers 404 NoSuchBucket"),
        (401, "hush", True, "the store answers 401"),
        (301, "<Error><Code>PermanentRedirect</Code></Error>", True, "another region than [storage] s3_region"),
        (307, "<Error><Code>TemporaryRedirect</Code></Error>", True, "another region than [storage] s3_region"),
        (429, "", False, "the store answers 429"),
        (507, "", False, "the store answers 507"),
    ],
)
@pytest.mark.parametrize("external", [AWS, GCP, AZURE, SAS], ids=["aws", "gcp", "azure", "sas"])
def test_a_failure_says_what_the_store_answers_and_nothing_secret(
    external: Mapping[str, str], status: int, body: str, refused: bool, says: str, tmp_path: Path
) -> None:
    with BucketServer(answers=[(status, body)] * 9) as server:
        error = failure(settings(server), external, tmp_path)
    assert says in str(error)
    assert error.refused == refused


@pytest.mark.parametrize("external", [AWS, GCP, REFRESH, AZURE, SAS], ids=["aws", "gcp", "refresh", "azure", "sas"])
def test_a_store_that_is_away_or_hangs_is_not_taken_for_one_that_refuses(
    external: Mapping[str, str], tmp_path: Path
) -> None:
    with BucketServer(stalls_s=2.0) as server:
        hangs = failure(settings(server), external, tmp_path)
    away = failure(settings(server), external, tmp_path)
    assert not hangs.refused
    assert not away.refused
    assert re.search("Timeout", str(hangs))
    assert re.search(r"Connection refused|ClientConnectorError", str(away))


@pytest.mark.parametrize("host", ["IP:127.0.0.1", "DNS:a.example"])
def test_a_store_whose_certificate_is_not_trusted_is_told_of_as_such(host: str, tmp_path: Path) -> None:
    _, tls = proof(tmp_path, host)
    with BucketServer(tls=tls) as server:
        error = failure(settings(server), AWS, tmp_path)
    assert re.fullmatch(r"the store cannot be reached: InvalidCertificate \w+", str(error))
    assert not error.refused


@pytest.mark.parametrize(("status", "refused"), [(400, True), (503, False), (200, True)])
def test_no_access_token_means_no_upload(status: int, refused: bool, tmp_path: Path) -> None:
    with BucketServer(answers=[(status, '{"error": "refresh-hush"}')]) as server:
        error = failure(settings(server), REFRESH, tmp_path)
        assert (str(error), error.refused) == (f"no access token: the token service answers {status}", refused)
        assert server.objects.keys() <= {"/token"}


def test_a_key_that_is_none_is_refused_without_being_told(tmp_path: Path) -> None:
    with BucketServer() as server:
        error = failure(settings(server), AZURE | {"azure_account_key": "hush!"}, tmp_path)
    assert error.refused
    assert "cannot be opened" in str(error)


def test_content_that_is_gone_is_no_fault_of_the_store(tmp_path: Path) -> None:
    with BucketServer() as server, pytest.raises(UploadError, match="content cannot be read: FileNotFound"):
        asyncio.run(cloud.upload(settings(server), AWS, "a.wav", tmp_path / "nothing", "audio/wav"))
