"""What every call goes through, in or out: its documents, its row in the database, its one status callback.

The row is written when the call begins, with the callback that is due should the process die; the callback is in
the outbox no later than the row says that the call is over. So each call is told of once, whatever ended it or us.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal, cast

from .call import Call
from .course import Course
from .db import Database
from .errors import SipError
from .flexml import interpreter
from .flexml.document import MAX_BYTES
from .flexml.fetch import Fetcher
from .flexml.interpreter import Application
from .flexml.request import CallFacts, Ending, request_data, status_callback_data
from .flexml.verb import Goto, Method
from .log import call_id
from .outbox import Outbox
from .outcome import Outcome, Word
from .records import Account, CallRecord
from .registry import Registry
from .sid import derived_sid
from .sip.events import SipAgent
from .timeline import Timeline

log = logging.getLogger("flexml.calls")

LOST: Final = Ending(status="failed", duration_s=0)
"""How a call ended that was live when the process died."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What a call is about: whose it is, where its documents come from, what requests say of it.

    `created` is when it was asked for (Unix seconds), where that was before it began.
    """

    account: Account
    application: Application
    facts: CallFacts
    created: float | None = None
    order: dict[str, Any] | None = None
    """The order that an outbound call was placed by."""


STOPPING: Final = 'Q.850;cause=41;text="the engine is stopping"'
"""Why calls are hung up that live when it does: the Reason of RFC 3326."""


class _Life:
    """A call that lives, what it is about, and where its documents have got to."""

    def __init__(self, call: Call, case: Case, fetcher: Fetcher, database: Database, outbox: Outbox) -> None:
        self.call, self.case = call, case
        self._fetcher, self._cookies, self._database, self._outbox = fetcher, fetcher.cookies(), database, outbox
        self.course = Course(case.application)
        self.saving: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the call's row says what is known of it."""
        self.saving.set_result(None)
        self._unsaved: CallRecord | None = None
        self._lost: tuple[object, dict[str, Any] | None] = None, None
        """The callback that is due should the process die, and what it says."""
        self.words: set[asyncio.Future[str]] = set()

    def facts(self) -> CallFacts:
        """What requests say of the call by now."""
        if not (self.call.storage or self.call.results):
            return self.case.facts
        return replace(self.case.facts, storage=dict(self.call.storage), results=dict(self.call.results))

    def told(self, data: Mapping[str, object] | None = None) -> Mapping[str, object]:
        """What requests about the call say, with data of their own."""
        return request_data(self.facts(), request_url=self.call.running, data=data)

    def leave_word(self, word: Goto) -> None:
        """Have a request made that a verb did not come to, as the call ended: once, and nobody follows its answer."""
        sid = derived_sid(self.call.sid, "word left")
        put = self._outbox.put(word.url, word.method, self.told(word.data), sid=sid)
        self.words.add(asyncio.ensure_future(put))

    def save(self) -> None:
        """Let the call's row say what is known by now; the call goes on without."""
        self._unsaved = _record(self.call, self.case, callback=self._callback_if_lost())
        if self.saving.done():
            self.saving = asyncio.ensure_future(self._save())

    def _callback_if_lost(self) -> dict[str, Any] | None:
        facts = self.facts()
        about = facts, self.case, self.call.status_callback_url, self.call.status_callback_method
        if self._lost[0] != about:
            self._lost = about, _callback(self.call, facts, self.case, LOST)
        return self._lost[1]

    async def _save(self) -> None:
        while (record := self._unsaved) is not None:
            self._unsaved = None
            try:
                await self._database.patiently(partial(self._database.save_call, record))
            except Exception:
                log.exception("the call's row could not be saved")

    def move(self, url: str, method: str) -> bool:
        """Go on with that document; False where nothing goes on any more."""
        application = replace(self.case.application, url=url, method=cast("Method", method))
        if self.call.leaving or not self.course.move(application):
            return False
        self.call.note("moved", url=url, method=method)
        first = self.case.application if self.call.running else application
        order = {**(self.case.order or {}), "url": url, "method": method}
        self.case = replace(self.case, application=first, order=order)
        self.call.changed()
        return True

    async def run(self) -> None:
        """Carry out the call's documents, wherever it is moved to."""
        await self.course.run(self._carry_out)

    async def _carry_out(self, application: Application) -> None:
        await interpreter.run(self.call, self._fetcher, application, self.facts, cookies=self._cookies)


