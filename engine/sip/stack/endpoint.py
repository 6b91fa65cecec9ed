"""The stack as a whole: its start and end, the transports it listens on, and what it logs."""

# ruff: noqa: N802 - callbacks carry pjsua2's names

from __future__ import annotations

import ctypes
import logging
from typing import Final

import _pjsua2
import pjsua2 as pj

from ...errors import SipError
from ..crypto import without_keys
from ..settings import AgentSettings
from .acknowledgement import Acknowledgement
from .binding import guarded, refused
from .resolver import Resolver

log = logging.getLogger("flexml.sip")

CODEC_ENABLED: Final = 128
"""A priority of pjmedia; 0 is disabled, which L16 is by default: offers of nothing else would be refused."""
TLS_VERSIONS: Final = pj.PJ_SSL_SOCK_PROTO_TLS1_2 | pj.PJ_SSL_SOCK_PROTO_TLS1_3
"""The older ones are not to be spoken any more (RFC 8996)."""
HANDSHAKE_MS: Final = 10_000
"""How long that may take, whoever began it: a connection without an end to it would be held for good."""
TRANSPORTS: Final = {
    "udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS,
}  # fmt: skip

_CALL_COUNT: Final = ctypes.CDLL(_pjsua2.__file__).pjsua_call_get_count
"""What pjsua2 leaves out."""


class LogWriter(pj.LogWriter):
    """Passes on what pjsip logs."""

    def write(self, entry: pj.LogEntry) -> None:
        """Log one line, without keys."""
        level = {0: logging.ERROR, 1: logging.ERROR, 2: logging.WARNING}.get(entry.level, logging.DEBUG)
        logging.getLogger("flexml.pjsip").log(level, "%s", without_keys(entry.msg.rstrip()))


class Endpoint(pj.Endpoint):
    """There is one at a time in a process."""

    def __init__(self, settings: AgentSettings) -> None:
        super().__init__()
        self._settings = settings
        self._log_writer = LogWriter()
        self._resolver = Resolver()
        self.acknowledgement = Acknowledgement()
        self.listening: list[str] = []
        """`transport:address:port` of each transport, with the port that was bound."""

    def start(self) -> None:
        """Bind the transports. Raises SipError naming what could not be bound."""
        try:
            self.libCreate()
            self.libInit(self._config())
            self._resolver.attach()
            self.acknowledgement.attach()
            self.codecSetPriority("L16", CODEC_ENABLED)
            self.audDevManager().setNullDev()
            self.audDevManager().setNoDev()
            for listen in self._settings.listen:
                self._listen(listen)
            self.libStart()
        except pj.Error as error:
            raise refused("the SIP stack did not start", error) from None

    def _config(self) -> pj.EpConfig:
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
        config.logConfig.writer = self._log_writer
        return config

    def _listen(self, listen: str) -> None:
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
            config.tlsConfig.msecTimeout = HANDSHAKE_MS
        family = pj.PJSIP_TRANSPORT_IPV6 if ":" in address else 0
        try:
            number = self.transportCreate(TRANSPORTS[kind] + family, config)
        except pj.Error as error:
            raise SipError(f"cannot listen on {listen}: {error.reason}") from None
        name, _, bound_port = self.transportGetInfo(number).localName.rpartition(":")
        self.listening.append(f"{kind}:[{name}]:{bound_port}" if family else f"{kind}:{name}:{bound_port}")

    @property
    def descriptor(self) -> int:
        """What can be read when a message has come: pjsip's epoll descriptor."""
        return ctypes.c_int.from_address(int(self.libGetSipIoqueueHandle())).value

    def handle_events(self) -> int:
        """Handle what has come, up to eight messages, and timers that are due; how many there were."""
        return self.libHandleEvents(0)

    @property
    def calls(self) -> int:
        """How many calls the stack has."""
        return _CALL_COUNT()

    def destroy(self) -> None:
        """Free everything; nothing more is sent."""
        self._resolver.close()
        self.libDestroy(pj.PJSUA_DESTROY_NO_NETWORK)

    @guarded
    def onTransportState(self, prm: pj.OnTransportStateParam) -> None:
        if prm.lastError and (wrong := "; ".join(prm.tlsInfo.verifyMsgs)):
            log.warning("TLS with %s was broken off: %s", prm.tlsInfo.remoteAddr, wrong)
