"""Dial: ring one or several, the first to answer talks with the caller, until one of them hangs up.

Each destination is rung by a task of its own, which tries its ways one after the other and, where a key must be
pressed, waits for it; the first task that comes to a party that may talk ends the others. Whatever ends the dial, a
hang-up of the caller included, the parties end with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol

from ..media.protocol import StartPlay
from .conversation import Conversation, Switchboard, Talker
from .dial import Destination, Dialled, DialRequest, DialStatus
from .errors import PromptError, StorageError
from .exchange import Caller, Exchange
from .flexml.verb import Playing, Prompt, Recording
from .outcome import unanswered
from .party import Party
from .reach import Reach, Unreached
from .recording import RecordingRequest


class Calling(Talker, Protocol):
    """The call that dials."""

    @property
    def answered(self) -> bool:
        """True once the final 2xx is out."""
        ...

    async def answer(self) -> None:
        """Answer if that has not been done."""
        ...

    async def early_media(self) -> None:
        """Send 183 with SDP if nothing of the kind has been sent and the call is unanswered."""
        ...

    def ring(self) -> None:
        """Send 180 on an unanswered call."""
        ...

    def start_tone(self, tone: str, *, duration_ms: int = 0) -> Playing:
        """Begin a tone."""
        ...

    async def fetch_audio(self, url: str) -> Prompt:
        """Fetch and decode. Raises PromptError."""
        ...

    async def music(self) -> Prompt:
        """The default music. Raises PromptError."""
        ...

    def start(self, prompt: Prompt, *, loops: int = 1) -> Playing:
        """Begin to play."""
        ...

    async def record(self, request: RecordingRequest) -> Recording:
        """Begin to record. Raises StorageError."""
        ...

    def note(self, what: str, **details: object) -> None:
        """Put a line on the timeline."""
        ...


class Dialling:
    """One dial."""

    def __init__(
        self, calling: Calling, exchange: Exchange, request: DialRequest, caller: Caller, ringback: str
    ) -> None:
        self._calling, self._exchange, self._request = calling, exchange, request
        self._caller, self._ringback = caller, ringback
        self.dialled = Dialled(status="cancel", number=request.destinations[0].target)
        """What has become of it so far: whoever calls may go at any moment."""
        self._parties: list[Party] = []
        self._hearing: list[asyncio.Task[None]] = []
        self._statuses: list[int] = []
        self._room = exchange.new_room()
        self._joined = False
        self._comfort: Playing | None = None
        self._to_record = request.recording
        self._recording: Recording | None = None

    async def run(self) -> Dialled:
        """Ring and talk."""
        try:
            await self._ring_caller()
            if self._request.record_ringing:
                await self._record()
            party = await self._first_to_talk()
            if party is None:
                self.dialled = replace(self.dialled, status=self._failure())
            else:
                await self._talk(party)
            return self.dialled
        finally:
            self._calling.outlive(False)
            await asyncio.shield(asyncio.ensure_future(self._end()))

    async def _end(self) -> None:
        """Leave nothing behind."""
        await asyncio.gather(*self._hearing, return_exceptions=True)
        self._quiet()
        if self._joined:
            self._calling.leg.media.leave()
        if self._recording is not None:
            await self._recording.finish()
        for party in self._parties:
            self._exchange.end(party)

    def _failure(self) -> DialStatus:
        """What is said of parties none of which answered."""
        words = {unanswered(status) for status in self._statuses}
        if "busy" in words:
            return "busy"
        still_ringing = len(self._statuses) < len(self._request.destinations)
        return "noanswer" if still_ringing or "noanswer" in words else "failed"

    async def _record(self) -> None:
        """Record from now on, if that has not been tried; what cannot be recorded is talked about all the same."""
        request, self._to_record = self._to_record, None
        if request is not None:
            try:
                self._recording = await self._calling.record(request)
            except StorageError as error:
                self._calling.note("Dial: goes on without a recording", error=str(error))

    # ---- the caller ---------------------------------------------------------------------------------------------

    async def _ring_caller(self) -> None:
        """Let the caller know that it rings: by 180, or, on an answered call, by what is to be heard."""
        calling, ringing = self._calling, self._request.ringing
        if ringing == "music":
            try:
                self._comfort = calling.start(await calling.music(), loops=0)
            except PromptError as error:
                calling.note("music cannot be heard", error=str(error))
        elif ringing == "true" and not calling.answered:
            calling.ring()
        elif ringing == "true":
            self._comfort = calling.start_tone(self._ringback)

    def _ring_on(self) -> None:
        """Let a caller who has heard a party that failed hear that it rings again, elsewhere."""
        if self._joined and self._comfort is None and self._request.ringing == "true" and self._calling.answered:
            self._comfort = self._calling.start_tone(self._ringback)

    def _quiet(self) -> None:
        if self._comfort is not None:
            self._comfort.stop()
            self._comfort = None

    def _join(self, party: Party) -> None:
        """Let caller and party hear each other; what was played meanwhile ends."""
        self._quiet()
        if not self._joined:
            self._joined = True
            self._calling.leg.media.join(self._room)
        party.leg.media.join(self._room)

    # ---- the parties --------------------------------------------------------------------------------------------

    async def _first_to_talk(self) -> Party | None:
        """Ring all; the first that answers, and confirms where that is asked for. None where none does in time."""
        tasks = [asyncio.ensure_future(self._reach(each)) for each in self._request.destinations]
        try:
            async with asyncio.timeout(self._request.timeout_s):
                for done in asyncio.as_completed(tasks):
                    if (party := await done) is not None:
                        return party
        except TimeoutError:
            self._calling.note("nobody answered in time", timeout_s=self._request.timeout_s)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return None

    async def _reach(self, destination: Destination) -> Party | None:
        """Ring one destination; the party once it may talk."""
        reached = await self._rings(destination).party(destination)
        if isinstance(reached, Unreached):
            self._statuses.append(reached.status)
            return None
        return await self._confirmed(reached, destination)

    def _rings(self, destination: Destination) -> Reach:
        calling = self._calling
        return Reach(
            exchange=self._exchange,
            caller=self._caller,
            note=calling.note,
            made=lambda party: self._made(party, destination),
            beside=calling.leg.media,
        )

    def _made(self, party: Party, destination: Destination) -> None:
        self._parties.append(party)
        self._ring_on()
        if self._passes_early_media(destination):
            party.on_audible = lambda: self._hearing.append(asyncio.ensure_future(self._hear_early(party)))

    def _passes_early_media(self, destination: Destination) -> bool:
        """True where early media of one party may be heard, which its answer alone connects, and no music is wanted.

        To a caller who is not answered 180 tells that it rings; but what is to be recorded is to be heard, too.
        """
        request = self._request
        alone = len(request.destinations) == 1 and not request.confirm_key and not destination.send_digits
        return alone and request.ringing != "music" and (self._calling.answered or request.record_ringing)

    async def _hear_early(self, party: Party) -> None:
        """Let the caller hear what the party says before it answers."""
        if not party.answered.done() and not party.ended.done():
            await self._calling.early_media()
            self._join(party)

    async def _confirmed(self, party: Party, destination: Destination) -> Party | None:
        """Send the keys that the number asks for, then wait for the key that confirms; None where it does not come."""
        if destination.send_digits:
            await until(party.send_digits(destination.send_digits), party.ended)
        if self._request.confirm_key:
            key = await self._key_of(party)
            if key == self._request.confirm_key:
                return party
            self._calling.note("not confirmed", party=party.number, key=key or "")
        elif not (destination.send_digits and party.ended.done()):
            return party
        self._statuses.append(480)
        party.hang_up()
        return None

    async def _key_of(self, party: Party) -> str | None:
        """The key that the party presses while it hears what it is asked; None where it hangs up."""
        playing = await self._play_to(party, self._request.confirm_url)
        try:
            return await until(party.digits.get(), party.ended)
        finally:
            if playing is not None:
                playing()

    async def _play_to(self, party: Party, url: str) -> Callable[[], None] | None:
        """Let a party hear a file again and again; how to stop it."""
        if not url:
            return None
        try:
            prompt = await self._calling.fetch_audio(url)
        except PromptError as error:
            self._calling.note("the party hears nothing", error=str(error))
            return None
        at = prompt.entry_ms
        command = StartPlay(path=prompt.path, rate_hz=prompt.rate_hz, loops=0, ring=prompt.ring, offset=at)
        return party.leg.media.start(command, prompt.growth).stop

    # ---- talking ------------------------------------------------------------------------------------------------

    async def _talk(self, party: Party) -> None:
        """Bridge until the party hangs up, the time is over, or the caller presses the star."""
        clock = asyncio.get_running_loop().time
        for other in self._parties:
            if other is not party:
                self._exchange.end(other)
        await self._calling.answer()
        await self._record()
        self._join(party)
        began = clock()
        self._calling.note("bridged", party=party.number)
        board = Switchboard(
            follow=self._exchange.referred,
            reach=self._reach_other,
            join=self._join,
            replaced=self._replaced,
            note=self._calling.note,
            ringback=self._ringback,
        )
        talk = Conversation(self._calling, party, board, star=self._request.hangup_on_star)
        try:
            async with asyncio.timeout(self._request.time_limit_s or None):
                await talk.run()
        except TimeoutError:
            self._calling.note("the time limit is reached", limit_s=self._request.time_limit_s)
        finally:
            talked = round(clock() - began)
            self.dialled = Dialled(status="completed", number=party.number, sid=party.sid, duration_s=talked)
        self._calling.note("no longer bridged", party=party.number, talked_s=round(clock() - began, 1))

    async def _reach_other(self, destination: Destination) -> Party | Unreached:
        """Ring whom a REFER names."""
        try:
            async with asyncio.timeout(self._request.timeout_s):
                return await replace(self._rings(destination), made=self._parties.append).party(destination)
        except TimeoutError:
            return Unreached(status=408, reason="Request Timeout")

    def _replaced(self, talker: Talker) -> None:
        """Somebody has been transferred away; a recording is of what the caller hears and says, and ends with it."""
        if talker is self._calling and self._recording is not None:
            self._ending = asyncio.ensure_future(self._recording.finish())


async def until(wanted: Awaitable[Any], end: asyncio.Future[Any]) -> Any:
    """What `wanted` comes to; None where `end` is first."""
    waiting = asyncio.ensure_future(wanted)
    try:
        await asyncio.wait([waiting, end], return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        waiting.cancel()
