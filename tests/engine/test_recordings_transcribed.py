"""Recordings that are to become texts: what is handed on, what is told meanwhile, and what survives a kill."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from flexml.engine.db import Database
from flexml.engine.recording import Recorded, RecordingRequest, TranscriptionRequest
from flexml.engine.recordings import Recordings
from flexml.engine.speech.transcribe import Transcriptions
from flexml.engine.speech.transcribe_engines import TranscriptionSettings
from flexml.engine.storage.local import LocalStorage

ACCOUNT: Final = "6a04a2e1-2f0e-4b5c-9a3c-07f9a1c1a001"
FACTS: Final = {"CallSid": "call 1", "From": "15162065338"}
WISH: Final = TranscriptionRequest(callback_url="http://app/text")
TONE: Final = np.round(4000 * np.sin(np.arange(16000) / 3)).astype("<i2")


class Killed(BaseException):
    """The process dies here."""


@dataclass
class Told:
    """What the outbox was given: the first for each sid, in order."""

    got: dict[str, tuple[str, Mapping[str, object]]] = field(default_factory=dict[str, Any])

    async def put(self, url: str, method: str, data: Mapping[str, object], *, sid: str = "") -> str:
        self.got.setdefault(sid, (url, data))
        return sid

    def at(self, url: str) -> dict[str, object]:
        (data,) = [data for where, data in self.got.values() if where == url]
        return dict(data)


@dataclass
class Ears:
    """An engine that says how many octets it has heard, of how many channels."""

    heard: list[object] = field(default_factory=list[object])

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to end."""

    async def run(self, progress: object = None, **request: object) -> dict[str, Any]:
        octets = await asyncio.to_thread(Path(str(request["samples"])).read_bytes)
        self.heard.append(octets)
        return {"words": [[f"{len(octets)}/{request['channels']}", 1.0]]}


class Mortal(Transcriptions):
    """In a process that dies before or after it has taken a recording over."""

    dies = ""

    async def take(self, *recording: Any) -> None:
        if self.dies == "before":
            raise Killed
        await super().take(*recording)
        if self.dies == "after":
            raise Killed


class World:
    """One run of the services."""

    def __init__(self, folder: Path, told: Told, ears: Ears, *, transcribes: bool = True) -> None:
        self.folder, self.told, self.ears = folder, told, ears
        self.database = Database(f"sqlite:///{folder / 'db'}")
        files = folder / "files"
        self.transcriptions = Mortal(files, told, TranscriptionSettings(), clock=lambda: 1000.0, processes=ears)
        storage = LocalStorage(self.database, files, clock=lambda: 1000.0)
        transcriber = self.transcriptions if transcribes else None
        self.recordings = Recordings(files, storage, told, url="http://here", transcriber=transcriber)

    async def __aenter__(self) -> World:
        for service in (self.database, self.transcriptions, self.recordings):
            await service.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for service in (self.recordings, self.transcriptions, self.database):
            await service.close()

    async def record(self, samples: Any = TONE, error: str = "", **wishes: Any) -> Recorded:
        wishes = {"callback_url": "http://app/told", "transcription": WISH, **wishes}
        recording = await self.recordings.begin("call 1", ACCOUNT, RecordingRequest(**wishes), FACTS)
        await asyncio.to_thread(Path(recording.path).write_bytes, samples.tobytes())
        done = await self.recordings.finish(recording, FACTS, error)
        await self.transcriptions.idle()
        return done

    def left(self) -> list[str]:
        return [path.name for name in ("spool", "transcribe") for path in (self.folder / "files" / name).iterdir()]


@pytest.mark.parametrize(("channels", "heard"), [("mono", "32000/1"), ("dual", "32000/2")])
def test_a_recording_is_handed_on_whole_and_its_own_callback_says_that_a_text_follows(
    tmp_path: Path, channels: Any, heard: str
) -> None:
    async def main() -> None:
        async with World(tmp_path, Told(), Ears()) as here:
            done = await here.record(channels=channels)
            early, late = here.told.at("http://app/told"), here.told.at("http://app/text")
            assert early == FACTS | done.data()
            assert (early["TranscriptionStatus"], early["TranscriptionText"]) == ("pending", "")
            assert early["TranscriptionSid"] not in {"", early["RecordingSid"]}
            assert late == early | {"TranscriptionStatus": "completed", "TranscriptionText": heard}
            assert here.ears.heard == [TONE.tobytes()]
            assert here.left() == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("wishes", "status"),
    [
        ({"transcription": None}, "completed"),
        ({"error": "the disk is full"}, "failed"),
        ({"samples": TONE * 0}, "absent"),
    ],
)
def test_where_no_text_follows_none_is_spoken_of(tmp_path: Path, wishes: dict[str, Any], status: str) -> None:
    async def main() -> None:
        async with World(tmp_path, Told(), Ears()) as here:
            done = await here.record(**wishes)
            assert done.status == here.told.at("http://app/told")["RecordingStatus"] == status
            assert "TranscriptionSid" not in here.told.at("http://app/told")
            assert len(here.told.got) == 1

    asyncio.run(main())


def test_nothing_is_promised_where_nothing_transcribes(tmp_path: Path) -> None:
    async def main() -> None:
        async with World(tmp_path, Told(), Ears(), transcribes=False) as here:
            assert (await here.record()).transcription == ""
            assert here.left() == []

    asyncio.run(main())


@pytest.mark.parametrize("dies", ["before", "after"])
def test_whenever_a_process_dies_the_text_comes_once(tmp_path: Path, dies: str) -> None:
    told = Told()

    async def first_run() -> None:
        async with World(tmp_path, told, Ears()) as here:
            here.transcriptions.dies = dies
            with pytest.raises(Killed):
                await here.record()

    async def second_run() -> None:
        async with World(tmp_path, told, Ears()) as here:
            await here.recordings.recover()
            await here.transcriptions.recover()
            await here.transcriptions.idle()
            assert told.at("http://app/text")["TranscriptionText"] == "32000/1"
            assert len(told.got) == 2
            assert here.left() == []

    asyncio.run(first_run())
    asyncio.run(second_run())
    asyncio.run(second_run())
