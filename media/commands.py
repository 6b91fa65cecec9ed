"""Carry out what control asks, one method a command; what cannot be done is answered by CommandFailed.

Commands of later versions are in the protocol already; they are refused here by name, so that control
learns at once and does not wait for an answer. A StopPlay or SeekPlay for a play that has just ended is
no error: its PlayFinished is on the way.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, Final

from .events import CommandFailed, DigitsSent, Event, LegClosed, LegOpened, PlayFinished
from .playout import RATES_HZ
from .protocol import (
    CloseLeg,
    Command,
    Drain,
    GrowPlay,
    Join,
    Leave,
    Message,
    OpenLeg,
    SeekPlay,
    SendDigits,
    SetRemote,
    StartAmd,
    StartPlay,
    StartRecording,
    StartTone,
    StopAmd,
    StopPlay,
    StopRecording,
    Unwatch,
    Watch,
)
from .rows import RATE_HZ, RowsFull
from .sound import SoundError
from .stages import Stages

SENDING: Final = frozenset({"sendrecv", "sendonly"})
RECEIVING: Final = frozenset({"sendrecv", "recvonly"})


class Refused(Exception):
    """A command cannot be carried out; the text says why."""


class Commands:
    """Carries out commands on `stages`; answers go to `emit`."""

    def __init__(self, stages: Stages, emit: Callable[[Event], None]) -> None:
        self.draining: bool = False
        self._stages: Stages = stages
        self._emit: Callable[[Event], None] = emit
        self._on_leg: dict[type[Message], Callable[[int, Any, float], None]] = {
            SetRemote: self._set_remote,
            CloseLeg: self._close_leg,
            StartPlay: self._start_play,
            StartTone: self._start_tone,
            StopPlay: self._stop_play,
            SeekPlay: self._seek_play,
            SendDigits: self._send_digits,
            StartRecording: self._start_recording,
            StopRecording: self._stop_recording,
            GrowPlay: self._grow_play,
            Join: self._join,
            Leave: self._leave,
            Watch: self._watch,
            Unwatch: self._unwatch,
            StartAmd: self._start_amd,
            StopAmd: self._stop_amd,
        }

    def carry_out(self, message: Command, now_s: float) -> None:
        """Do what `message` says. Nothing it holds makes this raise."""
        self._stages.passthrough.doubt()
        try:
            self._dispatch(message, now_s)
        except (Refused, RowsFull, OSError, ValueError, OverflowError) as error:
            text = getattr(error, "strerror", None) or str(error)
            name = type(message).__name__
            self._emit(CommandFailed(leg=message.leg, job=message.job, command=name, error=text))

    def announce_plays(self) -> None:
        """Emit PlayFinished for every play that has ended."""
        for player in self._stages.playout.players.values():
            for row, job, reason, position, loops in player.take_finished():
                self._stages.passthrough.doubt()
                leg = self._stages.legs.leg[row]
                self._emit(PlayFinished(leg=leg, job=job, reason=reason, position=position, loops=loops))

    def _dispatch(self, message: Command, now_s: float) -> None:
        if isinstance(message, Drain):
            self.draining = True
            return
        if isinstance(message, OpenLeg):
            self._open_leg(message)
            return
        method = self._on_leg.get(type(message))
        if method is None:
            raise Refused("not available in this version")
        row = self._stages.legs.row(message.leg)
        if row is None:
            raise Refused(f"leg {message.leg} is not open")
        method(row, message, now_s)

    def _open_leg(self, message: OpenLeg) -> None:
        legs = self._stages.legs
        if self.draining:
            raise Refused("the worker is draining and takes no more legs")
        if legs.row(message.leg) is not None:
            raise Refused(f"leg {message.leg} is open already")
        _check("ssrc", message.ssrc, 0xFFFFFFFF)
        _check("sequence", message.sequence, 0xFFFF)
        _check("timestamp", message.timestamp, 0xFFFFFFFF)
        row = self._stages.open(message)
        self._emit(
            LegOpened(
                leg=message.leg,
                job=message.job,
                port=message.port,
                ssrc=int(legs.ssrc[row]),
                sequence=int(legs.sequence[row]),
                timestamp=int(legs.timestamp[row]),
            )
        )

    def _set_remote(self, row: int, message: SetRemote, now_s: float) -> None:
        stages = self._stages
        reachable = _is_reachable(message)
        _check_types(message)
        stages.tune(row, message, now_s)
        address, control = (message.address, message.port), (message.address, message.rtcp_port)
        if stages.latch.set_remote(row, address, latch=message.latch, now_s=now_s):
            stages.transport.aim(row, address)
        if stages.reporter.set_remote(row, control, latch=message.latch, now_s=now_s):
            stages.transport.aim_control(row, control)
        stages.legs.let_flow(row)
        listens = reachable and message.direction in SENDING
        stages.let_send(row, listens)
        stages.legs.receiving[row] = message.direction in RECEIVING
        if listens and message.direction in RECEIVING:  # who holds the call may well be silent
            stages.silence.expect(row, now_s)
        else:
            stages.silence.excuse(row)

    def _close_leg(self, row: int, message: CloseLeg, now_s: float) -> None:
        stages = self._stages
        bye = stages.reporter.farewell(row, stages.legs, stages.reception, now_s)
        if bye:
            stages.send_control(row, bye)
        for job in stages.event_sender.stop(row):
            self._emit(DigitsSent(leg=message.leg, job=job))
        stats = stages.stats(row)
        stages.close(row)
        self.announce_plays()
        self._emit(LegClosed(leg=message.leg, job=message.job, stats=stats))

    def _start_play(self, row: int, message: StartPlay, now_s: float) -> None:
        del now_s
        stages = self._stages
        try:
            if message.rate_hz not in RATES_HZ:
                expected = " or ".join(map(str, RATES_HZ))
                raise SoundError(f"{message.path}: expected {expected} Hz, found {message.rate_hz} Hz")
            sound = stages.sounds.file(message.path, growing=message.available is not None)
        except SoundError as error:
            self._fail_play(message, error)
            return
        stages.playout.claim(row, message.layer, message.rate_hz).start(
            row,
            message.job,
            sound,
            offset=message.offset,
            loops=max(0, message.loops),
            pause=message.loop_pause,
            available=message.available,
            ring=message.ring,
        )
        self.announce_plays()

    def _start_tone(self, row: int, message: StartTone, now_s: float) -> None:
        del now_s
        try:
            sound = self._stages.sounds.tone(message.tone)
        except SoundError as error:
            self._fail_play(message, error)
            return
        self._stages.playout.claim(row, "foreground", RATE_HZ).start(
            row, message.job, sound, loops=0, limit=message.duration
        )
        self.announce_plays()

    def _stop_play(self, row: int, message: StopPlay, now_s: float) -> None:
        del now_s
        for player in self._stages.playout.players.values():
            player.stop(row, message.job)
        self.announce_plays()

    def _seek_play(self, row: int, message: SeekPlay, now_s: float) -> None:
        del now_s
        for player in self._stages.playout.players.values():
            player.seek(row, message.job, to=message.to, by=message.by, paused=message.paused, strict=message.strict)
        self.announce_plays()

    def _grow_play(self, row: int, message: GrowPlay, now_s: float) -> None:
        del now_s
        for player in self._stages.playout.players.values():
            player.grow(row, message.job, available=message.available, complete=message.complete)
        self.announce_plays()

    def _send_digits(self, row: int, message: SendDigits, now_s: float) -> None:
        del now_s
        if not self._stages.legs.flowing[row]:
            raise Refused(f"leg {message.leg} has no remote yet")
        negotiated = bool(self._stages.legs.event_type[row] >= 0)
        if message.mode == "rfc4733" and not negotiated:
            raise Refused("RFC 4733 was not negotiated on this leg")
        inband = message.mode == "inband" or not negotiated
        self._stages.event_sender.start(row, message.job, message.digits, message.on, message.off, inband)

    def _start_recording(self, row: int, message: StartRecording, now_s: float) -> None:
        if not message.began >= 0:
            raise Refused(f"began: expected seconds since the machine started, found {message.began}")
        elapsed_ms = max(0, round((now_s - message.began) * 1000)) if message.began else 0
        self._stages.recorder.start(
            row, leg=message.leg, job=message.job, path=message.path, sides=message.sides, elapsed_ms=elapsed_ms
        )

    def _stop_recording(self, row: int, message: StopRecording, now_s: float) -> None:
        del now_s
        if not self._stages.recorder.stop(row, message.job):
            raise Refused(f"leg {message.leg} has no recording {message.job}")

    def _join(self, row: int, message: Join, now_s: float) -> None:
        del now_s
        self._stages.rooms.join(row, message.room)
        self._stages.looks.enter()
        self._stages.receiver.hasten(row, wanted=True)

    def _leave(self, row: int, message: Leave, now_s: float) -> None:
        del message, now_s
        self._stages.rooms.leave(row)
        self._stages.receiver.hasten(row, wanted=False)

    def _watch(self, row: int, message: Watch, now_s: float) -> None:
        del now_s
        self._stages.watches.start(
            row, message.job, noise_ms=message.noise, silence_ms=message.silence, detector=message.detector
        )

    def _unwatch(self, row: int, message: Unwatch, now_s: float) -> None:
        del now_s
        self._stages.watches.stop(row, message.job)

    def _start_amd(self, row: int, message: StartAmd, now_s: float) -> None:
        del now_s
        self._stages.amd.start(row, message)

    def _stop_amd(self, row: int, message: StopAmd, now_s: float) -> None:
        del now_s
        self._stages.amd.stop(row, message.job)

    def _fail_play(self, message: StartPlay | StartTone, error: SoundError) -> None:
        self._emit(PlayFinished(leg=message.leg, job=message.job, reason="failed", error=str(error)))


def _is_reachable(message: SetRemote) -> bool:
    """Say whether anything can be sent there; Refused if it is not an address at all.

    A name would make the tick wait for a resolver. The unspecified address and port 0 are how old peers
    put a call on hold (RFC 2543 appendix B.5) or refuse a stream.
    """
    try:
        address = ipaddress.ip_address(message.address)
    except ValueError:
        raise Refused(f"address: expected an IP address, found {message.address!r}") from None
    _check("port", message.port, 65535)
    _check("rtcp_port", message.rtcp_port, 65535)
    return not address.is_unspecified and message.port != 0


def _check_types(message: SetRemote) -> None:
    """Raise Refused for payload types that no packet has, or a clock of events that their reports cannot count."""
    _check("payload_type", message.payload_type, 127)
    _check("telephone_event", message.telephone_event or 0, 127)
    _check("own_payload_type", message.own_payload_type or 0, 127)
    _check("own_telephone_event", message.own_telephone_event or 0, 127)
    if message.telephone_event_hz < RATE_HZ or message.telephone_event_hz % RATE_HZ:
        raise Refused(f"telephone_event_hz: expected a multiple of {RATE_HZ}, found {message.telephone_event_hz}")


def _check(name: str, found: int, largest: int) -> None:
    if not 0 <= found <= largest:
        raise Refused(f"{name}: expected 0 to {largest}, found {found}")
