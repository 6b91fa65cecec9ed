"""Accounts of the stack: they take INVITEs outside dialogs, register, and send what belongs to no call.

One serves the engine, each trunk has one of its own, and so has each login that calls bring along.
"""

# ruff: noqa: N802 - callbacks carry pjsua2's names

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import pjsua2 as pj

from .. import message
from ..events import Login, MessageAnswered, OptionsAnswered, RegistrationAnswered, TrunkEvent, TrunkLine
from ..settings import AgentSettings
from .binding import add_headers, guarded, refused

log = logging.getLogger("flexml.sip")

NO_MEDIA: Final = ("127.0.0.2", 4000, 1000)
"""Address, first port and range that pjsua counts for media of its own, which goes nowhere: no socket is opened."""
UNDER_WAY: Final = 171001
"""PJSIP_EBUSY: a REGISTER has no answer yet."""
KEEP_OPEN_S: Final = 15
"""How often a packet of nothing keeps the way back to a registered trunk open through NAT."""
NO_MESSAGES: Final = 403
"""What a MESSAGE gets outside a call. 405 would fit better, but must name the methods that are taken (RFC 3261
section 21.4.6), and the stack adds no header to this answer."""
NO_SUBSCRIPTIONS: Final = 489
"""What a SUBSCRIBE gets (RFC 6665): pjsua would take it, and send NOTIFY to any Contact that somebody writes there."""
PLAIN_TEXT: Final = "text/plain;charset=UTF-8"
HUNDRED_REL: Final = {
    "off": pj.PJSUA_100REL_NOT_USED,
    "optional": pj.PJSUA_100REL_OPTIONAL,
    "required": pj.PJSUA_100REL_MANDATORY,
}
SESSION_TIMER: Final = {
    "off": pj.PJSUA_SIP_TIMER_INACTIVE,
    "optional": pj.PJSUA_SIP_TIMER_OPTIONAL,
    "required": pj.PJSUA_SIP_TIMER_REQUIRED,
}

Invite = Callable[["Account", int, str, str], None]
"""Takes an INVITE: the account, the stack's number of the call, the request's text, and where it came from."""
Told = Callable[[MessageAnswered], None]


class Account(pj.Account):
    """`told` hears what a trunk's answers to REGISTER and OPTIONS are."""

    def __init__(self, invite: Invite, trunk: str = "", told: Callable[[TrunkEvent], None] | None = None) -> None:
        super().__init__()
        self._trunk = trunk
        self.leaving = False
        """Whether the registrar has yet to answer that we leave."""
        self._invite, self._told = invite, told
        self._messages: dict[int, tuple[pj.SendInstantMessageParam, Told]] = {}

    def register(self) -> None:
        """Send REGISTER, unless one is under way; renewals follow by themselves until one fails."""
        try:
            self.setRegistration(True)
        except pj.Error as error:
            if error.status != UNDER_WAY:
                raise refused(f"REGISTER {self._trunk}", error) from None

    def unregister(self) -> None:
        """Tell nobody anything more, and take back what is registered: the answer is waited for as that to BYE is."""
        self._told = None
        if self.getInfo().regIsActive:
            with suppress(pj.Error):
                self.setRegistration(False)
                self.leaving = True

    def ask(self, target: str) -> None:
        """Send OPTIONS."""
        prm = pj.SendRequestParam()
        prm.method = "OPTIONS"
        prm.txOption.targetUri = target
        try:
            self.sendRequest(prm)
        except pj.Error as error:
            raise refused(f"OPTIONS {self._trunk}", error) from None

    def send_message(
        self, target: str, *, text: str, from_uri: str, headers: Sequence[tuple[str, str]], told: Told
    ) -> None:
        """Send MESSAGE (RFC 3428); `told` hears its final response, once."""
        prm = pj.SendInstantMessageParam()
        prm.contentType, prm.content = PLAIN_TEXT, text
        prm.txOption.localUri = from_uri
        add_headers(prm, headers)
        number = _mark(prm)
        self._messages[number] = (prm, told)
        buddy, config = pj.Buddy(), pj.BuddyConfig()  # needed for nothing but to send
        config.uri = target
        try:
            buddy.create(self, config)
            buddy.sendInstantMessage(prm)
        except pj.Error as error:
            if self._messages.pop(number, None) is not None:  # else it has been told already
                raise refused(f"MESSAGE {target}", error) from None

    @guarded
    def onIncomingCall(self, prm: pj.OnIncomingCallParam) -> None:
        self._invite(self, prm.callId, prm.rdata.wholeMsg, prm.rdata.srcAddress)

    @guarded
    def onRegState(self, prm: pj.OnRegStateParam) -> None:
        self.leaving = False
        if self._told is None:
            return
        self._told(
            RegistrationAnswered(
                trunk=self._trunk,
                status=prm.code or 500,
                reason=prm.reason,
                expires_s=prm.expiration if self.getInfo().regIsActive else 0,
                retry_after_s=message.parse(prm.rdata.wholeMsg).retry_after_s,
            )
        )

    @guarded
    def onSendRequest(self, prm: pj.OnSendRequestParam) -> None:
        if self._told is None or prm.e.type != pj.PJSIP_EVENT_TSX_STATE:
            return
        of = prm.e.body.tsxState
        received = of.type == pj.PJSIP_EVENT_RX_MSG
        self._told(
            OptionsAnswered(trunk=self._trunk, status=of.tsx.statusCode, reason=of.tsx.statusText, received=received)
        )

    @guarded
    def onInstantMessageStatus(self, prm: pj.OnInstantMessageStatusParam) -> None:
        _, told = self._messages.pop(prm.userData, (None, None))
        if told is not None:
            told(MessageAnswered(status=prm.code, reason=prm.reason, received=bool(prm.rdata.wholeMsg)))

    @guarded
    def onInstantMessage(self, prm: pj.OnInstantMessageParam) -> None:
        log.info("< MESSAGE to %s from %s refused with %d: none are taken", prm.toUri, prm.fromUri, NO_MESSAGES)
        answer = pj.SendResponseParam()
        answer.deferredResponse = pj.DeferredResponse(prm)
        answer.code, answer.reason = NO_MESSAGES, "Messages Not Taken"
        self.sendResponse(answer)

    @guarded
    def onIncomingSubscribe(self, prm: pj.OnIncomingSubscribeParam) -> None:
        log.info("< SUBSCRIBE from %s refused with %d: there is nothing to watch", prm.fromUri, NO_SUBSCRIPTIONS)
        prm.code, prm.reason = NO_SUBSCRIPTIONS, "Bad Event"


