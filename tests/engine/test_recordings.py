"""Spools of a real recorder, an encoder process, a SQLite file: what is stored and told, and what survives a kill."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import soundfile
import sqlalchemy as sa
from flexml.engine.db import Database
from flexml.engine.errors import DatabaseAway, StorageError
from flexml.engine.recording import Recorded, RecordingRequest
from flexml.engine.recording_log import RecordingLog
from flexml.engine.recording_plan import Recording
from flexml.engine.recordings import Recordings
from flexml.engine.storage.base import StoredFile, Wanted
from flexml.engine.storage.cloud import CloudSettings
from flexml.engine.storage.local import LocalStorage
from flexml.engine.tables import recording_table
from flexml.engine.uploads import Uploads
from flexml.media.recorder import Recorder, SpoolWriter

T = TypeVar("T")
ACCOUNT = "6a04a2e1-2f0e-4b5c-9a3c-07f9a1c1a001"
FACTS = {"CallSid": "call 1", "AccountSid": "", "From": "15162065338"}
URL = "http://127.0.0.1:8080"
CALLBACKS: dict[str, Any] = {
    "callback_url": "http://app/callback",
    "status_callback_url": "http://app/status",
    "status_callback_method": "GET",
}


class Killed(BaseException):
    """The process dies here."""


@dataclass
class Told:
    """Callbacks by sid, kept over restarts as the outbox keeps them; dies when told to."""

    got: dict[str, tuple[str, str, Mapping[str, object]]] = field(default_factory=dict[str, Any])
    dies: str = ""

    async def put(self, url: str, method: str, data: Mapping[str, object], *, sid: str = "") -> str:
        self.die("before", url)
        assert sid not in self.got or self.got[sid] == (url, method, data)
        self.got[sid] = (url, method, data)
        self.die("after", url)
        return sid

    def die(self, when: str, url: str) -> None:
        if self.dies == f"{when} {url}":
            raise Killed

    def statuses(self) -> dict[str, object]:
        return {url: data["RecordingStatus"] for url, _, data in self.got.values()}


class MortalStorage(LocalStorage):
    """A storage in a process that dies before or after it has stored."""

    dies = ""
    away = 0
    """How many times more a file is looked for in vain, as the database does not answer."""

    async def find(self, sid: str) -> StoredFile | None:
        if self.away:
            self.away -= 1
            raise DatabaseAway("the database does not answer")
        return await super().find(sid)

    async def put(self, file: StoredFile, content: Path, into: Wanted | None = None) -> None:
        if self.dies == "before put":
            raise Killed
        await super().put(file, content, into)
        if self.dies == "after put":
            raise Killed


class World:
    """Everything that there is of recordings in one process."""

    def __init__(
        self, folder: Path, database: Database, told: Told, uploads: Uploads | None = None, engine: str = ""
    ) -> None:
        self.folder, self.told = folder, told
        self.storage = MortalStorage(database, folder / "files", clock=lambda: 1000.0)
        self.database = database
        log = RecordingLog(database, lambda: 1000.0)
        self.recordings = Recordings(folder / "files", self.storage, told, uploads, url=URL, kept=log, engine=engine)

    async def record(self, request: RecordingRequest, *frames: float, account: str = ACCOUNT) -> Recording:
        """Begin and record what `say` makes of `frames`."""
        recording = await self.recordings.begin("call 1", account, request, FACTS)
        say(recording.path, request, *frames)
        return recording

    async def recorded(self, request: RecordingRequest, *frames: float) -> Recorded:
        return await self.recordings.finish(await self.record(request, *frames), FACTS)

    async def kept(self) -> list[dict[str, Any]]:
        """What is known of the recordings of call 1, in the order in which they ended."""
        query = (
            sa.select(recording_table).where(recording_table.c.call == "call 1").order_by(sa.literal_column("rowid"))
        )
        async with self.database.begin() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    def left(self) -> list[str]:
        """What lies in the spool and among what failed."""
        return sorted(f"{p.parent.name}/*{p.suffix}" for p in (self.folder / "files").glob("[sf][pa][oi]*/*"))

    async def samples(self, recorded: Recorded) -> np.ndarray[Any, Any]:
        file = await self.storage.open_file(ACCOUNT, recorded.sid)
        return soundfile.read(self.storage.path(file), dtype="int16")[0]


def say(path: str, request: RecordingRequest, *seconds: float) -> None:
    """Record tone and silence by turns, each so many seconds, through a recorder."""
    writer = SpoolWriter()
    recorder = Recorder(writer)
    dual = request.channels == "dual"
    recorder.start(0, leg=1, job=1, path=path, sides="dual" if dual else "heard")
    tone = 4000 * np.sin(2 * np.pi * 500 * np.arange(160) / 8000)[None].astype(np.float32)
    for turn, length in enumerate(seconds):
        for _ in range(round(length * 50)):
            recorder.step(tone * (turn % 2 == 0), tone * 0, np.array([0]))
    recorder.close(0)
    writer.close()


@contextlib.asynccontextmanager
async def world(folder: Path, told: Told | None = None, uploads: Uploads | None = None) -> AsyncGenerator[World]:
    database = Database(f"sqlite:///{folder / 'db'}")
    await database.start()
    made = World(folder, database, told or Told(), uploads)
    await made.recordings.start()
    try:
        yield made
    finally:
        await made.recordings.close()
        await database.close()


def run(main: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(main)


def test_a_recording_becomes_a_file_of_the_account_and_callbacks(tmp_path: Path) -> None:
    request = RecordingRequest(trim=False, string_key_1="a", integer_key_2=7, lifecycle_ttl=60, **CALLBACKS)

    async def main() -> None:
        async with world(tmp_path) as here:
            done = await here.recorded(request, 1.6, 0.6)
            assert done == Recorded(status="completed", sid=done.sid, url=f"{URL}/f/{done.sid}", duration_s=2)
            assert len(await here.samples(done)) == 17600
            file = await here.storage.open_file(ACCOUNT, done.sid)
            assert (file.duration, file.bytes, file.format, file.mime) == (2.2, 35244, "wav", "audio/wav")
            assert file.name == f"{done.sid}.wav"
            assert (file.string_key_1, file.string_key_2, file.integer_key_2) == ("a", None, 7)
            assert file.expires == file.updated + 60
            told = {**FACTS, **done.data()}
            assert told["RecordingFileSid"] == told["RecordingSid"] == done.sid
            assert sorted(here.told.got.values(), key=lambda call: call[0]) == [
                ("http://app/callback", "POST", told),
                ("http://app/status", "GET", told),
            ]
            assert here.left() == []

    run(main())


def test_what_became_of_each_recording_of_a_call_is_kept_whether_it_has_a_file_or_not(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            first = await here.recorded(RecordingRequest(file_format="ul"), 2)
            await here.recorded(RecordingRequest(file_format="ul", file_sid=first.sid), 1)
            await here.recorded(RecordingRequest(), 0, 1)
            broken = await here.record(RecordingRequest(), 1)
            await here.recordings.finish(broken, FACTS, error="the disk has burnt")
            with pytest.raises(StorageError):
                await here.record(RecordingRequest(container_sid="2f367eb5-adc6-4413-b603-533e2a8f0804"))
            kept = await here.kept()
            columns = ("status", "file", "recording_sid", "url", "duration_s", "format")
            assert [tuple(one[name] for name in columns) for one in kept] == [
                ("completed", first.sid, first.sid, first.url, 2, "ul"),
                ("completed", first.sid, first.sid, first.url, 1, "ul"),
                ("absent", "", "", "", 0, "wav"),
                ("failed", "", "", "", 0, "wav"),
                ("failed", "", "", "", 0, "wav"),
            ]
            assert kept[3]["error"] == "the disk has burnt"
            assert {one["account"] for one in kept} == {ACCOUNT}
            assert len({one["sid"] for one in kept}) == 5

    run(main())


@pytest.mark.parametrize("file_format", ["wav", "mp3", "ul"])
@pytest.mark.parametrize("channels", ["mono", "dual"])
def test_every_format_is_stored_and_appended_to(tmp_path: Path, file_format: Any, channels: Any) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            request = RecordingRequest(file_format=file_format, channels=channels)
            first = await here.recorded(request, 2)
            again = await here.recorded(
                RecordingRequest(file_format=file_format, channels=channels, file_sid=first.sid), 0, 1, 1.5, 1
            )
            assert again == Recorded(status="completed", sid=first.sid, url=first.url, duration_s=2)
            file = await here.storage.open_file(ACCOUNT, first.sid)
            assert file.duration == pytest.approx(3.7, abs=0.05), "trimmed to a tenth of a second around the tone"
            path = here.storage.path(file)
            assert path.stat().st_size == file.bytes
            assert path.name == f"{file.sid}.{file_format}"

    run(main())


def test_overwriting_replaces_content_and_format(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            first = await here.recorded(RecordingRequest(string_key_1="kept"), 2)
            before = here.storage.path(await here.storage.open_file(ACCOUNT, first.sid))
            await here.recorded(RecordingRequest(file_sid=first.sid, file_mode="overwrite", file_format="ul"), 1)
            file = await here.storage.open_file(ACCOUNT, first.sid)
            assert (file.format, file.bytes, file.duration, file.string_key_1) == ("ul", 8000, 1.0, "kept")
            assert not before.exists()
            assert here.storage.path(file).stat().st_size == 8000

    run(main())


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_what_was_changed_of_a_file_while_it_was_recorded_into_stays(tmp_path: Path, mode: Any) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            first = await here.recorded(RecordingRequest(string_key_1="a", string_key_2="b", integer_key_1=1), 2)
            request = RecordingRequest(file_sid=first.sid, file_mode=mode, integer_key_1=7)
            recording = await here.record(request, 1)
            changes = {"name": "renamed.wav", "string_key_1": "new", "lifecycle_ttl": 60, "integer_key_1": 2}
            await here.storage.change(first.sid, changes)
            assert (await here.recordings.finish(recording, FACTS)).status == "completed"
            file = await here.storage.open_file(ACCOUNT, first.sid)
            assert (file.name, file.string_key_1, file.string_key_2) == ("renamed.wav", "new", "b")
            assert (file.integer_key_1, file.lifecycle_ttl) == (7, 60)
            assert file.duration == (3.0 if mode == "append" else 1.0)
            async with here.database.begin() as connection:
                expires = (await connection.execute(sa.text("SELECT expires FROM file"))).scalar_one()
            assert expires == file.updated + 60

    run(main())


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_a_file_that_is_deleted_while_it_is_recorded_into_stays_deleted(tmp_path: Path, mode: Any) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            first = await here.recorded(RecordingRequest(), 2)
            recording = await here.record(RecordingRequest(file_sid=first.sid, file_mode=mode), 1)
            await here.storage.delete(first.sid)
            done = await here.recordings.finish(recording, FACTS)
            assert (done.status, "none of that sid any more" in done.error) == ("failed", True)
            assert await here.storage.find(first.sid) is None
            assert not list((tmp_path / "files").glob("*/*/*.wav"))

    run(main())


@pytest.mark.parametrize("file_format", ["wav", "ul"])
def test_what_is_appended_to_a_file_of_unknown_length_makes_it_known(tmp_path: Path, file_format: Any) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            first = await here.recorded(RecordingRequest(file_format=file_format), 2)
            await here.storage.change(first.sid, {"duration": 0.0})  # as of an upload
            await here.recorded(RecordingRequest(file_format=file_format, file_sid=first.sid), 1)
            assert (await here.storage.open_file(ACCOUNT, first.sid)).duration == 3.0

    run(main())


def test_a_recording_is_no_longer_than_its_longest(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            done = await here.recorded(RecordingRequest(max_length_s=1, trim=False), 1.02)
            assert len(await here.samples(done)) == 8000

    run(main())


@pytest.mark.parametrize(("events", "told"), [(("completed", "failed"), False), (("absent",), True)])
def test_nothing_but_silence_is_absent_and_told_where_asked_for(
    tmp_path: Path, events: tuple[str, ...], told: bool
) -> None:
    request = RecordingRequest(status_callback_url="http://app/status", status_callback_events=events)

    async def main() -> None:
        async with world(tmp_path) as here:
            assert await here.recorded(request, 0, 3) == Recorded(status="absent")
            assert here.told.statuses() == ({"http://app/status": "absent"} if told else {})
            assert here.left() == []

    run(main())


def test_a_recording_that_failed_keeps_its_spool_aside(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            recording = await here.record(RecordingRequest(**CALLBACKS), 1)
            done = await here.recordings.finish(recording, FACTS, "No space left on device")
            assert done == Recorded(status="failed", error="No space left on device")
            assert set(here.told.statuses().values()) == {"failed"}
            assert here.left() == ["failed/*.json", "failed/*.s16"]

    run(main())


@pytest.mark.parametrize("room", [True, False], ids=["room without the content", "no room at all"])
def test_a_disk_that_is_full_when_a_recording_ends_fails_it_and_the_application_is_told_then(
    tmp_path: Path, room: bool
) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            recording = await here.record(RecordingRequest(**CALLBACKS), 1)
            partial = Path(recording.path).with_suffix(".partial")
            if room:
                partial.symlink_to("/dev/full")
            else:
                partial.mkdir()
            done = await here.recordings.finish(recording, FACTS)
            assert done.status == "failed"
            assert ("No space left on device" if room else "Is a directory") in done.error
            assert here.told.statuses() == {"http://app/callback": "failed", "http://app/status": "failed"}
            assert [one["status"] for one in await here.kept()] == ["failed"]
            assert [name for name in here.left() if "partial" not in name] == ["failed/*.json", "failed/*.s16"]
            assert partial.exists() is not room
            assert await here.recordings.recover() == 0

    run(main())


def test_a_spool_that_could_not_be_written_on_a_full_disk_is_told_of_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            request = RecordingRequest(**CALLBACKS)
            recording = await here.record(request, 1)
            Path(recording.path).with_suffix(".partial").mkdir()
            done = await here.recordings.finish(recording, FACTS, "No space left on device")
            assert done == Recorded(status="failed", error="No space left on device")
            assert set(here.told.statuses().values()) == {"failed"}
            assert await here.recordings.recover() == 0

    run(main())


def test_a_sidecar_with_credentials_that_cannot_be_replaced_is_not_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, uploads=Uploads(CloudSettings(), clock=lambda: 1000.0)) as here:
            store = {"aws_bucket_name": "bucket", "aws_access_key": "AKIAHUSH", "aws_secret_key": "HUSH"}
            recording = await here.record(RecordingRequest(external=store), 1)
            Path(recording.path).with_suffix(".partial").mkdir()
            assert (await here.recordings.finish(recording, FACTS)).status == "failed"
            assert here.left() == ["failed/*.s16", "spool/*.partial"]

    run(main())


def test_a_storage_that_somebody_has_emptied_takes_recordings_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            under_way = await here.record(RecordingRequest(**CALLBACKS), 1)
            shutil.rmtree(tmp_path / "files")
            assert (await here.recordings.finish(under_way, FACTS)).status == "failed"
            done = await here.recorded(RecordingRequest(), 1)
            assert (done.status, len(await here.samples(done))) == ("completed", 8000)
            assert (tmp_path / "files" / "spool").stat().st_mode & 0o777 == 0o700
            assert set(here.told.statuses().values()) == {"failed"}

    run(main())


def test_finishing_is_done_once_whoever_asks_and_whoever_gives_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            recording = await here.record(RecordingRequest(**CALLBACKS), 1)
            impatient = asyncio.ensure_future(here.recordings.finish(recording, FACTS))
            await asyncio.sleep(0)
            impatient.cancel()
            first, second = await asyncio.gather(*(here.recordings.finish(recording, FACTS) for _ in range(2)))
            assert first is second
            assert len(here.told.got) == 2

    run(main())


@pytest.mark.parametrize("times", [1, 2])
def test_a_hang_up_while_a_recording_begins_leaves_nothing_behind(tmp_path: Path, times: int) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            for _ in range(20):
                beginning = asyncio.ensure_future(here.recordings.begin("call 1", ACCOUNT, RecordingRequest(), FACTS))
                while not here.left() and not beginning.done():  # noqa: ASYNC110
                    await asyncio.sleep(0)
                for _ in range(times):
                    beginning.cancel()  # most often while a thread makes the spool
                    await asyncio.sleep(0)
                await asyncio.wait([beginning])
                if not beginning.cancelled():
                    await here.recordings.finish(beginning.result(), FACTS)
                await here.recordings.idle()
                assert here.left() == []

    run(main())


def test_recordings_into_one_file_at_once_all_get_in(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            first = await here.recorded(RecordingRequest(trim=False), 1)
            request = RecordingRequest(trim=False, file_sid=first.sid)
            more = [await here.record(request, 1) for _ in range(4)]
            await asyncio.gather(*(here.recordings.finish(recording, FACTS) for recording in more))
            assert len(await here.samples(first)) == 40000
            assert (await here.storage.open_file(ACCOUNT, first.sid)).duration == 5.0

    run(main())


STRANGER = "6a04a2e1-2f0e-4b5c-9a3c-07f9a1c1a002"


async def _refusals(here: World) -> None:
    mine = await here.recorded(RecordingRequest(trim=False), 1)
    full = await here.storage.create_container(ACCOUNT, "full", quota_bytes=100)
    foreign = await here.storage.create_container(STRANGER, "theirs")
    held = await here.storage.reserve(ACCOUNT, Wanted(name="x", format="wav", container_sid=full.sid))
    await here.storage.put(replace(held, bytes=100), _content(here.folder, 100))
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"container_sid": foreign.sid}, ACCOUNT, "has none of that sid"),
        ({"container_sid": "nonsense"}, ACCOUNT, "container nonsense"),
        ({"file_sid": mine.sid}, STRANGER, "has none of that sid"),
        ({"file_sid": STRANGER}, ACCOUNT, "has none of that sid"),
        ({"file_sid": mine.sid, "file_format": "mp3"}, ACCOUNT, "mp3 cannot be appended to wav"),
        ({"container_sid": full.sid}, ACCOUNT, "is full: 100 of 100 bytes"),
        ({"file_sid": held.sid}, ACCOUNT, "is full: 0 of 100 bytes taken, 101 wanted"),
        ({"file_sid": await _upload(here, "music.wav", 44100, "PCM_16")}, ACCOUNT, "44100 Hz; expected 8000"),
        ({"file_sid": await _upload(here, "old.wav", 8000, "PCM_U8")}, ACCOUNT, "1 channels of 8 bits"),
        ({"file_sid": await _upload(here, "studio.wav", 8000, "FLOAT")}, ACCOUNT, "1 channels of 32 bits"),
        ({"external": {"aws_bucket_name": "x"}}, ACCOUNT, "nothing that could upload"),
    ]
    for options, account, why in cases:
        with pytest.raises(StorageError, match=why):
            await here.recordings.begin("call 1", account, RecordingRequest(**options), FACTS)


async def _upload(here: World, name: str, rate_hz: int, samples: str) -> str:
    """Store a WAV file that no recording of ours is; returns its sid."""
    path = here.folder / name
    soundfile.write(path, np.zeros(100), rate_hz, subtype=samples)
    held = await here.storage.reserve(ACCOUNT, Wanted(name=name, format="wav"))
    await here.storage.put(replace(held, bytes=path.stat().st_size), path)
    return held.sid


def _content(folder: Path, size: int) -> Path:
    path = folder / "content"
    path.write_bytes(bytes(size))
    return path


def test_what_cannot_be_stored_is_refused_before_anything_is_recorded(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            await _refusals(here)
            assert here.left() == []

    run(main())


def test_callbacks_hear_of_a_recording_that_could_not_begin(tmp_path: Path) -> None:
    async def main() -> None:
        told = Told()
        async with world(tmp_path, told) as here:
            request = RecordingRequest(container_sid="nonsense", callback_url="/done", status_callback_url="/status")
            with pytest.raises(StorageError):
                await here.recordings.begin("call 1", ACCOUNT, request, FACTS)
            silent = replace(request, status_callback_events=("completed",), callback_url="")
            with pytest.raises(StorageError):
                await here.recordings.begin("call 1", ACCOUNT, silent, FACTS)
        assert told.statuses() == {"/done": "failed", "/status": "failed"}
        assert len(told.got) == 2

    run(main())


def test_a_place_that_does_not_exist_is_told_of_before_anything_begins_and_one_that_is_full_is_none(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            full = await here.storage.create_container(ACCOUNT, "full", quota_bytes=0)
            request = RecordingRequest(container_sid=full.sid, **CALLBACKS)
            await here.recordings.check("call 1", ACCOUNT, request, FACTS)
            assert here.told.got == {}
            with pytest.raises(StorageError, match="none of that sid"):
                await here.recordings.check("call 1", ACCOUNT, replace(request, container_sid=STRANGER), FACTS)
            assert here.told.statuses() == {"http://app/callback": "failed", "http://app/status": "failed"}
            assert [one["status"] for one in await here.kept()] == ["failed"]

    run(main())


def test_a_container_that_has_become_full_fails_the_recording(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            small = await here.storage.create_container(ACCOUNT, "small", quota_bytes=20_000)
            request = RecordingRequest(container_sid=small.sid, trim=False, **CALLBACKS)
            assert (await here.recorded(request, 1)).status == "completed"
            done = await here.recorded(request, 1)
            assert (done.status, "is full" in done.error) == ("failed", True)
            assert here.told.statuses() == {"http://app/callback": "failed", "http://app/status": "failed"}
            assert here.left() == ["failed/*.content", "failed/*.json", "failed/*.s16"]

    run(main())


DEATHS = [
    "while recording",
    "before put",
    "after put",
    "before http://app/callback",
    "after http://app/callback",
    "before http://app/status",
    "after http://app/status",
]


@pytest.mark.parametrize("death", DEATHS)
def test_whenever_a_process_dies_the_next_one_finishes_exactly_once(tmp_path: Path, death: str) -> None:
    told = Told()

    async def first_run() -> str:
        async with world(tmp_path, told) as here:
            before = await here.recorded(RecordingRequest(trim=False), 1)
            request = RecordingRequest(trim=False, file_sid=before.sid, **CALLBACKS)
            recording = await here.record(request, 1)
            told.dies = here.storage.dies = death
            if death != "while recording":
                with pytest.raises(Killed):
                    await here.recordings.finish(recording, FACTS)
            return before.sid

    async def second_run(sid: str, unfinished: int) -> None:
        told.dies = ""
        async with world(tmp_path, told) as here:
            assert await here.recordings.recover() == unfinished
            await here.recordings.idle()
            file = await here.storage.open_file(ACCOUNT, sid)
            assert (file.duration, file.bytes) == (2.0, 32044)
            assert soundfile.info(here.storage.path(file)).frames == 16000, "appended once"
            assert here.told.statuses() == {"http://app/callback": "completed", "http://app/status": "completed"}
            assert len(told.got) == 2
            assert here.left() == []

    sid = run(first_run())
    run(second_run(sid, 1))
    run(second_run(sid, 0))


def test_a_damaged_sidecar_is_put_aside_and_the_others_are_finished(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            recording = await here.record(RecordingRequest(**CALLBACKS), 1)
            spool = Path(recording.path).parent
            (spool / "bad.json").write_bytes(b'{"sid": "bad"')
            (spool / "bad.s16").write_bytes(bytes(320))
            assert await here.recordings.recover() == 1
            await here.recordings.idle()
            assert here.left() == ["failed/*.json", "failed/*.s16"]
            assert set(here.told.statuses().values()) == {"completed"}

    run(main())


RECORDING_PROCESS = """
import asyncio, sys, time
from pathlib import Path
import numpy as np
from flexml.engine.db import Database
from flexml.engine.recording import RecordingRequest
from flexml.engine.recording_log import RecordingLog
from flexml.engine.recordings import Recordings
from flexml.engine.storage.local import LocalStorage
from flexml.media.recorder import Recorder, SpoolWriter

