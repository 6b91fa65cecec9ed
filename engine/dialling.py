"""Dial: ring one or several, the first to answer talks with the caller, until one of them hangs up.

Each destination is rung by a task of its own, which tries its ways one after the other and, where a key must be
pressed, waits for it; the first task that comes to a party that may talk ends the others. Whatever ends the dial, a
hang-up of the caller included, the parties end with it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

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

HEARD_S: Final = 1.0
"""Music, a tone or early media is heard from so long on: not where the party is busy at once."""


class Calling(Talker, Protocol):
    """The call that dials."""

    @property
    def answered(self) -> bool:
        """True once the final 2xx is out."""
        ...

    async def answer(self) -> None:
        """Answer if that has not been done."""
        ...

    async def early_media(self) -> bool:
        """Send 183 with SDP if nothing of the kind has been sent and the call is unanswered; False if nobody hears."""
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

    def discard_digits(self, keys: str = "") -> None:
        """Forget which of these keys were typed ahead; all, where none are named."""
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
        self._parties: dict[Party, Destination] = {}
        self._hearing: list[asyncio.Task[None]] = []
        self._statuses: list[int] = []
        self._room, self._clock = exchange.new_room(), asyncio.get_running_loop().time
        self._joined = False
        self._comfort: Playing | None = None
        self._to_record = request.recording
        self._heard_at = math.inf
        self._recording: Recording | None = None

    async def run(self) -> Dialled:
        """Ring and talk."""
        try:
            await self._ring_caller()
            if self._request.record_ringing:
                await self._record()
            party = await self._first_to_talk()
            if party is None:
                heard = self._clock() - self._heard_at >= HEARD_S
                self.dialled = replace(self.dialled, status=self._failure(), heard=heard)
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
        for party in self._parties:
            self._exchange.end(party)
        if self._recording is not None:
            await self._recording.finish()

    def _failure(self) -> DialStatus:
        """What is said of parties none of which answered."""
        words = {unanswered(status) for status in self._statuses}
        return "busy" if "busy" in words else "noanswer" if "noanswer" in words else "failed"

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
                self._play(calling.start(await calling.music(), loops=0))
            except PromptError as error:
                calling.note("music cannot be heard", error=str(error))
        elif ringing == "true" and not calling.answered:
            calling.ring()
        elif ringing == "true":
            self._play(calling.start_tone(self._ringback))

    def _ring_on(self) -> None:
        """Let a caller who has heard a party that failed hear that it rings again, elsewhere."""
        if self._joined and self._comfort is None and self._request.ringing == "true" and self._calling.answered:
            self._play(self._calling.start_tone(self._ringback))

    def _play(self, comfort: Playing) -> None:
        self._comfort, self._heard_at = comfort, min(self._heard_at, self._clock())

    def _quiet(self) -> None:
        if self._comfort is not None:
            self._comfort.stop()
            self._comfort = None

    def _join(self, party: Party) -> None:
        """Let caller and party hear each other; what was played meanwhile ends."""
        self._quiet()
        if not self._joined:
            self._joined, self._heard_at = True, min(self._heard_at, self._clock())
            self._calling.leg.media.join(self._room)
        party.leg.media.join(self._room)

    # ---- the parties --------------------------------------------------------------------------------------------

    async def _first_to_talk(self) -> Party | None:
        """Ring all; the first that answers, and confirms where it must. The others end. None where none does."""
        tasks = [asyncio.ensure_future(self._reach(each)) for each in self._request.destinations]
        first = None
        try:
            for done in asyncio.as_completed(tasks):
                if (first := await done) is not None:
                    break
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for party in self._parties.keys() - {first}:
            self._exchange.end(party)
        return first if first is None or self._request.confirm_key else await self._keyed(first)

    async def _reach(self, destination: Destination) -> Party | None:
        """Ring one destination; the party once it has answered, and confirmed where that is asked for."""
        reached = await self._rings(destination, self._made).party(destination)
        if isinstance(reached, Unreached):
            self._statuses.append(reached.status)
            return None
        return await self._confirmed(reached) if self._request.confirm_key else reached

    def _rings(self, destination: Destination, made: Callable[[Party, Destination], None]) -> Reach:
        calling, timeout_s = self._calling, self._request.timeout_s
        return Reach(
            exchange=self._exchange, caller=self._caller, note=calling.note, beside=calling.leg.media,
            made=lambda party: made(party, destination), timeout_s=timeout_s,
        )  # fmt: skip

    def _made(self, party: Party, destination: Destination) -> None:
        self._parties[party] = destination
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

    async def _keyed(self, party: Party) -> Party | None:
        """Send the keys that the number asks for; None where the party hangs up meanwhile."""
        if digits := self._parties[party].send_digits:
            await party.while_there(party.send_digits(digits))
            if party.ended.done():
                self._statuses.append(480)
                return None
        return party

    async def _confirmed(self, party: Party) -> Party | None:
        """Send the keys that the number asks for, then wait for the key that confirms; None where it does not come."""
        await self._keyed(party)
        key = await self._key_of(party)
        if key == self._request.confirm_key:
            return party
        self._calling.note("not confirmed", party=party.number, key=key or "")
        self._statuses.append(480)
        party.hang_up()
        return None

    async def _key_of(self, party: Party) -> str | None:
        """The key that the party presses while it hears what it is asked; None where it hangs up, or none in time."""
        playing = await self._play_to(party, self._request.confirm_url)
        try:
            return await party.while_there(party.digits.get(self._request.timeout_s))
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
        await self._calling.answer()
        await self._record()
        self._join(party)
        if self._request.hangup_on_star:
            self._calling.discard_digits("*")
        began = self._clock()
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
            talked = round(self._clock() - began)
            self.dialled = Dialled(status="completed", number=party.number, sid=party.sid, duration_s=talked)
        self._calling.note("no longer bridged", party=party.number, talked_s=round(self._clock() - began, 1))

    async def _reach_other(self, destination: Destination) -> Party | Unreached:
        """Ring whom a REFER names."""
        return await self._rings(destination, self._parties.__setitem__).party(destination)

    def _replaced(self, talker: Talker) -> None:
        """Somebody has been transferred away; a recording is of what the caller hears and says, and ends with it."""
        if talker is self._calling and self._recording is not None:
            self._ending = asyncio.ensure_future(self._recording.finish())