def of_engine(settings: AgentSettings, identity: str, invite: Invite) -> Account:
    """Make the engine's own account, which takes whatever comes from no trunk."""
    account = Account(invite)
    try:
        account.create(_config(settings, identity), True)
    except pj.Error as error:
        raise refused("the SIP stack did not start", error) from None
    return account


def of_trunk(settings: AgentSettings, line: TrunkLine, invite: Invite, told: Callable[[TrunkEvent], None]) -> Account:
    """Make a trunk's account; nothing is sent yet."""
    config = _config(settings, line.identity)
    _answer_challenges(config, Login(username=line.username, password=line.password))
    if line.register:
        config.regConfig.registrarUri = line.uri
        config.regConfig.registerOnAdd = False
        config.regConfig.timeoutSec = line.expires_s
        config.regConfig.retryIntervalSec = 0  # who is told decides when to try again
        config.regConfig.dropCallsOnFail = False
        config.regConfig.unregWaitMsec = 0
    config.natConfig.udpKaIntervalSec = KEEP_OPEN_S
    account = Account(invite, line.name, told)
    try:
        account.create(config, False)
    except pj.Error as error:
        raise refused(f"trunk {line.name}", error) from None
    return account


def of_login(settings: AgentSettings, identity: str, login: Login, invite: Invite) -> Account:
    """Make an account for calls with credentials of their own."""
    config = _config(settings, identity)
    _answer_challenges(config, login)
    account = Account(invite)
    try:
        account.create(config, False)
    except pj.Error as error:
        raise refused("an account for the call's own credentials", error) from None
    return account


def _config(settings: AgentSettings, identity: str) -> pj.AccountConfig:
    """What all accounts have in common."""
    config = pj.AccountConfig()
    config.idUri = identity
    config.callConfig.prackUse = HUNDRED_REL[settings.hundred_rel]
    config.callConfig.timerUse = SESSION_TIMER[settings.session_timer]
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
    return config


def _answer_challenges(config: pj.AccountConfig, login: Login) -> None:
    """Give an account its credentials, for whatever realm asks for them."""
    if login.username:
        config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", login.username, 0, login.password))


def _mark(prm: Any) -> int:
    """Mark a request, so that its end can be told from that of others; its number while `prm` lives.

    User data has to be the address of an object of pjsua2's, and an address is all that comes back.
    """
    prm.userData = prm
    prm.thisown = True  # the line above gave it away
    return int(prm.this)
