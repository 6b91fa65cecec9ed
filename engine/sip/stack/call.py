"""A call of the stack: what is said to it goes into its dialog and on to the listener, what is told is sent."""

# ruff: noqa: N802 - callbacks carry pjsua2's names

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

import pjsua2 as pj

from ...errors import SdpError
from .. import message
from ..dialog import Dialog, State
from ..events import DigitInfo, Listener
from .account import Account
from .binding import add_headers, guarded, refused

log = logging.getLogger("flexml.sip")

NEW: Final[int] = pj.PJSUA_INVALID_ID
STATES: Final[dict[int, State]] = {
    pj.PJSIP_INV_STATE_EARLY: "early",
    pj.PJSIP_INV_STATE_CONNECTING: "connecting",
    pj.PJSIP_INV_STATE_CONFIRMED: "confirmed",
    pj.PJSIP_INV_STATE_DISCONNECTED: "disconnected",
}
"""All others are before any of these."""
REFER_EXPIRES_S: Final = 180
"""How long who sent a REFER may expect news of it."""
REQUESTS: Final = frozenset({"INFO", "PRACK"})
"""Those within a dialog that say something to us beside the stack."""


class Keeper(Protocol):
    """Who keeps the calls."""

    def over(self, call: Call) -> bool:
        """Drop a call, later and not from here; False where it has been dropped already."""
        ...

    def refuse_offer(self, dialog: int) -> None:
        """Refuse an INVITE with 488, later and not from here."""
        ...

    def expect_ack(self, dialog: int) -> None:
        """Have ACKs read until the dialog is over."""
        ...

    @property
    def latest_ack(self) -> str:
        """The text of the ACK that came last."""
        ...


