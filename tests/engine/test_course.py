"""Which documents a call follows when it is moved."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable

import pytest
from flexml.engine.course import Course
from flexml.engine.errors import SipError
from flexml.engine.flexml.interpreter import Application

from . import virtual_time

FIRST, SECOND, THIRD = (Application(url=f"http://a/{name}") for name in ("first", "second", "third"))


class Documents:
    """What is carried out: each takes 10 s, and a second to stop."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.course = Course(FIRST)

    async def carry_out(self, application: Application) -> None:
        name = application.url.rpartition("/")[2]
        self.ran.append(name)
        try:
            await asyncio.sleep(10)
            self.ran.append(f"{name} ended")
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            self.ran.append(f"{name} stopped")
            raise


def play(main: Callable[[Documents], Awaitable[None]]) -> list[str]:
    found = Documents()
    virtual_time.run(main(found))  # type: ignore[arg-type]
    return found.ran


def test_a_call_that_is_not_moved_follows_its_first_document() -> None:
    async def main(documents: Documents) -> None:
        await documents.course.run(documents.carry_out)
        assert not documents.course.move(SECOND), "nothing goes on any more"

    assert play(main) == ["first", "first ended"]


def test_a_move_stops_what_runs_before_the_other_document_begins() -> None:
    async def main(documents: Documents) -> None:
        running = asyncio.ensure_future(documents.course.run(documents.carry_out))
        await asyncio.sleep(3)
        assert documents.course.move(SECOND)
        await running

    assert play(main) == ["first", "first stopped", "second", "second ended"]


def test_of_two_moves_the_last_one_counts() -> None:
    async def main(documents: Documents) -> None:
        running = asyncio.ensure_future(documents.course.run(documents.carry_out))
        await asyncio.sleep(3)
        assert documents.course.move(SECOND)
        await asyncio.sleep(0.5)
        assert documents.course.move(THIRD), "while the first one stops"
        await running

    assert play(main) == ["first", "first stopped", "third", "third ended"]


def test_a_call_moved_before_its_documents_begin_starts_there() -> None:
    async def main(documents: Documents) -> None:
        assert documents.course.move(SECOND)
        await documents.course.run(documents.carry_out)

    assert play(main) == ["second", "second ended"]


def test_a_call_that_ends_stops_what_runs_and_moves_no_more() -> None:
    async def main(documents: Documents) -> None:
        running = asyncio.ensure_future(documents.course.run(documents.carry_out))
        await asyncio.sleep(3)
        assert documents.course.move(SECOND)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert not documents.course.move(THIRD)

    assert "second" not in play(main)


def test_what_a_document_raises_is_raised() -> None:
    async def carry_out(_: Application) -> None:
        raise SipError("no such dialog")

    async def main() -> None:
        with pytest.raises(SipError):
            await Course(FIRST).run(carry_out)

    virtual_time.run(main())


def test_a_move_at_the_very_moment_of_the_end_ends() -> None:
    async def main(documents: Documents) -> None:
        running = asyncio.ensure_future(documents.course.run(documents.carry_out))
        await asyncio.sleep(3)
        assert documents.course.move(SECOND)
        running.cancel()
        await asyncio.sleep(5)
        assert running.cancelled()

    assert play(main) == ["first", "first stopped"]


def test_a_call_that_was_moved_can_be_moved_again_and_ended() -> None:
    async def main(documents: Documents) -> None:
        running = asyncio.ensure_future(documents.course.run(documents.carry_out))
        for application in (SECOND, THIRD):
            await asyncio.sleep(3)
            assert documents.course.move(application)
        await asyncio.sleep(3)
        running.cancel()
        await asyncio.sleep(3)
        assert running.cancelled()

    assert play(main) == ["first", "first stopped", "second", "second stopped", "third", "third stopped"]


def test_time_limits_of_documents_hold_after_a_move() -> None:
    heard: list[str] = []

    async def carry_out(application: Application) -> None:
        try:
            async with asyncio.timeout(5):
                await asyncio.sleep(10)
        except TimeoutError:
            heard.append(application.url)

    async def main() -> None:
        course = Course(FIRST)
        running = asyncio.ensure_future(course.run(carry_out))
        await asyncio.sleep(3)
        assert course.move(SECOND)
        await running

    virtual_time.run(main())
    assert heard == [SECOND.url]


def test_a_course_that_is_cancelled_leaves_nothing_to_the_collector() -> None:
    courses: list[weakref.ref[Course]] = []

    async def main() -> None:
        documents = Documents()
        courses.append(weakref.ref(documents.course))
        running = asyncio.ensure_future(documents.course.run(documents.carry_out))
        await asyncio.sleep(3)
        running.cancel()
        await asyncio.wait({running})

    gc.collect()
    gc.disable()
    try:
        virtual_time.run(main())
        assert courses[0]() is None
    finally:
        gc.enable()
