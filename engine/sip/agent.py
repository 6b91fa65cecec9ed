"""The SIP agent over pjsua2: the only module that knows it (see `events` for the seam).

What always holds here:
- One thread, the event loop's, calls pjsua2. The loop watches pjsip's epoll descriptor, and a timer drives
  pjsip's own timers: nothing blocks, nothing polls in vain.
- A pjsua2 Call is kept in `_calls` until DISCONNECTED and dropped outside pjsip's callbacks; it refers to
  nothing that refers back, so that it is freed at once and on this thread (pjsip/pjproject#2416).
- No exception leaves a callback: it would cross C++.
- pjsua's own media is idle: no sound device, no clock, no stream (scripts/build-pjsua2 leaves it out); its
  sockets sit on a loopback address that nothing else uses. Every SDP that leaves is ours.
"""

# ruff: noqa: N802 - callbacks carry pjsua2's names

from __future__ import annotations

import asyncio
import ctypes
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any, Concatenate, Final, Literal, ParamSpec

import _pjsua2
import pjsua2 as pj

from ..errors import SdpError, SipError
from . import message
from .address import one_line, quoted
from .crypto import without_keys
from .events import (
    Accepted,
    Acknowledged,
    DigitInfo,
    Ended,
    Invited,
    Listener,
    Login,
    MessageAnswered,
    OptionsAnswered,
    Progressed,
    RegistrationAnswered,
    TrunkEvent,
    TrunkLine,
)
from .settings import AgentSettings

log = logging.getLogger("flexml.sip")

NO_MEDIA: Final = ("127.0.0.2", 4000, 1000)
"""Address, first port and range that pjsua counts for media of its own, which goes nowhere: no socket is opened."""
IDLE_POLL_S: Final = 0.05
BUSY_POLL_S: Final = 0.02
KEEP_OPEN_S: Final = 15
"""How often a packet of nothing keeps the way back to a registered trunk open through NAT."""
CANCELLED: Final = 487
NOT_ACCEPTABLE: Final = 488
TIMED_OUT: Final = 408
CHALLENGES: Final = frozenset({401, 407})
NO_MESSAGES: Final = 403
"""What a MESSAGE gets outside a call. 405 would fit better, but must name the methods that are taken (RFC 3261
section 21.4.6), and the stack adds no header to this answer."""
PLAIN_TEXT: Final = "text/plain;charset=UTF-8"
CODEC_ENABLED: Final = 128
"""A priority of pjmedia; 0 is disabled, which L16 is by default: offers of nothing else would be refused."""
REFER_EXPIRES_S: Final = 180
"""How long who sent a REFER may expect news of it."""
TLS_VERSIONS: Final = pj.PJ_SSL_SOCK_PROTO_TLS1_2 | pj.PJ_SSL_SOCK_PROTO_TLS1_3
"""The older ones are not to be spoken any more (RFC 8996)."""
BURST_S: Final = 0.01
"""How long rounds of pjsip events, of up to eight messages each, are handled before the event loop gets its turn."""

_CALL_COUNT: Final = ctypes.CDLL(_pjsua2.__file__).pjsua_call_get_count
"""What pjsua2 leaves out."""

P = ParamSpec("P")


