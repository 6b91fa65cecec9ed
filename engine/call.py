"""A call: what verbs see of it, and its life from INVITE to the status callback.

`live` is the whole life, and the one place where a call ends, whatever ended it: the verbs' task is cancelled, the
media closed, the row in the database finished, and the status callback handed over, once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar, Final

from ..media.protocol import AmdState, Detector, DigitSource, LegStats, MachineDetected, SilenceDetected
from . import call_notes
from .call_audio import CallAudio
from .call_recordings import CallRecording, CallRecordings
from .call_services import Services
from .dial import Dialled, DialRequest
from .dialling import Dialling
from .digits import PRESS_MS, DigitMerge
from .errors import CallEnded, FlexmlError, PromptError, SdpError, SipError
from .exchange import Caller
from .flexml.verb import Goto, MessageStatus, Method, Prompt
from .leg import Leg
from .log import AboutCall
from .media_jobs import Detected
from .messages import Message
from .moment import Moment
from .outcome import Outcome, Word, unanswered
from .party import refuse_transfer
from .recording import RecordingRequest
from .redact import presentable, presentable_text
from .sip.events import Acknowledged, DigitInfo, Ended, Event, Login
from .sip.negotiation import Agreed

log = logging.getLogger("flexml.call")

MEDIA_GRACE_S: Final = 0.1
"""After ACK, how long to wait for the peer's first packet before audio goes out."""
HANG_UP_TIMEOUT_S: Final = 4.0
"""How long a call waits for the peer to confirm its end; the stack goes on trying (RFC 3261 timer F, 32 s)."""
TOLD_AFTER_S: Final = 1.0
"""How long after the answer others are told of it: of a call that is over by then its end tells that too."""
NOT_ACCEPTABLE: Final = 'SIP;cause=488;text="Not Acceptable Here"'
"""Why we hang up on an answer that nothing comes of: the Reason of RFC 3326."""


def unnoticed(*_: object) -> None:
    """Tell nobody."""