class Lives:
    """Lives calls, from `begin` to their end."""

    def __init__(
        self,
        *,
        registry: Registry,
        agent: SipAgent,
        fetcher: Fetcher,
        outbox: Outbox,
        database: Database,
        timeline: Timeline,
        max_document_bytes: int = MAX_BYTES,
    ) -> None:
        self.registry = registry
        self._max_document_bytes = max_document_bytes
        self._agent, self._fetcher, self._outbox = agent, fetcher, outbox
        self._database, self._timeline = database, timeline
        self._tasks: set[asyncio.Task[None]] = set()
        self.ended: Counter[tuple[str, str]] = Counter()
        """Calls that are over, by direction and status."""
        self._by_sid: dict[str, _Life] = {}

    def application(self, account: Account, *, url: str, method: str, fallback_url: str) -> Application:
        """Where a call's documents come from, with what the account says of errors."""
        return Application(
            url=url,
            method=cast("Method", method),
            error_handler=cast("Literal['basic', 'none']", account.error_handler),
            fallback_url=fallback_url,
            max_bytes=self._max_document_bytes,
        )

    def __len__(self) -> int:
        """How many calls live: until their status callback is in the outbox."""
        return len(self._by_sid)

    def begin(self, call: Call, case: Case) -> None:
        """Live `call` in a task of its own; one that comes while the engine stops ends at once."""
        life = self._by_sid[call.sid] = _Life(call, case, self._fetcher, self._database, self._outbox)
        task = asyncio.ensure_future(self._live(life))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.registry.draining:
            call.shut_down(STOPPING)

    def find(self, sid: str) -> Call | None:
        """The live call of that sid."""
        life = self._by_sid.get(sid)
        return None if life is None else life.call

    def end_account(self, account: str) -> None:
        """Hang up the live calls of the account of that sid."""
        for life in list(self._by_sid.values()):
            if life.case.account.sid == account:
                life.call.end()

    async def move(self, sid: str, *, url: str, method: str) -> bool:
        """Let a live call go on with that document, at once; False where it does not live, or is ending.

        Returns when the call's row says so.
        """
        life = self._by_sid.get(sid)
        if life is None or not life.move(url, method):
            return False
        await asyncio.wait({life.saving})
        return True

    async def _live(self, life: _Life) -> None:
        call = life.call
        call_id.set(call.sid)
        call.told, call.changed, call.leave_word = life.told, life.save, life.leave_word
        try:
            life.save()
            outcome = await call.live(life.run)
            if life.words or not life.saving.done():
                await asyncio.wait({life.saving, *life.words})
            await self._conclude(call, outcome, life.facts(), life.case)
        except Exception:
            log.exception("the call could not be concluded")
        finally:
            call.let_go()
            self.registry.forget(call.dialog)
            self._timeline.forget(call.sid)
            self._by_sid.pop(call.sid, None)

    async def _conclude(self, call: Call, outcome: Outcome, facts: CallFacts, case: Case) -> None:
        self.ended[facts.direction, outcome.status] += 1
        await self._timeline.flush()
        ending = Ending(
            status=outcome.status,
            duration_s=outcome.duration_s,
            playback_url=outcome.played_url,
            play_offset_ms=outcome.play_offset_ms,
        )
        callback = _callback(call, facts, case, ending)
        await _write_end(self._database, self._outbox, _record(call, case, outcome), callback)

    async def end_unplaced(self, record: CallRecord, status: Word, *, now: float, error: str = "") -> None:
        """Conclude a call that is live in the database alone, and that nobody will place; told of as any other."""
        if error:
            self._timeline.note(record.sid, now, "the call cannot go on", {"error": error})
        self._timeline.note(record.sid, now, "call over", {"status": status, "duration_s": 0})
        self.ended[record.direction, status] += 1
        await self._timeline.flush()
        self._timeline.forget(record.sid)
        callback = record.callback and {**record.callback, "data": {**record.callback["data"], "CallStatus": status}}
        ended = replace(record, state="ended", status=status, ended=now, callback=None)
        await _write_end(self._database, self._outbox, ended, callback)

    async def drain(self, timeout_s: float) -> None:
        """Refuse new calls, hang up those that live, and wait until all are concluded."""
        self.registry.draining = True
        calls = [life.call for life in self._by_sid.values()]
        for call in calls:
            if not call.over:
                call.note("the engine is stopping")
            call.shut_down(STOPPING)
        for dialog in self.registry.calls.keys() - {call.dialog for call in calls}:
            try:
                self._agent.hang_up(dialog, reason=STOPPING)
            except SipError as error:
                log.debug("%s", error)
        clock = asyncio.get_running_loop().time
        end = clock() + timeout_s
        while self._tasks and (left_s := end - clock()) > 0:  # one may come whose row was being written
            await asyncio.wait(set(self._tasks), timeout=left_s)