def guarded(method: Callable[Concatenate[Any, P], None]) -> Callable[Concatenate[Any, P], None]:
    """Keep exceptions of a pjsua2 callback on the Python side."""

    @wraps(method)
    def call(self: Any, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception:
            log.exception("a SIP callback failed: %s", method.__name__)

    return call


def refused(action: str, error: pj.Error) -> SipError:
    """Make our error of pjsua2's."""
    return SipError(f"{action}: {error.info()}")


class _LogWriter(pj.LogWriter):
    def write(self, entry: pj.LogEntry) -> None:
        level = {0: logging.ERROR, 1: logging.ERROR, 2: logging.WARNING}.get(entry.level, logging.DEBUG)
        logging.getLogger("flexml.pjsip").log(level, "%s", without_keys(entry.msg.rstrip()))


class _Endpoint(pj.Endpoint):
    @guarded
    def onTransportState(self, prm: pj.OnTransportStateParam) -> None:
        if prm.lastError and (wrong := "; ".join(prm.tlsInfo.verifyMsgs)):
            log.warning("TLS with %s was broken off: %s", prm.tlsInfo.remoteAddr, wrong)


class _Account(pj.Account):
    """Takes INVITEs outside dialogs. One serves the engine, and each trunk has one of its own."""

    def __init__(self, agent: Agent, trunk: str = "", told: Callable[[TrunkEvent], None] | None = None) -> None:
        super().__init__()
        self.agent = agent
        self.trunk, self.told = trunk, told

    @guarded
    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:
        self.agent.take_invite(self, prm.callId, prm.rdata)

    @guarded
    def onRegState(self, prm: pj.OnRegStateParam) -> None:
        self.agent.left(self.trunk)
        if self.told is None:
            return
        self.told(
            RegistrationAnswered(
                trunk=self.trunk,
                status=prm.code or 500,
                reason=prm.reason,
                expires_s=prm.expiration if self.getInfo().regIsActive else 0,
                retry_after_s=message.parse(prm.rdata.wholeMsg).retry_after_s,
            )
        )

    @guarded
    def onSendRequest(self, prm: pj.OnSendRequestParam) -> None:
        if self.told is None or prm.e.type != pj.PJSIP_EVENT_TSX_STATE:
            return
        of = prm.e.body.tsxState
        received = of.type == pj.PJSIP_EVENT_RX_MSG
        self.told(
            OptionsAnswered(trunk=self.trunk, status=of.tsx.statusCode, reason=of.tsx.statusText, received=received)
        )

    @guarded
    def onInstantMessageStatus(self, prm: pj.OnInstantMessageStatusParam) -> None:
        received = bool(prm.rdata.wholeMsg)
        self.agent.message_ended(prm.userData, MessageAnswered(status=prm.code, reason=prm.reason, received=received))

    @guarded
    def onInstantMessage(self, prm: pj.OnInstantMessageParam) -> None:
        log.info("< MESSAGE to %s from %s refused with %d: none are taken", prm.toUri, prm.fromUri, NO_MESSAGES)
        answer = pj.SendResponseParam()
        answer.deferredResponse = pj.DeferredResponse(prm)
        answer.code, answer.reason = NO_MESSAGES, "Messages Not Taken"
        self.sendResponse(answer)


class _Call(pj.Call):
    """One dialog. Holds what has been said of it, so that it ends exactly once."""

    def __init__(self, agent: Agent, account: pj.Account, dialog: int, call_id: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(account, call_id)
        self.agent, self.account = agent, account
        self.dialog = dialog
        self.inbound = call_id != pj.PJSUA_INVALID_ID
        self.first_sdp: str | None = None
        self.ended_by_us = False
        self.confirmed = False
        self.offering = False
        self.refusal: message.Message | None = None
        self.answers: dict[str, str] = {}
        self.heard = False
        self.leaving = False
        self.given_up = False
        self.forerunners: list[_Call] = []

    @guarded
    def onCallSdpCreated(self, prm: pj.OnCallSdpCreatedParam) -> None:
        ours = self.agent.session_description(self, prm.remSdp.wholeSdp or None)
        if ours is not None:
            prm.sdp.wholeSdp = ours

    @guarded
    def onCallRxOffer(self, prm: pj.OnCallRxOfferParam) -> None:
        if not self.agent.would_answer(self, prm.offer.wholeSdp):
            prm.statusCode = 488

    @guarded
    def onCallState(self, prm: pj.OnCallStateParam) -> None:
        self.agent.state_changed(self, prm.e)

    @guarded
    def onCallTsxState(self, prm: pj.OnCallTsxStateParam) -> None:
        self.agent.transaction_changed(self, prm.e)

    def onCallRedirected(self, prm: pj.OnCallRedirectedParam) -> int:
        with suppress(Exception):
            self.agent.transaction_changed(self, prm.e)
        return pj.PJSIP_REDIRECT_STOP

    @guarded
    def onInstantMessage(self, prm: pj.OnInstantMessageParam) -> None:
        log.warning("< MESSAGE within a call from %s is dropped; the stack has answered it with 200", prm.fromUri)

    @guarded
    def onCallTransferRequest(self, prm: pj.OnCallTransferRequestParam) -> None:
        prm.statusCode = 500
        prm.statusCode = self.agent.refer(self, prm.dstUri)


class Agent:
    """`events.SipAgent` over pjsua2. Start it with a listener on the event loop's thread; close it there."""

    def __init__(self, settings: AgentSettings, listener: Listener) -> None:
        self._settings = settings
        self._listener = listener
        self._calls: dict[int, _Call] = {}
        self._finished: list[_Call] = []
        self._given_up: dict[int, _Call] = {}
        self._next_dialog = 1
        self._endpoint: _Endpoint | None = None
        self._account: _Account | None = None
        self._trunks: dict[str, _Account] = {}
        self._lines: dict[str, TrunkLine] = {}
        self._guests: dict[tuple[str, Login], _Account] = {}
        self._leaving: set[str] = set()
        self._messages: dict[int, tuple[pj.SendInstantMessageParam, Callable[[MessageAnswered], None]]] = {}
        self._log_writer: _LogWriter | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._descriptor = -1
        self._polling = False
        self._emptied_at = 0.0
        self.listening: list[str] = []

    # ---- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bind the transports and begin to take calls. Raises SipError naming what could not be bound."""
        self._loop = asyncio.get_running_loop()
        self._emptied_at = self._loop.time()
        endpoint = self._endpoint = _Endpoint()
        try:
            endpoint.libCreate()
            endpoint.libInit(self._endpoint_config())
            endpoint.codecSetPriority("L16", CODEC_ENABLED)
            endpoint.audDevManager().setNullDev()
            endpoint.audDevManager().setNoDev()
            for listen in self._settings.listen:
                self._listen(endpoint, listen)
            endpoint.libStart()
            self._account = _Account(self)
            self._account.create(self._account_config(), True)
        except pj.Error as error:
            raise refused("the SIP stack did not start", error) from None
        handle = int(endpoint.libGetSipIoqueueHandle())
        self._descriptor = ctypes.c_int.from_address(handle).value
        self._loop.add_reader(self._descriptor, self._poll)
        self._tick()

    def _endpoint_config(self) -> pj.EpConfig:
        config = pj.EpConfig()
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.maxCalls = self._settings.max_calls
        config.uaConfig.userAgent = self._settings.user_agent
        config.uaConfig.natTypeInSdp = 0
        config.medConfig.threadCnt = 0
        config.medConfig.hasIoqueue = True  # of its own, which nothing polls: the sockets stay deaf
        config.medConfig.noVad = True
        config.medConfig.clockRate = config.medConfig.sndClockRate = 8000
        config.logConfig.level = self._settings.log_level
        config.logConfig.consoleLevel = self._settings.log_level  # pjsua2 gates its writer with it too
        config.logConfig.msgLogging = int(self._settings.log_level >= 4)
        self._log_writer = _LogWriter()
        config.logConfig.writer = self._log_writer
        return config

    def _listen(self, endpoint: pj.Endpoint, listen: str) -> None:
        kind, _, where = listen.partition(":")
        address, _, port = where.rpartition(":")
        config = pj.TransportConfig()
        config.port = int(port)
        config.boundAddress = address.strip("[]")
        config.publicAddress = self._settings.public_address
        if kind == "tls":
            config.tlsConfig.certFile = self._settings.tls_certificate
            config.tlsConfig.privKeyFile = self._settings.tls_key
            config.tlsConfig.CaListFile = self._settings.tls_ca
            config.tlsConfig.verifyServer = bool(self._settings.tls_ca)  # chain and host name (RFC 5922 section 7)
            config.tlsConfig.proto = TLS_VERSIONS
        types = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}
        family = pj.PJSIP_TRANSPORT_IPV6 if ":" in address else 0
        try:
            number = endpoint.transportCreate(types[kind] + family, config)
        except pj.Error as error:
            raise SipError(f"cannot listen on {listen}: {error.reason}") from None
        name, _, bound_port = endpoint.transportGetInfo(number).localName.rpartition(":")
        self.listening.append(f"{kind}:[{name}]:{bound_port}" if family else f"{kind}:{name}:{bound_port}")

    def _account_config(self) -> pj.AccountConfig:
        config = pj.AccountConfig()
        host = self.listening[0].partition(":")[2]
        config.idUri = f"sip:flexml@{host}"
        config.callConfig.prackUse = {
            "off": pj.PJSUA_100REL_NOT_USED,
            "optional": pj.PJSUA_100REL_OPTIONAL,
            "required": pj.PJSUA_100REL_MANDATORY,
        }[self._settings.hundred_rel]
        config.callConfig.timerUse = {
            "off": pj.PJSUA_SIP_TIMER_INACTIVE,
            "optional": pj.PJSUA_SIP_TIMER_OPTIONAL,
            "required": pj.PJSUA_SIP_TIMER_REQUIRED,
        }[self._settings.session_timer]
        config.sipConfig.autoRespondSipMessage = False
        config.natConfig.contactRewriteUse = 0
        config.natConfig.contactUseSrcPort = 0  # where we listen: a connection of ours may end before what it began
        config.natConfig.viaRewriteUse = False
        config.natConfig.sipOutboundUse = 0
        transport = config.mediaConfig.transportConfig
        transport.boundAddress, transport.port, transport.portRange = NO_MEDIA
        config.mediaConfig.useLoopMedTp = True
        config.mediaConfig.streamKaEnabled = False
        config.mediaConfig.srtpUse = pj.PJMEDIA_SRTP_OPTIONAL  # or it refuses RTP/SAVP, before we are asked
        config.mediaConfig.srtpSecureSignaling = 0
        config.mediaConfig.srtpOpt.keyings = pj.IntVector([pj.PJMEDIA_SRTP_KEYING_SDES])
        return config

    async def close(self, *, grace_s: float = 1.0) -> None:
        """Hang up what is left, wait up to `grace_s` until every peer knows of its call's end, and free the stack."""
        if self._endpoint is None or self._loop is None:
            return
        for dialog in list(self._calls):
            self.hang_up(dialog)
        self._unregister()
        end = self._loop.time() + grace_s
        while (self.dialogs or self._leaving) and self._loop.time() < end:  # noqa: ASYNC110 - pjsip is driven meanwhile
            await asyncio.sleep(BUSY_POLL_S)
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
        if self._timer:
            self._timer.cancel()
        self._calls.clear()
        self._given_up.clear()
        self._finished.clear()
        self._account = None
        self._endpoint.libDestroy(pj.PJSUA_DESTROY_NO_NETWORK)
        self._endpoint = None
        self._guests.clear()
        self._trunks.clear()  # not earlier: the stack tells them what becomes of requests under way

    @property
    def dialogs(self) -> int:
        """How many calls the stack has, with those that have ended here but whose peers do not know it yet."""
        return 0 if self._endpoint is None else _CALL_COUNT()

    @property
    def behind_s(self) -> float:
        """For how long messages have been waiting without a moment in which all had been taken."""
        return 0.0 if self._loop is None else self._loop.time() - self._emptied_at

    # ---- driving pjsip ----------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._endpoint is None or self._loop is None:
            return
        self._poll()
        self._timer = self._loop.call_later(BUSY_POLL_S if self._calls else IDLE_POLL_S, self._tick)

    def _poll(self) -> None:
        if self._endpoint is None or self._loop is None or self._polling:
            return
        self._polling, clock = True, self._loop.time
        try:
            until = clock() + BURST_S
            while self._endpoint.libHandleEvents(0) > 0:
                if clock() >= until:
                    break
            else:
                self._emptied_at = clock()
        finally:
            self._polling = False
        self._sweep()

    def tell(self, event: Any) -> None:
        """Pass an event to the listener."""
        self._listener.on_event(event)

    # ---- from pjsip -------------------------------------------------------------------------------------------

    def take_invite(self, account: pj.Account, call_id: int, rdata: pj.SipRxData) -> None:
        """Give an INVITE its dialog and announce it."""
        call = _Call(self, account, self._new_dialog(), call_id)
        self._calls[call.dialog] = call
        invite = message.parse(rdata.wholeMsg)
        via = invite.header("via").split(" ", 1)[0].rsplit("/", 1)[-1]
        self.tell(
            Invited(
                dialog=call.dialog,
                request_uri=invite.request_uri,
                from_uri=invite.header("from"),
                to_uri=invite.header("to"),
                call_id=invite.header("call-id"),
                headers=invite.headers,
                offer=invite.sdp,
                source=rdata.srcAddress,
                transport=via.lower(),
            )
        )

    def session_description(self, call: _Call, remote: str | None) -> str | None:
        """Our SDP for pjsua's; None leaves pjsua's own, only where the INVITE is about to be refused with 488."""
        if call.first_sdp is not None:
            ours, call.first_sdp = call.first_sdp, None
            return ours
        try:
            return self._listener.on_offer(call.dialog, remote)
        except SdpError as error:
            log.debug("offer refused: %s", error)
            if self._loop is not None:
                self._loop.call_soon(self._refuse_offer, call.dialog)
            return None

    def _refuse_offer(self, dialog: int) -> None:
        call = self._calls.get(dialog)
        if call is not None and not call.ended_by_us:
            self.reject(dialog, status=488)

    def would_answer(self, call: _Call, offer: str) -> bool:
        """Try a re-offer before pjsua commits to it, so that a refusal leaves the session as it was."""
        try:
            call.first_sdp = self._listener.on_offer(call.dialog, offer)
        except SdpError as error:
            log.debug("re-offer refused: %s", error)
            return False
        return True

    def refer(self, call: _Call, target: str) -> int:
        """How a REFER is answered; the call to its target is the listener's, the stack places none."""
        return self._listener.on_refer(call.dialog, target)

    def state_changed(self, call: _Call, event: pj.SipEvent) -> None:
        """Turn a change of pjsua's call state into events."""
        info = call.getInfo()
        if call.given_up:
            if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
                self._given_up.pop(call.dialog, None)
                self._finished.append(call)
            return
        received = _received(event)
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self._end(call, info, received)
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED and call.inbound and not call.confirmed:
            call.confirmed = True
            self.tell(Acknowledged(dialog=call.dialog, sdp=received.sdp if received else None))
        elif not call.inbound and received:
            if received.sdp:
                call.answers[received.to_tag] = received.sdp
            if info.state == pj.PJSIP_INV_STATE_EARLY:
                self.tell(Progressed(dialog=call.dialog, status=info.lastStatusCode, sdp=received.sdp))
            elif info.state in {pj.PJSIP_INV_STATE_CONNECTING, pj.PJSIP_INV_STATE_CONFIRMED} and not call.confirmed:
                call.confirmed = True
                self.tell(Accepted(dialog=call.dialog, sdp=call.answers.get(received.to_tag)))

    def transaction_changed(self, call: _Call, event: pj.SipEvent) -> None:
        """Catch the answer to an offer that we made within the dialog, further provisional responses, keys by INFO.

        The stack answers an `application/dtmf-relay` that is not as it writes that itself with 400; the key counts.
        """
        if event.type == pj.PJSIP_EVENT_TSX_STATE:
            transaction = event.body.tsxState.tsx
            call.leaving |= transaction.method == "BYE" and transaction.role == pj.PJSIP_ROLE_UAC
        received = _received(event, ("SIP/", "INFO "))
        if received is not None and received.key:
            self.tell(DigitInfo(dialog=call.dialog, digit=received.key))
        if received is None or not received.status or "INVITE" not in received.header("cseq"):
            return
        call.heard = True
        refused = received.status >= 300 and received.status not in CHALLENGES  # it answers those, or ends with them
        if refused and not call.confirmed:
            call.refusal = received  # pjsua makes 487 of a 3xx that it does not follow
        if call.offering and received.status >= 200:
            call.offering = False
            if received.status < 300 and received.sdp:
                self._listener.on_answer(call.dialog, received.sdp)

    def _end(self, call: _Call, info: pj.CallInfo, received: message.Message | None) -> None:
        if self._calls.pop(call.dialog, None) is None:
            return
        self._finished.append(call)
        by = "local" if call.ended_by_us else "remote" if received else "stack"
        refusal = call.refusal
        status, reason = (refusal.status, refusal.reason) if refusal else (info.lastStatusCode, info.lastReason)
        if by == "stack" and call.inbound and status == CANCELLED:
            by = "remote"  # what ended it was the CANCEL; the event is of our 487 to the INVITE
        if call.confirmed and by == "remote":
            status = 200
        contact = refusal.header("contact") if refusal and refusal.status < 400 else ""
        said = received.header("reason") if received and not received.status else ""
        self.tell(Ended(dialog=call.dialog, status=status, reason=said or reason, by=by, contact=contact))

    # ---- to pjsip ---------------------------------------------------------------------------------------------

    def _new_dialog(self) -> int:
        self._next_dialog += 1
        return self._next_dialog - 1

    def _get(self, dialog: int) -> _Call:
        call = self._calls.get(dialog)
        if call is None:
            raise SipError(f"dialog {dialog} is over")
        return call

    def _respond(self, dialog: int, status: int, *, reason: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        prm = pj.CallOpParam(True)
        prm.statusCode = status
        prm.reason = reason
        prm.opt.audioCount, prm.opt.videoCount = 1, 0
        _add_headers(prm, headers)
        try:
            self._get(dialog).answer(prm)
        except pj.Error as error:
            raise refused(f"response {status}", error) from None

    def ring(self, dialog: int, *, early_media: bool = False) -> None:
        """Send 180, or 183 with SDP for early media."""
        self._respond(dialog, 183 if early_media else 180)

    def answer(self, dialog: int) -> None:
        """Send 200."""
        self._respond(dialog, 200)

    def reject(self, dialog: int, *, status: int, reason: str = "", headers: Mapping[str, str] = {}) -> None:
        """Send a final response of 300 to 699."""
        self._get(dialog).ended_by_us = True
        self._respond(dialog, status, reason=reason, headers=tuple(headers.items()))

    def hang_up(self, dialog: int, *, reason: str = "") -> None:
        """End the dialog whatever its state; nothing happens where it is over."""
        call = self._calls.get(dialog)
        if call is None:
            return
        call.ended_by_us = True
        if call.leaving:  # the stack has sent BYE by itself, for a description that it cannot use
            self._let_go(call, status=NOT_ACCEPTABLE, reason="Not Acceptable Here", by="local")
            return
        prm = pj.CallOpParam()
        if call.inbound and not call.confirmed:
            prm.statusCode = 603
        if reason:
            _add_headers(prm, [("Reason", reason)])
        try:
            call.hangup(prm)
        except pj.Error as error:
            log.debug("hang-up: %s", error.info())

    def invite(
        self,
        target: str,
        *,
        sdp: str,
        from_uri: str,
        display_name: str = "",
        headers: Sequence[tuple[str, str]] = (),
        trunk: str = "",
        login: Login | None = None,
    ) -> int:
        """Send an INVITE; returns the dialog. Challenges are answered by `login`, else with `trunk`'s credentials."""
        account = self._account_of(trunk, login)
        call = _Call(self, account, self._new_dialog())
        call.first_sdp = sdp
        prm = pj.CallOpParam(True)
        prm.opt.audioCount, prm.opt.videoCount = 1, 0
        prm.txOption.localUri = f"{quoted(display_name)}<{from_uri}>"
        _add_headers(prm, headers)
        self._calls[call.dialog] = call
        try:
            call.makeCall(target, prm)
        except pj.Error as error:
            self._calls.pop(call.dialog, None)
            raise refused(f"INVITE {target}", error) from None
        if trunk and self._loop is not None:
            self._loop.call_later(self._lines[trunk].answer_s, self._give_up, call.dialog)
        return call.dialog

    def _give_up(self, dialog: int) -> None:
        """End a call that had no response at all: the stack would wait for 32 s, and nobody would wait with it.

        The stack cancels it once it can, and hangs up should it be answered after all; the call is kept until then.
        """
        call = self._calls.get(dialog)
        if call is None or call.heard or call.ended_by_us:
            return
        self._let_go(call, status=TIMED_OUT, reason="No response", by="stack")
        with suppress(pj.Error):
            call.hangup(pj.CallOpParam())

    def _let_go(self, call: _Call, *, status: int, reason: str, by: Literal["local", "stack"]) -> None:
        """Have done with a call that the stack is not done with; it is kept until then."""
        call.given_up = True
        self._given_up[call.dialog] = self._calls.pop(call.dialog)
        self.tell(Ended(dialog=call.dialog, status=status, reason=reason, by=by))

    def reinvite(self, dialog: int, *, sdp: str) -> None:
        """Offer `sdp` within the dialog; the answer comes through `Listener.on_answer`."""
        call = self._get(dialog)
        call.first_sdp, call.offering = sdp, True
        prm = pj.CallOpParam(True)
        prm.opt.audioCount, prm.opt.videoCount = 1, 0
        try:
            call.reinvite(prm)
        except pj.Error as error:
            call.first_sdp, call.offering = None, False
            raise refused("re-INVITE", error) from None

    def notify(self, dialog: int, *, status: int, reason: str) -> None:
        """Tell who sent a REFER how the call to its target goes."""
        prm = pj.CallSendRequestParam()
        prm.method = "NOTIFY"
        state = f"active;expires={REFER_EXPIRES_S}" if status < 200 else "terminated;reason=noresource"
        _add_headers(prm, [("Event", "refer"), ("Subscription-State", state)])
        prm.txOption.contentType = "message/sipfrag"
        prm.txOption.msgBody = f"SIP/2.0 {status} {reason}\r\n"
        try:
            self._get(dialog).sendRequest(prm)
        except pj.Error as error:
            raise refused("NOTIFY", error) from None

    def send_info(self, dialog: int, *, digit: str, duration_ms: int = 100) -> None:
        """Send one key as application/dtmf-relay."""
        prm = pj.CallSendDtmfParam()
        prm.method = pj.PJSUA_DTMF_METHOD_SIP_INFO
        prm.digits, prm.duration = digit, duration_ms
        try:
            self._get(dialog).sendDtmf(prm)
        except pj.Error as error:
            raise refused("INFO", error) from None

    # ---- messages ---------------------------------------------------------------------------------------------

    def send_message(
        self,
        target: str,
        *,
        text: str,
        from_uri: str,
        headers: Sequence[tuple[str, str]] = (),
        trunk: str,
        told: Callable[[MessageAnswered], None],
    ) -> None:
        """Send MESSAGE (RFC 3428) with the credentials of `trunk`; `told` hears its final response, once."""
        account = self._trunk(trunk)
        prm = pj.SendInstantMessageParam()
        prm.contentType, prm.content = PLAIN_TEXT, text
        prm.txOption.localUri = from_uri
        _add_headers(prm, headers)
        number = _mark(prm)
        self._messages[number] = (prm, told)
        buddy, config = pj.Buddy(), pj.BuddyConfig()  # needed for nothing but to send
        config.uri = target
        try:
            buddy.create(account, config)
            buddy.sendInstantMessage(prm)
        except pj.Error as error:
            if self._messages.pop(number, None) is not None:  # else it has been told already
                raise refused(f"MESSAGE {target}", error) from None

    def message_ended(self, number: int, answer: MessageAnswered) -> None:
        """Tell what became of a message."""
        _, told = self._messages.pop(number, (None, None))
        if told is not None:
            told(answer)

    # ---- trunks -----------------------------------------------------------------------------------------------

    def add_trunk(self, line: TrunkLine, told: Callable[[TrunkEvent], None]) -> None:
        """Make an account for a trunk, once; nothing is sent yet. Raises SipError."""
        if self._endpoint is None:
            raise SipError("the SIP stack is not running")
        config = self._account_config()
        config.idUri = line.identity
        _answer_challenges(config, Login(username=line.username, password=line.password))
        if line.register:
            config.regConfig.registrarUri = line.uri
            config.regConfig.registerOnAdd = False
            config.regConfig.timeoutSec = line.expires_s
            config.regConfig.retryIntervalSec = 0  # who is told decides when to try again
            config.regConfig.dropCallsOnFail = False
            config.regConfig.unregWaitMsec = 0
        config.natConfig.udpKaIntervalSec = KEEP_OPEN_S
        account = _Account(self, line.name, told)
        try:
            account.create(config, False)
        except pj.Error as error:
            raise refused(f"trunk {line.name}", error) from None
        self._trunks[line.name] = account
        self._lines[line.name] = line

    def register(self, trunk: str) -> None:
        """Send REGISTER; renewals follow by themselves until one fails."""
        try:
            self._trunk(trunk).setRegistration(True)
        except pj.Error as error:
            raise refused(f"REGISTER {trunk}", error) from None

    def ask(self, trunk: str) -> None:
        """Send OPTIONS to a trunk."""
        prm = pj.SendRequestParam()
        prm.method = "OPTIONS"
        prm.txOption.targetUri = self._lines[trunk].uri
        try:
            self._trunk(trunk).sendRequest(prm)
        except pj.Error as error:
            raise refused(f"OPTIONS {trunk}", error) from None

    def _account_of(self, trunk: str, login: Login | None) -> _Account:
        """The account that a call is placed on: the trunk's or ours, or one for a login of the call's own."""
        if login is not None:
            return self._guest(trunk, login)
        account = self._trunk(trunk) if trunk else self._account
        if account is None:
            raise SipError("the SIP stack is not running")
        return account

    def _guest(self, trunk: str, login: Login) -> _Account:
        """An account for calls with that login; it goes with the last of them."""
        account = self._guests.get((trunk, login))
        if account is None:
            config = self._account_config()
            if trunk:
                config.idUri = self._lines[trunk].identity
            _answer_challenges(config, login)
            account = _Account(self, trunk)
            try:
                account.create(config, False)
            except pj.Error as error:
                raise refused("an account for the call's own credentials", error) from None
            self._guests[trunk, login] = account
        return account

    def _sweep(self) -> None:
        """Drop calls that are over, and accounts of logins that no call has any more. Not from within callbacks.

        A call that is dropped takes with it whatever call has its place in the stack by then, so it waits for its heir.
        """
        for call in self._finished:
            heir = pj.Call.lookup(call.getId())
            if heir is not None:
                heir.forerunners.append(call)
        self._finished.clear()
        if not self._guests:
            return
        used = {id(call.account) for call in (*self._calls.values(), *self._given_up.values())}
        for key in [key for key, account in self._guests.items() if id(account) not in used]:
            self._guests.pop(key).shutdown()

    def _trunk(self, name: str) -> _Account:
        account = self._trunks.get(name)
        if account is None:
            raise SipError(f"there is no trunk {name!r} in the SIP stack")
        return account

    def _unregister(self) -> None:
        """Take back what is registered; the answers are waited for as those to BYE are."""
        for account in self._trunks.values():
            account.told = None
            if account.getInfo().regIsActive:
                with suppress(pj.Error):
                    account.setRegistration(False)
                    self._leaving.add(account.trunk)

    def left(self, trunk: str) -> None:
        """Take note that a registrar has answered, in case it was our leaving."""
        self._leaving.discard(trunk)


def _answer_challenges(config: pj.AccountConfig, login: Login) -> None:
    """Give an account its credentials, for whatever realm asks for them."""
    if login.username:
        config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", login.username, 0, login.password))


def _received(event: pj.SipEvent, beginning: tuple[str, ...] = ("",)) -> message.Message | None:
    """The message that an event is about, where one was received that begins so: to read one takes a while."""
    if event.type == pj.PJSIP_EVENT_RX_MSG:
        text = event.body.rxMsg.rdata.wholeMsg
    elif event.type == pj.PJSIP_EVENT_TSX_STATE and event.body.tsxState.type == pj.PJSIP_EVENT_RX_MSG:
        text = event.body.tsxState.src.rdata.wholeMsg
    else:
        return None
    return message.parse(text) if text and text.startswith(beginning) else None


def _mark(prm: Any) -> int:
    """Mark a request, so that its end can be told from that of others; its number while `prm` lives.

    User data has to be the address of an object of pjsua2's, and an address is all that comes back.
    """
    prm.userData = prm
    prm.thisown = True  # the line above gave it away
    return int(prm.this)


def _add_headers(
    prm: pj.CallOpParam | pj.CallSendRequestParam | pj.SendInstantMessageParam, headers: Sequence[tuple[str, str]]
) -> None:
    """Add headers to what goes out; what would end one becomes a space."""
    vector = pj.SipHeaderVector()
    for name, value in headers:
        header = pj.SipHeader()
        header.hName, header.hValue = name, one_line(value)
        vector.append(header)
    prm.txOption.headers = vector
