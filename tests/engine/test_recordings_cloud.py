"""Recordings for a cloud: stored there, told of once, whatever the store does and whenever the process dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flexml.engine import recordings as module
from flexml.engine.outbox import Backoff
from flexml.engine.recording import Recorded, RecordingRequest
from flexml.engine.storage.cloud import CloudSettings
from flexml.engine.uploads import Upload, Uploads

from .bucket_server import BucketServer
from .test_recordings import CALLBACKS, FACTS, Killed, Told, run, world

AWS = {"aws_access_key": "AKIAHUSH", "aws_bucket_name": "bucket", "aws_secret_key": "hush"}
REQUEST = RecordingRequest(trim=False, external=AWS, **CALLBACKS)
BOTH = {"http://app/callback", "http://app/status"}


class MortalUploads(Uploads):
    """Uploads in a process that may die before or after one."""

    dies = ""

    async def put(self, upload: Upload, on_failure: Callable[[str], None]) -> str:
        if self.dies == "before upload":
            raise Killed
        problem = await super().put(upload, on_failure)
        if self.dies == "after upload":
            raise Killed
        return problem


def uploads(server: BucketServer, now: float = 0.0, total_s: float = 1e12) -> MortalUploads:
    """`now` is long before any recording: nothing is too old but where `total_s` is 0."""
    settings = CloudSettings(s3_endpoint=server.url)
    return MortalUploads(settings, clock=lambda: now, backoff=Backoff(first_s=0.02, total_s=total_s, longest_s=0.02))


def object_of(server: BucketServer, done: Recorded) -> bytes:
    return server.objects[f"/bucket/{done.sid}.wav"]


def test_a_recording_lies_in_the_cloud_and_nowhere_else(tmp_path: Path) -> None:
    async def main() -> None:
        with BucketServer() as server:
            async with world(tmp_path, uploads=uploads(server)) as here:
                recording = await here.record(replace(REQUEST, file_sid="x", container_sid="x"), 1.6)
                done = await here.recordings.finish(recording, FACTS)
                url = f"{server.url}/bucket/{recording.sid}.wav"
                assert done == Recorded(status="completed", sid=recording.sid, url=url, duration_s=2)
                assert len(object_of(server, done)) == 44 + 25600
                assert here.told.statuses() == dict.fromkeys(BOTH, "completed")
                assert {data["RecordingUrl"] for _, _, data in here.told.got.values()} == {url}
                assert await here.storage.find(done.sid) is None
                (kept,) = await here.kept()
                assert (kept["status"], kept["recording_sid"], kept["file"]) == ("completed", done.sid, "")
                assert (kept["url"], kept["duration_s"]) == (url, 2)
                assert here.left() == []

    run(main())


def test_silence_is_absent_in_a_cloud_too(tmp_path: Path) -> None:
    async def main() -> None:
        with BucketServer() as server:
            async with world(tmp_path, uploads=uploads(server)) as here:
                assert await here.recorded(replace(REQUEST, trim=True), 0, 1) == Recorded(status="absent")
                assert (server.requests, here.left()) == ([], [])

    run(main())


def test_who_waits_hears_of_the_first_failure_and_callbacks_of_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        server = BucketServer()
        with server:
            pass  # from now on it has a port, where nobody listens
        async with world(tmp_path, uploads=uploads(server)) as here:
            done = await here.recorded(REQUEST, 1)
            assert (done.status, done.url) == ("failed", "")
            assert "Connection refused" in done.error
            assert here.told.got == {}
            assert here.left() == ["spool/*.content", "spool/*.json", "spool/*.s16"]
            url = f"{server.url}/bucket/{done.sid}.wav"
            assert [(one["status"], one["url"]) for one in await here.kept()] == [("uploading", url)]
            with server:
                await here.recordings.idle()
            assert [(one["status"], one["url"]) for one in await here.kept()] == [("completed", url)]
            assert len(object_of(server, done)) == 44 + 16000
            assert here.told.statuses() == dict.fromkeys(BOTH, "completed")
            assert {data["RecordingSid"] for _, _, data in here.told.got.values()} == {done.sid}
            assert here.left() == []

    run(main())


def test_who_waits_does_not_wait_for_a_slow_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UPLOAD_WAIT_S", 0.05)

    async def main() -> None:
        with BucketServer(stalls_s=0.5) as server:
            async with world(tmp_path, uploads=uploads(server)) as here:
                done = await here.recorded(REQUEST, 1)
                assert (done.status, here.told.got) == ("failed", {})
                assert "not in its cloud after" in done.error
                await here.recordings.idle()
                assert here.told.statuses() == dict.fromkeys(BOTH, "completed")

    run(main())


def test_what_is_given_up_stays_without_its_credentials(tmp_path: Path) -> None:
    async def main() -> None:
        with BucketServer(answers=[(403, "<Code>AccessDenied</Code>")]) as server:
            async with world(tmp_path, uploads=uploads(server, now=1e11, total_s=0.0)) as here:
                done = await here.recorded(REQUEST, 1)
                await here.recordings.idle()
                error = "the store answers 403 AccessDenied"
                assert done == Recorded(status="failed", sid=done.sid, error=error)
                assert here.told.statuses() == dict.fromkeys(BOTH, "failed")
                assert here.left() == ["failed/*.content", "failed/*.json", "failed/*.s16"]
                (sidecar,) = (tmp_path / "files" / "failed").glob("*.json")
                assert json.loads(sidecar.read_text())["request"]["external"] == {"aws_bucket_name": "bucket"}

    run(main())


def test_credentials_are_for_the_engines_user_alone_and_never_in_the_database(tmp_path: Path) -> None:
    async def main() -> None:
        with BucketServer() as server:
            async with world(tmp_path, uploads=uploads(server)) as here:
                recording = await here.record(REQUEST, 1)
                assert "hush" not in repr(recording.plan).lower()
                sidecar = Path(recording.path).with_suffix(".json")
                assert "AKIAHUSH" in sidecar.read_text()
                assert [path.stat().st_mode & 0o777 for path in (sidecar, sidecar.parent)] == [0o600, 0o700]
                await here.recordings.finish(recording, FACTS)

    run(main())
    with contextlib.closing(sqlite3.connect(tmp_path / "db")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    octets = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert octets
    assert b"hush" not in octets.lower()


DEATHS = [
    "while recording",
    "while uploading",
    "before upload",
    "after upload",
    *(f"{when} {url}" for url in sorted(BOTH) for when in ("before", "after")),
]


@pytest.mark.parametrize("death", DEATHS)
def test_whenever_a_process_dies_the_next_one_uploads_and_tells_once(tmp_path: Path, death: str) -> None:
    told, server = Told(), BucketServer()
    with server:
        pass

    async def first_run() -> str:
        with server if death != "while uploading" else contextlib.nullcontext():
            service = uploads(server)
            async with world(tmp_path, told, service) as here:
                recording = await here.record(REQUEST, 1)
                told.dies = service.dies = death
                if death == "while uploading":
                    assert (await here.recordings.finish(recording, FACTS)).status == "failed"
                elif death != "while recording":
                    with pytest.raises(Killed):
                        await here.recordings.finish(recording, FACTS)
                return recording.sid

    async def second_run(unfinished: int) -> None:
        told.dies = ""
        with server:
            async with world(tmp_path, told, uploads(server)) as here:
                assert await here.recordings.recover() == unfinished
                await here.recordings.idle()
                assert here.left() == []

    sid = run(first_run())
    run(second_run(1))
    run(second_run(0))
    assert len(server.objects[f"/bucket/{sid}.wav"]) == 44 + 16000
    assert told.statuses() == dict.fromkeys(BOTH, "completed")
    assert len(told.got) == 2


def test_a_start_does_not_wait_for_a_store(tmp_path: Path) -> None:
    async def main() -> None:
        server = BucketServer()
        with server:
            pass
        async with world(tmp_path, uploads=uploads(server)) as here:
            await here.recorded(REQUEST, 1)
        server.stalls_s = 0.5
        with server:
            async with world(tmp_path, uploads=uploads(server)) as here:
                assert await here.recordings.recover() == 1
                assert (server.objects, here.told.got) == ({}, {}), "still uploading"
                await here.recordings.idle()
                assert here.told.statuses() == dict.fromkeys(BOTH, "completed")

    run(main())


def test_what_ends_while_the_database_takes_nothing_is_uploaded_once_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flexml.engine.sql.SQLITE_PATIENCE_MS", 1)

    async def main() -> None:
        with BucketServer() as server:
            async with world(tmp_path, uploads=uploads(server)) as here:
                recording = await here.record(REQUEST, 1.0)
                lock = sqlite3.connect(tmp_path / "db", isolation_level=None)
                lock.execute("BEGIN IMMEDIATE")
                finishing = asyncio.ensure_future(here.recordings.finish(recording, FACTS))
                await asyncio.sleep(1.0)
                assert (finishing.done(), server.objects) == (False, {})
                lock.execute("ROLLBACK")
                lock.close()
                async with asyncio.timeout(20):
                    done = await finishing
                assert len(object_of(server, done)) == 44 + 16000
                assert here.told.statuses() == dict.fromkeys(BOTH, "completed")
                assert here.left() == []

    run(main())