def _record(
    call: Call, case: Case, outcome: Outcome | None = None, callback: dict[str, Any] | None = None
) -> CallRecord:
    timings = outcome or call.outcome
    started = timings.started.timestamp()
    return CallRecord(
        sid=call.sid,
        account=case.account.sid,
        direction=case.facts.direction,
        from_number=case.facts.from_,
        to_number=case.facts.to,
        state="ended" if outcome else "live",
        created=started if case.created is None else case.created,
        started=started,
        answered=timings.answered.timestamp() if timings.answered else None,
        ended=timings.ended.timestamp() if timings.ended else None,
        status=timings.status if outcome else None,
        duration_s=timings.duration_s,
        callback=callback,
        order=case.order,
    )


def status_callback(url: str, method: str, facts: CallFacts, case: Case, ending: Ending) -> dict[str, Any] | None:
    """The call's one status callback, whichever process sends it; None where nobody wants one."""
    if not url:
        return None
    first = case.application
    data = status_callback_data(facts, ending, request_url=first.url, request_method=first.method)
    sid = derived_sid(facts.sid, "status callback")
    return {"url": url, "method": method, "data": data, "sid": sid}


def _callback(call: Call, facts: CallFacts, case: Case, ending: Ending) -> dict[str, Any] | None:
    return status_callback(call.status_callback_url, call.status_callback_method, facts, case, ending)


async def close_orphans(
    database: Database, outbox: Outbox, timeline: Timeline, orphans: Sequence[CallRecord], now: float
) -> None:
    """Mark calls that an engine left live when it died as ended, and tell their applications."""
    for orphan in orphans:
        timeline.note(orphan.sid, now, "the engine has ended", {})
        timeline.note(orphan.sid, now, "call over", {"status": LOST.status, "duration_s": LOST.duration_s})
        timeline.forget(orphan.sid)
    await timeline.flush()

    async def end(orphan: CallRecord) -> None:
        ended = replace(orphan, state="ended", status=LOST.status, ended=now, callback=None)
        await _write_end(database, outbox, ended, orphan.callback)

    await asyncio.gather(*map(end, orphans))


async def _write_end(database: Database, outbox: Outbox, ended: CallRecord, callback: Mapping[str, Any] | None) -> None:
    """Put the callback into the outbox, and the call's last row where it belongs: in one transaction, as a rule.

    The callback is asked for first, so it is never later; and who is told of the call finds that it is over.
    """
    saving = asyncio.ensure_future(database.patiently(lambda: database.save_call(ended)))
    try:
        if callback:
            await outbox.put(**callback)
    finally:
        await saving