class Call(CallAudio):
    """One call on one leg, an inbound one. Implements `flexml.verb.Call` and `media_leg.LegListener`."""

    inbound: ClassVar[bool] = True

    def __init__(
        self, *, sid: str, dialog: int, services: Services, account: str = "", detector: Detector = "energy"
    ) -> None:
        super().__init__(detector=detector)
        self.sid = sid
        self.dialog = dialog
        self.account = account
        self.running = ""
        self.told: Callable[[], Mapping[str, object]] = dict
        """What requests about this call say of it."""
        self.changed: Callable[[], None] = unnoticed
        """Called when that, or where the status callback goes, has changed, and when the answer is to be known."""
        self.leave_word: Callable[[Goto], None] = unnoticed
        """Has a request that the call's end comes before made as a callback."""
        self.caller = Caller(number="")
        """As whom the call's own calls are placed, where the document names nobody else."""
        self.may_show: Callable[[str], bool] = lambda _: False
        """Whether the account may show that number on calls of its own."""
        self.transfer: Callable[[str], int] = refuse_transfer
        """What comes of a REFER: the status that it is answered with."""
        self.storage: dict[str, str] = {}
        self.outcome = Outcome(started=datetime.now(UTC))
        self.status_callback_url = ""
        self.status_callback_method = "POST"
        self._services = services
        self._recordings = CallRecordings(services.recordings)
        self._leg: Leg | None = None
        self._merge = DigitMerge()
        self.ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        """Done once the dialog is over."""
        self._outliving = False
        self._over = Moment()
        self._leaving = Moment()
        self._why_leaving = ""
        self._acknowledged = Moment()
        self._heard = Moment()
        self._answered_at: float | None = None
        self._ended_at: float | None = None
        self._telling: asyncio.TimerHandle | None = None
        self._early = False
        self._rejected: int | None = None
        self._quality = call_notes.Quality()

    def attach(self, leg: Leg) -> None:
        """Give the call its leg."""
        self._leg = leg

    @property
    def leg(self) -> Leg:
        """The leg. Raises CallEnded where there is none any more."""
        if self._leg is None:
            raise CallEnded(f"call {self.sid} has no leg")
        return self._leg

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
                work.cancel()
                await asyncio.wait({work})
            await self.end_background()
            await self._recordings.stop()
            if self._leg is not None:
                self.outcome.stats = await self._leg.close()
                self.note("RTP total", **call_notes.total(self.outcome.stats))
            await self._recordings.finish()
            self._conclude()
        return self.outcome

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
        await asyncio.wait({self._over, work, self._leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not self.over:
            self._end_dialog(self._why_leaving)
            work.cancel()
            await asyncio.wait({self._over}, timeout=HANG_UP_TIMEOUT_S)
        if not self.ended.done():
            self.note("the peer did not confirm the end", waited_s=HANG_UP_TIMEOUT_S)
            self._take_end(Ended(dialog=self.dialog, status=408, reason="", by="local"))

    def end(self, reason: str = "") -> None:
        """End the call from our side, soon; `reason` is the value of a Reason header (RFC 3326)."""
        self._why_leaving = self._why_leaving or reason
        self._leaving.come()

    def _fail(self) -> None:
        if self.over:
            return
        if self.answered:
            self.end()
            return
        self._rejected = 500
        self.note("> 500")
        try:
            self._services.agent.reject(self.dialog, status=500)
        except SipError as error:
            log.debug("%s", error)

    def _end_dialog(self, reason: str) -> None:
        """Hang up; a dialog that has ended meanwhile needs no ending."""
        if self._rejected is not None or self.ended.done():
            return
        self.note("> BYE" if self.answered else "> 603", **({"reason": reason} if reason else {}))
        try:
            self._services.agent.hang_up(self.dialog, reason=reason)
        except SipError as error:
            log.debug("%s", error)

    def _conclude(self) -> None:
        outcome = self.outcome
        outcome.played_url, outcome.play_offset_ms = self.last_played
        ended_at = self._ended_at or asyncio.get_running_loop().time()
        outcome.conclude(answered_at=self._answered_at, ended_at=ended_at, otherwise=self._unanswered())
        self.note("call over", status=outcome.status, duration_s=outcome.duration_s)

    def _unanswered(self) -> Word:
        """How a call went that nobody answered."""
        return "cancel" if self.outcome.by == "remote" else unanswered(self._rejected or 0)

    # ---- from SIP and media -----------------------------------------------------------------------------------

    def on_sip_event(self, event: Event) -> None:
        """Take what the agent tells of this call's dialog."""
        match event:
            case Acknowledged():
                self._take_acknowledgement(event)
            case DigitInfo():
                self.on_digit(event.digit, "info")
            case Ended():
                if not self.ended.done():
                    self._take_end(event)
            case _:
                log.debug("SIP event without a taker: %s", event)

    def _take_end(self, event: Ended) -> None:
        outcome = self.outcome
        outcome.sip_status, outcome.reason, outcome.by = event.status, event.reason, event.by
        outcome.ended, self._ended_at = datetime.now(UTC), asyncio.get_running_loop().time()
        self.ended.set_result(event)
        cancelled = {"request": "CANCEL"} if self.inbound else {}
        request = ({"request": "BYE"} if self.answered else cancelled) if event.by == "remote" else {}
        self.note("call ended", by=event.by, **request, status=event.status, reason=event.reason)
        if not self._outliving:
            self._over.come()

    def notify(self, status: int, reason: str) -> None:
        """Tell the peer how the call goes that it sent a REFER for. Harmless where it has gone."""
        try:
            self._services.agent.notify(self.dialog, status=status, reason=reason)
        except SipError as error:
            log.debug("%s", error)

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
        before = self.leg.agreed
        if before is not None:
            self.note("< re-INVITE", offer=offer is not None)
        try:
            said = self.leg.on_offer(offer)
        except SdpError as error:
            self.note("offer refused", error=str(error))
            raise
        self._note_media(before)
        return said

    def on_answer(self, answer: str) -> None:
        """Take the peer's answer. Raises SdpError or NotAcceptable."""
        before = self.leg.agreed
        self.leg.on_answer(answer)
        self._note_media(before)

    def on_refer(self, target: str) -> int:
        """Say whether a REFER is followed: 202, or the status of its refusal."""
        status = self.transfer(target)
        self.note("< REFER", to=target, answered=status)
        return status

    def _note_media(self, before: Agreed | None) -> None:
        """Note what was agreed, where that is something else than before."""
        if (agreed := self.leg.agreed) is not None:
            media = call_notes.media(agreed)
            if before is None or media != call_notes.media(before):
                self.note("media agreed", **media)
                self._merge.renew()

    def _take_acknowledgement(self, event: Acknowledged) -> None:
        """Take the answer to an offer of ours that the ACK brings; without one there is nothing to talk over."""
        self.note("< ACK")
        if self.leg.agreed is None:
            try:
                if event.sdp is None:
                    raise SdpError("ACK brought no answer to our offer")
                self.on_answer(event.sdp)
            except SdpError as error:
                self.note("answer refused", error=str(error))
                log.warning("the answer in ACK cannot be used: %s", error)
                self.end(NOT_ACCEPTABLE)
        self._acknowledged.come()

    def on_digit(self, digit: str, source: DigitSource) -> None:
        """A key was pressed; one that another source has told of does not count again."""
        if not self._merge.accept(digit, source, asyncio.get_running_loop().time()):
            log.debug("digit %s by %s is not a new one", digit, source)
            return
        self.note("digit", digit=digit, source=source)
        self._digits.push(digit, source)

    def on_detected(self, event: Detected) -> None:
        """Something listened for was heard."""
        match event:
            case AmdState():
                self.note("AMD state", state=event.state, at_ms=event.at, lasted_ms=event.lasted)
            case MachineDetected():
                self.note("AMD result", status=event.status, cause=event.cause)
            case _:
                self.note("silence" if isinstance(event, SilenceDetected) else "noise", duration_ms=event.duration)

    def on_heard(self, address: str, port: int) -> None:
        """The first packet came in, from there."""
        self.note("RTP heard", source=f"{address}:{port}")
        self._heard.come()

    def on_report(self, stats: LegStats) -> None:
        """Some more seconds have been counted."""
        if quality := self._quality.since_last(stats, asyncio.get_running_loop().time()):
            self.note("RTP quality", **quality)

    def on_silent(self, silent_ms: int) -> None:
        """No packet has come for as long as `[rtp] silence_timeout_s` allows: the peer is gone."""
        if self.ended.done():
            return
        self.note("no RTP, hanging up", silent_ms=silent_ms)
        self.end('Q.850;cause=102;text="no RTP"')

    def on_replaced(self, uncounted_s: float) -> None:
        """Another media worker goes on with the call."""
        self.note("media worker replaced", uncounted_s=round(uncounted_s, 1))

    # ---- what verbs see ---------------------------------------------------------------------------------------

    @property
    def answered(self) -> bool:
        """True once the final 2xx is out."""
        return self._answered_at is not None

    @property
    def over(self) -> bool:
        """True once the call has ended, and with it whatever it was doing."""
        return self._over.done()

    async def answer(self) -> None:
        """Answer with 200 if that has not been done; returns when audio may flow."""
        if not self.answered:
            self._tell_agent(lambda: self._services.agent.answer(self.dialog), "answer")
            self._answered_at = asyncio.get_running_loop().time()
            self.outcome.answered = datetime.now(UTC)
            self._telling = asyncio.get_running_loop().call_later(TOLD_AFTER_S, self._tell_of_answer)
            self.note("> 200")
            self._start_media()
        await self._media_ready()

    def _tell_of_answer(self) -> None:
        self._telling = None
        self.changed()

    async def _media_ready(self) -> None:
        if self._heard.done():
            return
        await asyncio.wait({self._heard, self._acknowledged}, return_when=asyncio.FIRST_COMPLETED)
        if not self._heard.done():
            await asyncio.wait({self._heard}, timeout=MEDIA_GRACE_S)

    async def early_media(self) -> None:
        """Send 183 with SDP if nothing of the kind has been sent and the call is unanswered."""
        if self._early or self.answered:
            return
        self._tell_agent(lambda: self._services.agent.ring(self.dialog, early_media=True), "early media")
        self._early = True
        self.note("> 183")
        self._start_media()

    def _start_media(self) -> None:
        self.leg.start_media()
        self._quality.begin(asyncio.get_running_loop().time())

    async def reject(self, status: int, *, reason: str = "", headers: Mapping[str, str] = {}) -> None:
        """Refuse an unanswered call with that SIP status; hang up an answered one."""
        if self.answered:
            await self.hang_up()
            return
        self._rejected = status
        self.note(f"> {status}", **({"reason": reason} if reason else {}))
        self._tell_agent(
            lambda: self._services.agent.reject(self.dialog, status=status, reason=reason, headers=headers), "reject"
        )
        await asyncio.wait({self._over})

    async def hang_up(self) -> None:
        """End the call from our side: nothing that is awaited on it from now on comes back."""
        self.end()

    def _tell_agent(self, act: Callable[[], None], what: str) -> None:
        """Do something on the dialog; one that has ended meanwhile is no error of ours."""
        try:
            act()
        except SipError as error:
            raise CallEnded(f"{what}: {error}") from error

    def send_info(self, key: str) -> None:
        """Send one key by SIP INFO. Raises SipError."""
        self._services.agent.send_info(self.dialog, digit=key, duration_ms=PRESS_MS)

    async def speech(self, text: str, voice: str) -> Prompt:
        """Synthesise `text` (cached). Raises PromptError."""
        with call_notes.waiting(self.note, "speech", voice=voice, characters=len(text)):
            speech = await self._services.speak(text, voice, self.rate_hz)
        if reason := self._services.fallback_reason(voice):
            self.note("another voice speaks", asked=voice, reason=reason)
        return speech

    async def fetch_audio(self, url: str, *, streaming: bool = False, pre_buffer_s: float = 0.0) -> Prompt:
        """Fetch and decode what `url` names (cached). Raises PromptError."""
        fetch = self._services.audio.fetch
        with call_notes.waiting(self.note, "audio", url=url):
            return await fetch(url, self.rate_hz, streaming=streaming, pre_buffer_s=pre_buffer_s)

    async def fetch_file(self, sid: str) -> Prompt:
        """Decode a file of the account's storage (cached). Raises PromptError."""
        with call_notes.waiting(self.note, "audio", file=sid):
            return await self._services.audio.fetch_file(self.account, sid, self.rate_hz)

    async def record(self, request: RecordingRequest) -> CallRecording:
        """Begin to record. Raises StorageError."""
        recording = await self._recordings.begin(request, self)
        self.note("recording", direction=request.direction, format=request.file_format)
        return recording

    def ring(self) -> None:
        """Send 180."""
        self._tell_agent(lambda: self._services.agent.ring(self.dialog), "ring")
        self.note("> 180")

    async def music(self) -> Prompt:
        """The default music. Raises PromptError."""
        if not self._services.music_url:
            raise PromptError("no music is configured")
        return await self.fetch_audio(self._services.music_url)

    async def dial(self, request: DialRequest) -> Dialled:
        """Call others, and let the first to answer talk with the caller.

        Raises StorageError where it is to be recorded into what does not exist; nobody is rung then.
        """
        failed = Dialled(status="failed", number=request.destinations[0].target)
        if self._services.exchange is None:
            self.note("no calls out are placed here")
            return failed
        if request.caller_id and not self.may_show(request.caller_id):
            self.note("callerId is neither a DID of the account nor in its caller_ids", caller_id=request.caller_id)
            return failed
        if request.recording is not None:
            await self._recordings.check(request.recording, self)
        number, name = request.caller_id or self.caller.number, request.caller_name or self.caller.name
        caller = replace(self.caller, number=number, name=name)
        dialling = Dialling(self, self._services.exchange, request, caller, self._services.ringback)
        try:
            dialled = await dialling.run()
            if self.over:
                raise CallEnded("the caller has left")
        except (CallEnded, asyncio.CancelledError) as why:
            ends = isinstance(why, CallEnded) or self.over or self._leaving.done()  # else it goes on elsewhere
            if ends and request.action_url:
                data = dialling.dialled.data()
                self.leave_word(Goto(url=request.action_url, method=request.action_method, data=data))
            raise
        return dialled

    async def send_message(self, text: str, *, sender: str = "", recipient: str = "") -> MessageStatus:
        """Send a text message; what came of it is in later requests too. One that is under way is not taken back."""
        told = self.told()
        message = Message(
            text=text,
            sender=sender or str(told.get("From", "")),
            recipient=recipient or str(told.get("To", "")),
            account=self.account,
            may_send=not sender or self.may_show(sender),
            facts=told,
        )
        self.results.pop("SmsStatus", None)
        status: MessageStatus = "failed"
        if self._services.messages is None:
            self.note("no messages are sent here")
        else:
            status = await self._services.messages.send(message, self.note)
        self.results["SmsStatus"] = status
        return status

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
        before = self.caller.login or Login(username="", password="")
        login = Login(username=username or before.username, password=password or before.password)
        self.caller = replace(self.caller, login=login)

    def note(self, what: str, **details: object) -> None:
        """Put a line on the call's timeline (and the log)."""
        what, shown = presentable_text(what), presentable(details)
        self._services.note(self.sid, datetime.now(UTC), what, shown)
        if log.isEnabledFor(logging.INFO):
            with AboutCall(self.sid):
                log.info("%s%s", what, "".join([f" {name}={value}" for name, value in shown.items()]))
