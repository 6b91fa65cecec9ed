"""Uploads to a store on this machine that is away, refuses, or takes its time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from flexml.engine.outbox import Backoff
from flexml.engine.storage.cloud import CloudSettings
from flexml.engine.uploads import AT_ONCE, LONGEST_WAIT_S, Upload, Uploads

from .bucket_server import BucketServer

AWS = {"aws_access_key": "AKIA", "aws_bucket_name": "bucket", "aws_secret_key": "hush"}
DAY_S = 86400.0


class Notes(list[tuple[str, dict[str, object]]]):
    def __call__(self, call: str, at: float, what: str, details: Mapping[str, object]) -> None:
        assert (call, at) == ("call 1", 1000.0 + self.age_s)
        assert "hush" not in str(details)
        self.append((what, dict(details)))

    age_s = 0.0


def uploads(server: BucketServer, notes: Notes, total_s: float = DAY_S) -> Uploads:
    """At the beginning of their time, then at the age that `notes` has."""
    backoff = Backoff(first_s=0.001, total_s=total_s, longest_s=0.002)
    return Uploads(
        CloudSettings(s3_endpoint=server.url), clock=lambda: 1000.0 + notes.age_s, backoff=backoff, note=notes
    )


def upload(folder: Path, name: str = "a.wav", external: Mapping[str, str] = AWS) -> Upload:
    content = folder / name
    content.write_bytes(name.encode())
    return Upload(
        sid="recording 1", call_sid="call 1", name=name, mime="audio/wav", content=content, since=1000.0,
        external=external,
    )  # fmt: skip


def test_an_upload_is_tried_until_the_store_has_it_and_the_timeline_tells(tmp_path: Path) -> None:
    notes, problems = Notes(), list[str]()
    with BucketServer(answers=[(507, ""), (507, ""), (403, "<Code>AccessDenied</Code>")]) as server:
        assert asyncio.run(uploads(server, notes).put(upload(tmp_path), problems.append)) == ""
        assert server.objects == {"/bucket/a.wav": b"a.wav"}
        url = f"{server.url}/bucket/a.wav"
    # obstore itself has asked a second time after the first 507
    assert problems == ["the store answers 507", "the store answers 403 AccessDenied"]
    assert [what for what, _ in notes] == ["uploading", "upload failed", "upload failed", "uploaded"]
    assert notes[0][1] == {"recording": "recording 1", "url": url}
    assert notes[2][1] == {"recording": "recording 1", "attempt": 2, "error": problems[1], "again_in_s": 0.0}
    assert notes[3][1] == {"recording": "recording 1", "attempts": 3}


@pytest.mark.parametrize(
    ("status", "age_s", "total_s", "goes_on"),
    [
        (503, 299.0, DAY_S, True),
        (503, DAY_S - 1, DAY_S, True),
        (503, DAY_S, DAY_S, False),
        (403, 299.0, DAY_S, True),
        (404, 300.0, DAY_S, False),
        (403, 2.0, 2.0, False),
        (503, 0.0, 0.0, False),
    ],
)
def test_who_is_away_has_a_day_and_who_refuses_five_minutes(
    status: int, age_s: float, total_s: float, goes_on: bool, tmp_path: Path
) -> None:
    notes = Notes()
    notes.age_s = age_s
    answers = [(status, "")] * (2 if status == 503 else 1)  # obstore asks twice where that may help
    with BucketServer(answers=answers) as server:
        problem = asyncio.run(uploads(server, notes, total_s).put(upload(tmp_path), lambda _: None))
        assert (problem == "", bool(server.objects)) == (goes_on, goes_on)
    assert ("again_in_s" in notes[1][1]) == goes_on
    assert (problem == "") or problem == f"the store answers {status}"


def test_the_last_attempt_is_when_the_time_is_over_and_no_wait_is_longer_than_five_minutes() -> None:
    backoff = Backoff(total_s=DAY_S, longest_s=LONGEST_WAIT_S)
    assert [backoff.wait_s(n, 0.0) for n in (1, 2, 9, 10, 9999)] == [1.0, 2.0, 256.0, 300.0, 300.0]
    assert backoff.wait_s(9999, DAY_S - 7.0) == 7.0


def test_only_some_are_under_way_at_once(tmp_path: Path) -> None:
    class Crowd(list[Any]):
        """Answers that count who waits for one."""

        most = 0

        def __bool__(self) -> bool:
            self.most = max(self.most, threading.active_count() - before)
            return False

    async def main(server: BucketServer) -> None:
        service = uploads(server, Notes())
        wanted = [upload(tmp_path, f"{n}.wav") for n in range(3 * AT_ONCE)]
        await asyncio.gather(*(service.put(each, lambda _: None) for each in wanted))

    with BucketServer(stalls_s=0.1) as server:
        before = threading.active_count()
        server.answers = Crowd()
        asyncio.run(main(server))
        assert len(server.objects) == 3 * AT_ONCE
        assert 1 < server.answers.most <= AT_ONCE + 1


def test_a_store_of_which_nothing_comes_holds_up_nobody_elses_uploads(tmp_path: Path) -> None:
    async def main(server: BucketServer) -> None:
        service = Uploads(CloudSettings(s3_endpoint=server.url), clock=lambda: 1000.0)
        stuck = [upload(tmp_path, f"{n}.wav", {**AWS, "aws_bucket_name": "stuck"}) for n in range(AT_ONCE)]
        waiting = [asyncio.create_task(service.put(each, lambda _: None)) for each in stuck]
        while len(server.requests) < AT_ONCE:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        async with asyncio.timeout(10):
            assert await service.put(upload(tmp_path), lambda _: None) == ""
        for each in waiting:
            each.cancel()

    with BucketServer(stuck="/stuck/") as server:
        asyncio.run(main(server))
        assert server.objects == {"/bucket/a.wav": b"a.wav"}