class Call(pj.Call):
    """One dialog. `number` is the stack's of an INVITE that came; one is sent by `place`."""

    def __init__(self, account: Account, dialog: Dialog, listener: Listener, keeper: Keeper, number: int = NEW) -> None:
        super().__init__(account, number)
        self.account, self.dialog = account, dialog
        self._listener, self._keeper = listener, keeper
        self._forerunners: list[Call] = []

    # ---- to pjsip ---------------------------------------------------------------------------------------------

    def place(self, target: str, *, local_uri: str, headers: Sequence[tuple[str, str]]) -> None:
        """Send INVITE."""
        prm = _one_audio()
        prm.txOption.localUri = local_uri
        add_headers(prm, headers)
        try:
            self.makeCall(target, prm)
        except pj.Error as error:
            raise refused(f"INVITE {target}", error) from None

    def respond(self, status: int, *, reason: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        """Send a response to the INVITE."""
        prm = _one_audio()
        prm.statusCode = status
        prm.reason = reason
        add_headers(prm, headers)
        try:
            self.answer(prm)
        except pj.Error as error:
            raise refused(f"response {status}", error) from None

    def hang_up(self, *, reason: str = "") -> None:
        """Send BYE, CANCEL or 603."""
        prm = pj.CallOpParam()
        if self.dialog.inbound and not self.dialog.confirmed:
            prm.statusCode = 603
        if reason:
            add_headers(prm, [("Reason", reason)])
        try:
            self.hangup(prm)
        except pj.Error as error:
            log.debug("hang-up: %s", error.info())

    def give_up(self) -> None:
        """Have the stack send CANCEL once it can, and BYE should the call be answered after all."""
        with suppress(pj.Error):
            self.hangup(pj.CallOpParam())

    def offer(self, sdp: str) -> None:
        """Send re-INVITE."""
        dialog = self.dialog
        dialog.prepared_sdp, dialog.offering, dialog.asked = sdp, True, False
        try:
            self.reinvite(_one_audio())
        except pj.Error as error:
            dialog.prepared_sdp, dialog.offering = None, False
            raise refused("re-INVITE", error) from None

    def notify(self, status: int, reason: str) -> None:
        """Send NOTIFY of how what a REFER asked for goes (RFC 3515 section 2.4.5)."""
        prm = pj.CallSendRequestParam()
        prm.method = "NOTIFY"
        state = f"active;expires={REFER_EXPIRES_S}" if status < 200 else "terminated;reason=noresource"
        add_headers(prm, [("Event", "refer"), ("Subscription-State", state)])
        prm.txOption.contentType = "message/sipfrag"
        prm.txOption.msgBody = f"SIP/2.0 {status} {reason}\r\n"
        try:
            self.sendRequest(prm)
        except pj.Error as error:
            raise refused("NOTIFY", error) from None

    def send_info(self, digit: str, duration_ms: int) -> None:
        """Send INFO with one key."""
        prm = pj.CallSendDtmfParam()
        prm.method = pj.PJSUA_DTMF_METHOD_SIP_INFO
        prm.digits, prm.duration = digit, duration_ms
        try:
            self.sendDtmf(prm)
        except pj.Error as error:
            raise refused("INFO", error) from None

    def outlast(self) -> None:
        """Wait for the call that has this one's place in the stack by now, which would be dropped along with this."""
        heir = pj.Call.lookup(self.getId())
        if heir is not None:
            heir._forerunners.append(self)

    # ---- from pjsip -------------------------------------------------------------------------------------------

    @guarded
    def onCallSdpCreated(self, prm: pj.OnCallSdpCreatedParam) -> None:
        """Put our SDP in place of pjsua's, which stays only where the INVITE is about to be refused with 488."""
        dialog = self.dialog
        ours, dialog.prepared_sdp = dialog.prepared_sdp, None
        if ours is None:
            offer = prm.remSdp.wholeSdp or None
            try:
                ours = self._listener.on_offer(dialog.number, offer)
            except SdpError as error:
                log.debug("offer refused: %s", error)
                self._keeper.refuse_offer(dialog.number)
                return
            dialog.asked = offer is None
            if dialog.asked and dialog.confirmed:
                self._keeper.expect_ack(dialog.number)
        prm.sdp.wholeSdp = ours

    @guarded
    def onCallRxOffer(self, prm: pj.OnCallRxOfferParam) -> None:
        """Try a re-offer before pjsua commits to it, so that a refusal leaves the session as it was."""
        self.dialog.asked = False
        try:
            self.dialog.prepared_sdp = self._listener.on_offer(self.dialog.number, prm.offer.wholeSdp)
        except SdpError as error:
            log.debug("re-offer refused: %s", error)
            prm.statusCode = 488

    @guarded
    def onCallMediaState(self, prm: pj.OnCallMediaStateParam) -> None:
        """Pass on the answer to an offer of ours within the dialog that has just come with ACK."""
        del prm
        if self.dialog.asked and self.dialog.confirmed:
            self._answered_by(message.parse(self._keeper.latest_ack))

    @guarded
    def onCallState(self, prm: pj.OnCallStateParam) -> None:
        dialog, text = self.dialog, _received(prm.e)
        if dialog.inbound and not text and self.isActive():
            return  # it has come so far by what we have said: to ask how far takes a while
        info = self.getInfo()
        state = STATES.get(info.state, "calling")
        if state == "disconnected" and not self._keeper.over(self):
            return
        if dialog.given_up:
            return
        received = message.parse(text) if text else None
        event = dialog.changed(state, info.lastStatusCode, info.lastReason, received)
        if event is not None:
            self._listener.on_event(event)

    @guarded
    def onCallTsxState(self, prm: pj.OnCallTsxStateParam) -> None:
        self._transaction_changed(prm.e)

    def onCallRedirected(self, prm: pj.OnCallRedirectedParam) -> int:
        with suppress(Exception):
            self._transaction_changed(prm.e)
        return pj.PJSIP_REDIRECT_STOP

    def _transaction_changed(self, event: pj.SipEvent) -> None:
        """Catch the answer to an offer that we made within the dialog, further provisional responses, keys by INFO.

        The stack answers an `application/dtmf-relay` that is not as it writes that itself with 400; the key counts.
        """
        dialog = self.dialog
        if event.type == pj.PJSIP_EVENT_TSX_STATE:
            transaction = event.body.tsxState.tsx
            if transaction.role == pj.PJSIP_ROLE_UAC:
                dialog.leaving |= transaction.method == "BYE"
            elif transaction.method not in REQUESTS:
                return
        text = _received(event)
        if not text:
            return
        received = message.parse(text)
        self._answered_by(received)
        if key := received.key:
            self._listener.on_event(DigitInfo(dialog=dialog.number, digit=key))
        if received.status and "INVITE" in received.header("cseq"):
            answer = dialog.response_received(received)
            if answer:
                self._listener.on_answer(dialog.number, answer)

    def _answered_by(self, request: message.Message) -> None:
        """Pass on the answer that a request brings to an offer in a response of ours."""
        answer = self.dialog.request_received(request)
        if answer:
            self._listener.on_answer(self.dialog.number, answer)

    def onCallMediaTransportState(self, prm: pj.OnCallMediaTransportStateParam) -> None:
        """Take no notice: it carries no media. pjsua2's own does no more, but the way back there takes a while."""

    @guarded
    def onInstantMessage(self, prm: pj.OnInstantMessageParam) -> None:
        log.warning("< MESSAGE within a call from %s is dropped; the stack has answered it with 200", prm.fromUri)

    @guarded
    def onCallTransferRequest(self, prm: pj.OnCallTransferRequestParam) -> None:
        """Answer a REFER; the call to its target is the listener's, the stack places none."""
        prm.statusCode = 500
        prm.statusCode = self._listener.on_refer(self.dialog.number, prm.dstUri)


def _one_audio() -> pj.CallOpParam:
    prm = pj.CallOpParam(True)
    prm.opt.audioCount, prm.opt.videoCount = 1, 0
    return prm


def _received(event: pj.SipEvent) -> str:
    """The text of the message that an event is about; empty where none was received."""
    if event.type == pj.PJSIP_EVENT_RX_MSG:
        return event.body.rxMsg.rdata.wholeMsg
    if event.type == pj.PJSIP_EVENT_TSX_STATE and (change := event.body.tsxState).type == pj.PJSIP_EVENT_RX_MSG:
        return change.src.rdata.wholeMsg
    return ""