class NoCallbacks:
    async def put(self, url, method, data, *, sid=""):
        return sid

async def begin(folder):
    database = Database(f"sqlite:///{folder / 'db'}")
    await database.start()
    storage = LocalStorage(database, folder / "files", clock=time.time)
    recordings = Recordings(folder / "files", storage, NoCallbacks(), url="http://127.0.0.1")
    await asyncio.to_thread(recordings._spool.prepare)
    request = RecordingRequest(trim=False, callback_url="http://app/callback")
    recording = await recordings.begin("call 1", sys.argv[2], request, {"CallSid": "call 1"})
    await database.close()
    return recording.path

recorder = Recorder(SpoolWriter())
recorder.start(0, leg=1, job=1, path=asyncio.run(begin(Path(sys.argv[1]))), sides="heard")
for tick in range(1, 100000):
    recorder.step(np.full((1, 160), tick, np.float32), np.zeros((1, 160), np.float32), np.array([0]))
    print(tick, flush=True)
    time.sleep(0.005)
"""


def test_a_killed_process_loses_less_than_a_second(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RECORDING_PROCESS, str(tmp_path), ACCOUNT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = (int(line) for line in process.stdout)
        while next(said) < 240:
            pass
        os.kill(process.pid, signal.SIGKILL)
        ticks = max([240, *said])

    async def main() -> None:
        async with world(tmp_path) as here:
            assert await here.recordings.recover() == 1
            await here.recordings.idle()
            ((_, _, data),) = here.told.got.values()
            assert data["RecordingStatus"] == "completed"
            file = await here.storage.open_file(ACCOUNT, str(data["RecordingSid"]))
            samples = soundfile.read(here.storage.path(file), dtype="int16")[0]
            assert ticks - 50 < len(samples) / 160 <= ticks + 1
            # Killed in the middle of a write, it leaves what fills pages: not always whole frames.
            assert samples.tolist() == np.repeat(np.arange(1, ticks + 2), 160)[: len(samples)].tolist()

    run(main())


def test_credentials_and_what_is_said_of_a_call_are_nobody_elses_to_read(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            recording = await here.record(RecordingRequest(), 0.1)
            for path in Path(recording.path).parent.iterdir():
                assert path.stat().st_mode & 0o077 == 0
            sidecar = json.loads(Path(recording.path).with_suffix(".json").read_text())
            assert sidecar["facts"] == FACTS

    run(main())


def test_of_engines_that_share_a_folder_each_finishes_what_it_began(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            one, two, again = (
                World(tmp_path, here.database, here.told, engine=name) for name in ("a:1/x", "b:1", "a:1/x")
            )
            for other in (one, two, again):
                await other.recordings.start()
            await one.record(RecordingRequest(), 1.0)
            assert [await two.recordings.recover(), await here.recordings.recover()] == [0, 0]
            assert await again.recordings.recover() == 1
            await again.recordings.idle()
            for other in (one, two, again):
                await other.recordings.close()

    asyncio.run(main())


@pytest.mark.parametrize(("seconds", "status"), [((1.0,), "completed"), ((0.0, 1.0), "absent")])
def test_a_recording_that_ends_while_the_database_takes_nothing_is_told_of_once_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, ...], status: str
) -> None:
    monkeypatch.setattr("flexml.engine.sql.SQLITE_PATIENCE_MS", 1)

    async def main() -> None:
        async with world(tmp_path) as here:
            recording = await here.record(RecordingRequest(**CALLBACKS), *seconds)
            lock = sqlite3.connect(tmp_path / "db", isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            finishing = asyncio.ensure_future(here.recordings.finish(recording, FACTS))
            await asyncio.sleep(1.0)
            assert (finishing.done(), here.told.got) == (False, {})
            lock.execute("ROLLBACK")
            lock.close()
            async with asyncio.timeout(20):
                assert (await finishing).status == status
            assert set(here.told.statuses().values()) == {status}
            assert [each["status"] for each in await here.kept()] == [status]
            assert here.left() == []

    run(main())


def test_what_is_appended_to_waits_for_a_database_that_is_away(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as here:
            request = RecordingRequest(trim=False, **CALLBACKS)
            first = await here.recorded(request, 1)
            recording = await here.record(replace(request, file_sid=first.sid), 2)
            here.storage.away = 1
            done = await here.recordings.finish(recording, FACTS)
            assert (done.status, done.sid, len(await here.samples(done))) == ("completed", first.sid, 24000)

    run(main())


@contextlib.asynccontextmanager
async def engine_of(here: World, name: str) -> AsyncGenerator[World]:
    """One of several engines on the storage and the database of `here`."""
    engine = World(here.folder, here.database, here.told, engine=name)
    await engine.recordings.start()
    try:
        yield engine
    finally:
        await engine.recordings.close()


def test_what_two_engines_append_to_one_file_at_once_all_gets_in(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as here, engine_of(here, "one") as one, engine_of(here, "two") as two:
            first = await here.recorded(RecordingRequest(trim=False), 1)
            request = RecordingRequest(trim=False, file_sid=first.sid)
            begun = [(engine.recordings, await engine.record(request, 1)) for engine in (one, two) for _ in range(2)]
            await asyncio.gather(*(recordings.finish(recording, FACTS) for recordings, recording in begun))
            assert len(await here.samples(first)) == 40000
            assert (await here.storage.open_file(ACCOUNT, first.sid)).duration == 5.0

    run(main())


def test_what_an_engine_had_appended_when_it_died_is_not_appended_again_behind_what_came_since(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as here, engine_of(here, "one") as one, engine_of(here, "two") as two:
            first = await here.recorded(RecordingRequest(trim=False), 1)
            request = RecordingRequest(trim=False, file_sid=first.sid)
            one.storage.dies = "after put"
            with pytest.raises(Killed):
                await one.recorded(request, 1)
            await two.recorded(request, 1)
            async with engine_of(here, "one") as again:
                assert await again.recordings.recover() == 1
                await again.recordings.idle()
            assert len(await here.samples(first)) == 24000
            assert (await here.storage.open_file(ACCOUNT, first.sid)).duration == 3.0

    run(main())
