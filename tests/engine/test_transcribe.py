"""Transcriptions with an engine that says what a test wants: what is told, when, how often, what survives a kill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from flexml.engine.errors import PromptError
from flexml.engine.recording import TranscriptionRequest
from flexml.engine.speech.transcribe import Transcriptions, text_of
from flexml.engine.speech.transcribe_engines import TranscriptionSettings, chosen

SID: Final = "6a04a2e1-2f0e-4b5c-9a3c-07f9a1c1a0aa"
OTHER: Final = "6a04a2e1-2f0e-4b5c-9a3c-07f9a1c1a0bb"
URL: Final = "http://app/text"
FACTS: Final = {"CallSid": "call 1", "From": "15162065338", "RecordingSid": "r", "TranscriptionStatus": "pending"}
HEARD: Final = [["hello", 0.9], ["their", 0.2], ["world", 0.6]]


@dataclass
class Told:
    """What the outbox was given, by sid; as there, what has been put once is not put again.

    With `dies`, the process ends at that point: nothing goes on, and `dead` says that it is so far.
    """

    got: dict[str, tuple[str, str, Mapping[str, object]]] = field(default_factory=dict[str, Any])
    dies: str = ""
    dead: asyncio.Event = field(default_factory=asyncio.Event)

    async def put(self, url: str, method: str, data: Mapping[str, object], *, sid: str = "") -> str:
        await self._die("before")
        self.got.setdefault(sid, (url, method, data))
        await self._die("after")
        return sid

    async def _die(self, when: str) -> None:
        if self.dies == when:
            self.dead.set()
            await asyncio.Event().wait()

    @property
    def results(self) -> list[tuple[object, object, object]]:
        return [
            (data["TranscriptionSid"], data["TranscriptionStatus"], data["TranscriptionText"])
            for _, _, data in self.got.values()
        ]


@dataclass
class Listener:
    """An engine in the place of the processes: `hear` answers a request, or waits for `release`."""

    hear: Callable[[dict[str, object]], Any] = lambda request: {"words": HEARD}
    release: asyncio.Event | None = None
    asked: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    began: asyncio.Event = field(default_factory=asyncio.Event)
    given_up: int = 0
    starts: int = 0

    async def start(self) -> None:
        self.starts += 1

    async def close(self) -> None:
        self.starts -= 1

    async def run(self, progress: object = None, **request: object) -> dict[str, Any]:
        octets = await asyncio.to_thread(Path(str(request["samples"])).read_bytes)
        self.asked.append({**request, "octets": octets})
        self.began.set()
        if self.release is not None:
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.given_up += 1
                raise
        return self.hear(request)


class World:
    """Everything that there is of transcriptions in one process; `now` is Unix time."""

    def __init__(self, folder: Path, told: Told, listener: Listener, now: float = 1000.0, **settings: Any) -> None:
        self.folder, self.told, self.listener, self.now = folder, told, listener, now
        self.notes: list[tuple[str, str, Mapping[str, object]]] = []
        self.transcriptions = Transcriptions(
            folder,
            told,
            TranscriptionSettings(**settings),
            clock=lambda: self.now,
            note=self._note,
            processes=listener,
        )

    def _note(self, call: str, at: float, what: str, details: Mapping[str, object]) -> None:
        self.notes.append((call, what, details))

    def samples(self, name: str = "spool") -> Path:
        """A recording's samples, not yet anybody's."""
        path = self.folder / f"{name}.s16"
        path.write_bytes(b"\x01\x00" * 800)
        return path

    async def take(self, sid: str = SID, channels: int = 1, **wishes: Any) -> None:
        request = TranscriptionRequest(callback_url=URL, **wishes)
        await self.transcriptions.take(sid, "call 1", request, FACTS, self.samples(sid), channels)

    def left(self) -> list[str]:
        return sorted(path.suffix for path in (self.folder / "transcribe").iterdir())


async def opened(folder: Path, told: Told | None = None, listener: Listener | None = None, **options: Any) -> World:
    world = World(folder, told or Told(), listener or Listener(), **options)
    await world.transcriptions.start()
    return world


def test_a_recording_is_transcribed_and_told_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        here = await opened(tmp_path, longest_s=77, url="http://ears/", key="k", whisper_model="")
        await here.take(channels=2)
        assert not (tmp_path / f"{SID}.s16").exists(), "it has moved"
        await here.transcriptions.idle()
        (asked,) = here.listener.asked
        assert asked["octets"] == b"\x01\x00" * 800
        assert (asked["channels"], asked["longest_s"], asked["url"], asked["key"]) == (2, 77, "http://ears/", "k")
        ((url, method, data),) = here.told.got.values()
        assert (url, method) == (URL, "POST")
        assert data == FACTS | {
            "TranscriptionSid": SID,
            "TranscriptionStatus": "completed",
            "TranscriptionText": "hello their world",
            "TranscriptionUrl": "",
        }
        assert here.left() == []
        assert here.notes == [
            ("call 1", "transcription queued", {"sid": SID}),
            ("call 1", "transcription ended", {"status": "completed", "sid": SID, "words": 3}),
        ]
        await here.transcriptions.close()
        assert here.listener.starts == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    ("threshold", "replacement", "text"),
    [
        (0.01, "_", "hello their world"),
        (0.2, "_", "hello their world"),
        (0.21, "_", "hello _ world"),
        (0.7, "(?)", "hello (?) (?)"),
        (0.7, "", "hello"),
        (1.0, "*", "* * *"),
        (0.0, "*", "hello their world"),
    ],
)
def test_words_below_the_threshold_are_replaced(threshold: float, replacement: str, text: str) -> None:
    request = TranscriptionRequest(callback_url=URL, threshold=threshold, replacement=replacement)
    assert text_of([(str(word), float(str(confidence))) for word, confidence in HEARD], request) == text


def _says(answer: dict[str, Any] | str) -> Callable[[object], dict[str, Any]]:
    """An engine that always answers so; a text is why it cannot."""

    def hear(request: object) -> dict[str, Any]:
        if isinstance(answer, str):
            raise PromptError(answer)
        return answer

    return hear


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        ("the model is gone", "failed", "the model is gone"),
        ({"words": [["hello"]]}, "failed", "the engine's answer is none"),
        ({}, "failed", "the engine's answer is none"),
        ({"words": []}, "completed", ""),
    ],
)
def test_whatever_the_engine_says_is_told_once(tmp_path: Path, answer: Any, status: str, error: str) -> None:
    async def main() -> None:
        here = await opened(tmp_path, listener=Listener(hear=_says(answer)))
        await here.take()
        await here.transcriptions.idle()
        assert here.told.results == [(SID, status, "")]
        assert str(here.notes[-1][2].get("error", "")).startswith(error)
        assert here.left() == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("wanted_s", "limit_s", "now", "ends"),
    [(5, 3600, 1004.9, False), (5, 3600, 1005.0, True), (None, 60, 1059.9, False), (None, 60, 1060.0, True),
     (100, 60, 1060.0, True), (100, 60, 1059.9, False)],
)  # fmt: skip
def test_time_counts_from_when_it_was_asked_for_over_a_restart_too(
    tmp_path: Path, wanted_s: int | None, limit_s: int, now: float, ends: bool
) -> None:
    async def main() -> None:
        told = Told()
        here = await opened(tmp_path, told, Listener(release=asyncio.Event()), timeout_s=limit_s)
        await here.take(timeout_s=wanted_s)
        await here.listener.began.wait()
        await here.transcriptions.close()
        assert told.results == []
        again = await opened(tmp_path, told, now=now, timeout_s=limit_s)
        assert await again.transcriptions.recover() == 1
        await again.transcriptions.idle()
        expected = (SID, "timeout", "") if ends else (SID, "completed", "hello their world")
        assert told.results == [expected]
        assert again.listener.starts == (0 if ends else 1), "no process is started in vain"

    asyncio.run(main())


def test_a_result_that_comes_after_the_time_out_is_told_to_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        release = asyncio.Event()
        here = await opened(tmp_path, listener=Listener(release=release))
        here.now = 1000.0
        await here.take(timeout_s=1)
        here.now = 1000.999  # a millisecond is left by the clock, and the loop waits for no longer
        await here.transcriptions.idle()
        release.set()
        await asyncio.sleep(0)
        assert here.told.results == [(SID, "timeout", "")]
        assert here.listener.given_up == len(here.listener.asked)
        assert here.notes[-1][2]["error"] == "not ready within 1 s"
        assert here.left() == []

    asyncio.run(main())


@pytest.mark.parametrize("dies", ["before", "after"])
def test_whenever_a_process_dies_the_next_one_tells_exactly_once(tmp_path: Path, dies: str) -> None:
    told = Told(dies=dies)

    async def first_run() -> None:
        here = await opened(tmp_path, told)
        await here.take()
        await told.dead.wait()

    async def second_run(unfinished: int) -> None:
        here = await opened(tmp_path, told, Listener(hear=lambda request: {"words": [["else", 1.0]]}))
        assert await here.transcriptions.recover() == unfinished
        await here.transcriptions.idle()
        assert here.listener.asked == [], "the result was decided before"
        assert told.results == [(SID, "completed", "hello their world")]
        assert here.left() == []

    asyncio.run(first_run())
    told.dies = ""
    asyncio.run(second_run(1))
    asyncio.run(second_run(0))


def test_a_process_that_dies_while_it_listens_leaves_the_work_to_the_next(tmp_path: Path) -> None:
    async def first_run() -> None:
        here = await opened(tmp_path, listener=Listener(release=asyncio.Event()))
        await here.take(SID)
        await here.take(OTHER)
        await here.listener.began.wait()

    async def second_run() -> None:
        here = await opened(tmp_path)
        assert await here.transcriptions.recover() == 2
        await here.transcriptions.idle()
        assert sorted(here.told.results) == [(sid, "completed", "hello their world") for sid in (SID, OTHER)]

    asyncio.run(first_run())
    asyncio.run(second_run())


def test_taking_a_recording_over_again_changes_nothing(tmp_path: Path) -> None:
    """As when the recording was killed before it had noted that it is finished."""

    async def main() -> None:
        release = asyncio.Event()
        here = await opened(tmp_path, listener=Listener(release=release))
        await here.take()
        request = TranscriptionRequest(callback_url=URL)
        await here.transcriptions.take(SID, "call 1", request, FACTS, tmp_path / "gone.s16", 1)
        release.set()
        await here.transcriptions.idle()
        await here.transcriptions.take(SID, "call 1", request, FACTS, tmp_path / "gone.s16", 1)
        await here.transcriptions.idle()
        assert len(here.listener.asked) == len(here.told.results) == 1
        assert here.left() == []

    asyncio.run(main())


def test_samples_that_cannot_be_moved_are_a_failure(tmp_path: Path) -> None:
    async def main() -> None:
        here = await opened(tmp_path)
        (tmp_path / "transcribe").rmdir()
        (tmp_path / "transcribe").touch()
        await here.take()
        assert here.told.results == [(SID, "failed", "")]

    asyncio.run(main())


def test_a_damaged_sidecar_is_put_aside_and_the_others_go_on(tmp_path: Path) -> None:
    async def main() -> None:
        here = await opened(tmp_path)
        (tmp_path / "transcribe" / f"{OTHER}.json").write_bytes(b"{")
        (tmp_path / "transcribe" / f"{OTHER}.s16").write_bytes(b"")
        assert await here.transcriptions.recover() == 0
        assert here.left() == []
        assert len(list((tmp_path / "failed").iterdir())) == 2

    asyncio.run(main())


def test_what_is_said_is_nobody_elses_to_read(tmp_path: Path) -> None:
    async def main() -> None:
        here = await opened(tmp_path, listener=Listener(release=asyncio.Event()))
        await here.take()
        assert (tmp_path / "transcribe" / f"{SID}.json").stat().st_mode & 0o077 == 0
        await here.transcriptions.close()

    asyncio.run(main())


def test_processes_start_with_the_first_recording(tmp_path: Path) -> None:
    async def main() -> None:
        here = await opened(tmp_path)
        assert here.listener.starts == 0
        await here.take(SID)
        await here.take(OTHER)
        await here.transcriptions.idle()
        assert here.listener.starts == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("settings", "why"),
    [({"whisper_model": "/nowhere"}, "needs the extra transcription|there is no folder /nowhere"), ({}, "")],
)
def test_an_engine_that_cannot_work_keeps_the_server_from_starting(settings: dict[str, Any], why: str) -> None:
    if not why:
        assert chosen(TranscriptionSettings(**settings)).module.endswith("transcribe_sphinx")
        return
    with pytest.raises(PromptError, match=why):
        chosen(TranscriptionSettings(**settings))
