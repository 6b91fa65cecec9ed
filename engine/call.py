"""A call: what verbs see of it, and its life from INVITE to the status callback.

`live` is the whole life, and the one place where a call ends, whatever ended it: the verbs' task is cancelled, the
media closed, the row in the database finished, and the status callback handed over, once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from typing import ClassVar, Final

from ..media.protocol import Detector
from . import call_notes
from .call_audio import CallAudio
from .call_dialog import CallDialog
from .call_media import CallMedia
from .call_prompts import CallPrompts
from .call_recordings import CallRecording, CallRecordings
from .call_services import Services
from .dial import Dialled, DialRequest
from .errors import CallEnded, FlexmlError
from .flexml.verb import Goto, MessageStatus, Method, Prompt
from .leg import Leg
from .moment import Moment
from .outcome import Outcome, Word, unanswered
from .outward import Outward
from .party import refuse_transfer
from .recording import RecordingRequest
from .sip.events import Acknowledged, DigitInfo, Ended, Event

log = logging.getLogger("flexml.call")

HANG_UP_TIMEOUT_S: Final = 4.0
"""How long a call waits for the peer to confirm its end; the stack goes on trying (RFC 3261 timer F, 32 s)."""
TOLD_AFTER_S: Final = 1.0
"""How long after the answer others are told of it: of a call that is over by then its end tells that too."""


def unnoticed(*_: object) -> None:
    """Tell nobody."""


class Call(CallAudio):
    """One call on one leg, an inbound one. Implements `flexml.verb.Call` and `sip.events.LiveCall`."""

    inbound: ClassVar[bool] = True

    def __init__(
        self, *, sid: str, dialog: int, services: Services, account: str = "", detector: Detector = "energy"
    ) -> None:
        super().__init__(detector=detector)
        self.sid = sid
        self.account = account
        self.running = ""
        self.told: Callable[[], Mapping[str, object]] = dict
        """What requests about this call say of it."""
        self.changed: Callable[[], None] = unnoticed
        """Called when that, or where the status callback goes, has changed, and when the answer is to be known."""
        self.leave_word: Callable[[Goto], None] = unnoticed
        """Has a request that the call's end comes before made as a callback."""
        self._last_word: Callable[[], Awaitable[Goto | None]] | None = None
        self.transfer: Callable[[str], int] = refuse_transfer
        """What comes of a REFER: the status that it is answered with."""
        self.storage: dict[str, str] = {}
        self.status_callback_url = ""
        self.status_callback_method = "POST"
        self._recordings = CallRecordings(services.recordings)
        self._note = call_notes.Noting(sid, services.note)
        self._dialog = CallDialog(services.agent, dialog, self._note, inbound=self.inbound)
        self.media = CallMedia(sid, self._dialog, self._digits, self._note)
        """Who hears of what happens on the leg."""
        self.outward = Outward(services)
        """What it places and sends of its own, and as whom."""
        self._prompts = CallPrompts(services, account, self._note)
        self._outliving = False
        self._over = Moment()
        self._telling: asyncio.TimerHandle | None = None

    @property
    def dialog(self) -> int:
        """The number that the agent knows its dialog by."""
        return self._dialog.number

    @property
    def outcome(self) -> Outcome:
        """How it went; complete once it is over."""
        return self._dialog.outcome

    @property
    def ended(self) -> asyncio.Future[Ended]:
        """Done once the dialog is over."""
        return self._dialog.ended

    @property
    def leg(self) -> Leg:
        """The leg. Raises CallEnded where there is none any more."""
        return self.media.leg

    def let_go(self) -> None:
        """Forget who is told of the call, once it is over: what refers to itself stays in memory until collected."""
        self.told, self.changed, self.leave_word = dict, unnoticed, unnoticed

    # ---- life -------------------------------------------------------------------------------------------------

    async def live(self, carry_out: Callable[[], Awaitable[None]]) -> Outcome:
        """Run `carry_out` (the documents) until it or the call ends, then tidy up. Returns how it went."""
        work = asyncio.ensure_future(self._work(carry_out))
        try:
            await self._until_over(work)
        finally:
            if self._telling is not None:
                self._telling.cancel()
            if not work.done():
                await asyncio.wait({work})
            await self.end_background()
            await self._recordings.stop()
            if (stats := await self.media.close()) is not None:
                self.outcome.stats = stats
            await self._recordings.finish()
            await self._leave_last_word()
            self._conclude()
        return self.outcome

    async def _leave_last_word(self) -> None:
        """Have the request made that the verb did not come to which the end cut off."""
        word, self._last_word = self._last_word, None
        if word is not None and (goto := await word()) is not None:
            self.leave_word(goto)

    async def _work(self, carry_out: Callable[[], Awaitable[None]]) -> None:
        try:
            await self._begin()
            await carry_out()
        except CallEnded as error:
            log.debug("%s", error)
        except (FlexmlError, OSError) as error:
            log.error("the call cannot go on: %s", error)
            self.note("the call cannot go on", error=str(error))
            self._fail()
        except Exception:
            log.exception("the call failed on an error of the engine's own")
            self.note("internal error")
            self._fail()

    async def _begin(self) -> None:
        """Do what comes before the first document. Raises FlexmlError."""
        await self.leg.open()

    async def _until_over(self, work: asyncio.Future[None]) -> None:
        """Return when the dialog has ended: by the peer, or by us because `work` is done or somebody said `end`."""
        try:
            await asyncio.wait({self._over, work, self._dialog.leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.cancel()  # once: what stops is not to be disturbed at it
        if not self.over:
            self._end_dialog(self._dialog.why_leaving)
            await asyncio.wait({self._over}, timeout=HANG_UP_TIMEOUT_S)
        if not self.ended.done():
            self.note("the peer did not confirm the end", waited_s=HANG_UP_TIMEOUT_S)
            self._take_end(Ended(dialog=self.dialog, status=408, reason="", by="local"))

    def end(self, reason: str = "") -> None:
        """End the call from our side, soon; `reason` is the value of a Reason header (RFC 3326)."""
        self._dialog.leave(reason)

    def shut_down(self, reason: str) -> None:
        """End the call as the engine stops: another one may answer who was not answered yet."""
        if self.inbound and not self.answered:
            self._refuse(503, {"Reason": reason})
        self.end(reason)

    def _fail(self) -> None:
        if self.over:
            return
        if self.answered:
            self.end()
            return
        self._refuse(500)

    def _refuse(self, status: int, headers: Mapping[str, str] = {}) -> None:
        """Refuse what is unanswered, unless that has been done; one that has ended meanwhile needs no answer."""
        if self._dialog.rejected is None and not self.ended.done():
            try:
                self._dialog.reject(status, headers=headers)
            except CallEnded as error:
                log.debug("%s", error)

    def _end_dialog(self, reason: str) -> None:
        """Hang up."""
        self._dialog.hang_up(reason)

    def _conclude(self) -> None:
        outcome = self.outcome
        outcome.played_url, outcome.play_offset_ms = self.last_played
        self._dialog.conclude(self._unanswered())
        self.note("call over", status=outcome.status, duration_s=outcome.duration_s)

    def _unanswered(self) -> Word:
        """How a call went that nobody answered."""
        given_up = self.outcome.by == "remote" or self._dialog.given_up
        return "cancel" if given_up else unanswered(self._dialog.rejected or 0)

    # ---- from SIP and media -----------------------------------------------------------------------------------

    def on_sip_event(self, event: Event) -> None:
        """Take what the agent tells of this call's dialog."""
        match event:
            case Acknowledged():
                self.media.on_acknowledged(event)
            case DigitInfo():
                self.media.on_digit(event.digit, "info")
            case Ended():
                if not self.ended.done():
                    self._take_end(event)
            case _:
                log.debug("SIP event without a taker: %s", event)

    def _take_end(self, event: Ended) -> None:
        self._dialog.take_end(event)
        if not self._outliving:
            self._over.come()

    def notify(self, status: int, reason: str) -> None:
        """Tell the peer how the call goes that it sent a REFER for. Harmless where it has gone."""
        self._dialog.notify(status, reason)

    def outlive(self, yes: bool) -> None:
        """Whether those whom the call has dialled may talk on when its own dialog has ended."""
        self._outliving = yes
        if not yes and self.ended.done():
            self._over.come()

    def dismiss(self) -> None:
        """End the dialog, and be silent on the leg; those whom the call has dialled talk on."""
        self.leg.fall_silent()
        if not self.ended.done():
            self._end_dialog("")

    def on_offer(self, offer: str | None) -> str:
        """Give our SDP. Raises SdpError or NotAcceptable."""
        return self.media.on_offer(offer)

    def on_answer(self, answer: str) -> None:
        """Take the peer's answer. Raises SdpError or NotAcceptable."""
        self.media.on_answer(answer)

    def on_refer(self, target: str) -> int:
        """Say whether a REFER is followed: 202, or the status of its refusal."""
        status = self.transfer(target)
        self.note("< REFER", to=target, answered=status)
        return status

    # ---- what verbs see ---------------------------------------------------------------------------------------

    @property
    def answered(self) -> bool:
        """True once the final 2xx is out."""
        return self._dialog.answered

    @property
    def over(self) -> bool:
        """True once the call has ended, and with it whatever it was doing."""
        return self._over.done()

    @property
    def leaving(self) -> bool:
        """True once it has ended, or is to be ended from our side."""
        return self.over or self._dialog.leaving.done()

    def is_end(self, why: BaseException) -> bool:
        """Whether the call's end is what cut a verb off: else it goes on with another document."""
        return isinstance(why, CallEnded) or self.leaving

    @contextmanager
    def at_its_end(self, word: Callable[[], Awaitable[Goto | None]]) -> Generator[None]:
        """Should the call end within this, have what `word` gives then requested as a callback."""
        try:
            yield
        except (CallEnded, asyncio.CancelledError) as why:
            if self.is_end(why):
                self._last_word = word
            raise

    async def answer(self) -> None:
        """Answer with 200 if that has not been done; returns when audio may flow."""
        if not self.answered:
            self._dialog.answer()
            self._telling = asyncio.get_running_loop().call_later(TOLD_AFTER_S, self._tell_of_answer)
            self.media.start()
        await self.media.ready()

    def _tell_of_answer(self) -> None:
        self._telling = None
        self.changed()

    async def early_media(self) -> bool:
        """Send 183 with SDP if nothing of the kind has been sent and the call is unanswered; False if nobody hears."""
        if self._dialog.early_media():
            self.media.start()
        return await self.media.described()

    async def reject(self, status: int, *, reason: str = "", headers: Mapping[str, str] = {}) -> None:
        """Refuse an unanswered call with that SIP status; hang up an answered one."""
        if self.answered:
            await self.hang_up()
            return
        self._dialog.reject(status, reason=reason, headers=headers)
        await asyncio.wait({self._over})

    async def hang_up(self) -> None:
        """End the call from our side: nothing that is awaited on it from now on comes back."""
        self.end()

    def send_info(self, key: str) -> None:
        """Send one key by SIP INFO. Raises SipError."""
        self._dialog.send_info(key)

    async def speech(self, text: str, voice: str) -> Prompt:
        """Synthesise `text` (cached). Raises PromptError."""
        return await self._prompts.speech(text, voice, self.rate_hz)

    async def fetch_audio(self, url: str, *, streaming: bool = False, pre_buffer_s: float = 0.0) -> Prompt:
        """Fetch and decode what `url` names (cached). Raises PromptError."""
        return await self._prompts.at(url, self.rate_hz, streaming=streaming, pre_buffer_s=pre_buffer_s)

    async def fetch_file(self, sid: str) -> Prompt:
        """Decode a file of the account's storage (cached). Raises PromptError."""
        return await self._prompts.file(sid, self.rate_hz)

    async def record(self, request: RecordingRequest) -> CallRecording:
        """Begin to record. Raises StorageError."""
        recording = await self._recordings.begin(request, self)
        self.note("recording", direction=request.direction, format=request.file_format)
        return recording

    async def check_recording(self, request: RecordingRequest) -> None:
        """Raise StorageError, and tell, where a recording that begins later has no place to go to."""
        await self._recordings.check(request, self)

    def ring(self) -> None:
        """Send 180."""
        self._dialog.ring()

    async def music(self) -> Prompt:
        """The default music. Raises PromptError."""
        return await self._prompts.music(self.rate_hz)

    async def dial(self, request: DialRequest) -> Dialled:
        """Call others, and let the first to answer talk with the caller.

        Raises StorageError where it is to be recorded into what does not exist; nobody is rung then.
        """
        return await self.outward.dial(self, request)

    async def send_message(self, text: str, *, sender: str = "", recipient: str = "") -> MessageStatus:
        """Send a text message; what came of it is in later requests too. One that is under way is not taken back."""
        return await self.outward.send_message(self, text, sender=sender, recipient=recipient)

    def store(self, name: str, value: str) -> None:
        """Remember `Storage_<name>` for later requests of this call; an empty value forgets it."""
        if value:
            self.storage[name] = value
        else:
            self.storage.pop(name, None)
        self.changed()

    def override_status_callback(self, url: str, method: Method | None = None) -> None:
        """Send the status callback there; an empty `url` or a `method` of None keeps what was set before."""
        self.status_callback_url = url or self.status_callback_url
        self.status_callback_method = method or self.status_callback_method
        self.changed()

    def override_login(self, username: str, password: str) -> None:
        """Answer challenges of calls that this one places with these credentials; what is empty stays as it was."""
        self.outward.override_login(username, password)

    def note(self, what: str, **details: object) -> None:
        """Put a line on the call's timeline (and the log)."""
        self._note(what, **details)
