"""The tick: all legs, 20 ms, from the packets that have come to the packets that go.

`Pipeline.tick` is the whole of it on one screen. It waits for nothing and reads no clock. Every leg whose
remote is known and whose direction lets us send gets its packet every tick, silence too, so that NATs
stay open and the peer's jitter buffer has nothing to guess. What nothing listens to passes from leg to leg
as it came, the rest is decoded and mixed. Events go to `emit` after the packets.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import compress
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from . import rtp
from .commands import Commands
from .events import DigitReceived, DigitsSent, Event, LegHeard, LegReport, LegSilent, OtherCodec
from .packetizer import Outgoing
from .protocol import CloseLeg, Command
from .receiver import Heard
from .rows import FRAME_MS, RATE_HZ, every
from .rtp import RtpBatch
from .stages import Stages
from .telephone_event import EventTick
from .transport import ControlPacket, Received, Transport

Indices = NDArray[np.intp]

SILENT_AFTER_S: Final = 10.0
JITTER_MS: Final = 40
REPORT_S: Final = 10.0

TICKS_TOGETHER: Final = 10
"""Reports of so many ticks are made together: what makes them is in no cache of the processor when a tick comes to it,
so that the first takes some 90 microseconds and each of the others a tenth of that."""


class Pipeline:
    """The media of up to `capacity` legs over `transport`. Answers and events go to `emit`."""

    def __init__(
        self,
        capacity: int,
        transport: Transport,
        emit: Callable[[Event], None],
        *,
        randomness: random.Random,
        silent_after_s: float = SILENT_AFTER_S,
        jitter_ms: int = JITTER_MS,
        report_s: float = REPORT_S,
        now_s: float = 0.0,
        wall_offset_s: float = 0.0,
    ) -> None:
        """Make the stages. `jitter_ms` is the delay that a stream starts with to even out arrival.

        `now_s` is when it begins; `wall_offset_s` added to such a time gives seconds since 1970, for RTCP.
        """
        self._stages: Stages = Stages(
            capacity,
            transport,
            randomness=randomness,
            wall_offset_s=wall_offset_s,
            silent_after_s=silent_after_s,
            jitter_ms=jitter_ms,
        )
        self._commands: Commands = Commands(self._stages, emit)
        self._emit: Callable[[Event], None] = emit
        self._now_s: float = now_s  # of the last tick, or of what was taken since
        self._tick: int = 0
        self._shares: int = max(1, round(report_s * 1000 / FRAME_MS / TICKS_TOGETHER))
        self._events: list[Event] = []  # of this tick
        self._outgoing: list[tuple[Indices, NDArray[np.uint8]]] = []  # packets of this tick, by length

    @property
    def legs(self) -> int:
        """How many legs are open."""
        return len(self._stages.legs)

    @property
    def draining(self) -> bool:
        """Whether no more legs are taken."""
        return self._commands.draining

    def command(self, message: Command) -> None:
        """Carry out `message`; what cannot be done is answered by CommandFailed."""
        self._commands.carry_out(message, self._now_s)

    @property
    def conversing(self) -> bool:
        """Whether legs are in rooms, and this is a tick in which it is worth to `listen`."""
        return len(self._stages.rooms) > 0 and self._stages.looks.due(self._tick)

    def listen(self, now_s: float, left_s: float) -> None:
        """Take what has come so far, `left_s` before the tick: who is early needs less delay (see `haste`)."""
        self._now_s = now_s
        self._receive(self._stages.transport.receive(), now_s, int(left_s * RATE_HZ))

    def tick(self, now_s: float, hold: Callable[[], float] | None = None) -> int:
        """Do 20 ms of all legs; return how many RTP packets went out.

        `hold` is called when the packets are ready and returns when they may leave, and what time that is, so that
        how long they took to make does not show in when they leave.
        """
        self._now_s = now_s
        self._receive(self._stages.transport.receive(), now_s)
        rows = self._stages.legs.flowing_rows
        packets, rest = self._pass_on(rows)
        if rest.size:
            packets += self._speak(rest, self._hear(rest))
        left_s = now_s if hold is None else hold()
        for outgoing_rows, outgoing in self._outgoing:
            self._stages.transport.send(outgoing_rows, outgoing)
        self._outgoing.clear()
        self._report(rows, left_s)
        self._stages.legs.advance()
        self._tick += 1
        return packets

    def skip(self, ticks: int) -> None:
        """Let `ticks` pass that nobody ticked: RTP timestamps and recordings go on with time."""
        self._stages.legs.advance(ticks)
        self._stages.recorder.skip(ticks)

    def close(self) -> None:
        """Close every leg; when this returns, everything recorded is written."""
        for leg in self._stages.legs.open_legs:
            self.command(CloseLeg(leg=leg))
        self._stages.recorder.end()

    # ---- in -----------------------------------------------------------------------------------------------------

    def _receive(self, received: Received, now_s: float, early: int = 0) -> None:
        """Take what has come: whether it is in the clear, who sent it, what it is, where it belongs."""
        stages, legs = self._stages, self._stages.legs
        for packet in received.control:
            self._receive_control(packet, now_s)
        if not received.rows.size:
            return
        stages.srtp.unprotect(received, now_s)
        batch, good = rtp.parse_batch(received.data, received.lengths, received.rows, received.slots)
        sources = list(compress(received.sources, good.tolist())) if received.sources else received.sources
        accepted = stages.latch.step(batch.rows, batch.payload_type, sources, now_s)
        for row, source in accepted.heard:
            stages.transport.aim(row, source)
            self._events.append(LegHeard(leg=legs.leg[row], address=source[0], port=source[1]))
        for row, source in accepted.certain:
            stages.transport.connect(row, source)
        self._events += [OtherCodec(leg=legs.leg[row], payload_type=kind) for row, kind in accepted.changed]
        if not every(good):
            broken = received.rows[~good]
            np.add.at(legs.invalid, broken[legs.flowing[broken]], 1)
        if np.count_nonzero(accepted.foreign):
            np.add.at(legs.invalid, batch.rows[accepted.foreign], 1)
        if not every(accepted.mask):
            batch = batch.where(accepted.mask)
        legs.count_received(batch.rows, batch.length)
        stages.silence.push(batch.rows, now_s)
        stages.reception.push(batch, now_s)
        self._sort(batch, early)

    def _receive_control(self, packet: ControlPacket, now_s: float) -> None:
        stages, row = self._stages, packet.row
        try:
            packet = packet._replace(octets=stages.srtp.unprotect_control(row, packet.octets, now_s))
            came_s = now_s - packet.age_s
            latched = stages.reporter.receive(packet, int(stages.legs.ssrc[row]), stages.latch.host(row), came_s)
        except ValueError:  # the peer's, or a stranger's, fault: counted like any packet that is not ours
            stages.legs.invalid[row] += 1
            return
        if latched:
            stages.transport.aim_control(row, packet.source)

    def _sort(self, batch: RtpBatch, early: int) -> None:
        """Hand audio to the jitter buffer and telephone events to their receiver."""
        stages, legs = self._stages, self._stages.legs
        audio = batch.payload_type == legs.payload_type[batch.rows]
        if every(audio):
            stages.receiver.push(batch, self._tick, early)
            return
        stages.receiver.push(batch.where(audio), self._tick, early)
        events = batch.where(batch.payload_type == legs.event_type[batch.rows])
        stages.receiver.excuse(events.rows)
        for row, digit in stages.event_receiver.push(events):
            legs.digits[row] += 1
            stages.tones.mute(row)
            self._events.append(DigitReceived(leg=legs.leg[row], digit=digit))

    def _hear(self, rows: Indices) -> Heard:
        """Decode what each leg says and let the listening stages hear it; return it."""
        stages = self._stages
        heard = stages.receiver.pull(rows)
        begun = stages.receiver.begun(rows)
        for listener in stages.listeners:
            for row, event in listener.step(heard.frames, rows, begun):
                if isinstance(event, DigitReceived):
                    stages.legs.digits[row] += 1
                self._events.append(msgspec.structs.replace(event, leg=stages.legs.leg[row]))
        return heard

    # ---- through ------------------------------------------------------------------------------------------------

    def _pass_on(self, rows: Indices) -> tuple[int, Indices]:
        """Send what has come from a leg to the other of its pair as it is, where nothing is to be done to it.

        Return how many packets that took, and those of `rows` that are to be heard and spoken to.
        """
        stages, legs = self._stages, self._stages.legs
        if stages.passthrough.doubtful:
            stages.arrange()
        passage = stages.passthrough.step(rows, stages.receiver.whole)
        if not passage.target.size:
            return 0, rows
        target, octets = passage.target, stages.receiver.take(passage.source)
        packets = 0
        for outgoing in stages.sender.pass_on(target, octets, legs.timestamp[target]):
            packets += self._send_audio(outgoing)
        return packets, passage.rest

    # ---- out ----------------------------------------------------------------------------------------------------

    def _speak(self, rows: Indices, heard: Heard) -> int:
        """Mix, record, encode and send what each leg is to hear; return how many packets that took."""
        stages, legs = self._stages, self._stages.legs
        keys = stages.event_sender.step(rows)
        self._events += [DigitsSent(leg=legs.leg[row], job=job) for row, job in keys.finished]
        others = stages.rooms.step(rows, heard, legs.receiving, legs.sending)
        spoken = stages.playout.step(rows, keys.tone_at, keys.tones, others)
        stages.recorder.step(heard.frames, spoken.recorded, rows, stages.receiver.delay(rows))
        audio = legs.sending[rows]
        audio[keys.at] = False
        packets = self._press(rows, keys)
        for outgoing in stages.sender.step(rows, spoken, audio, legs.timestamp[rows]):
            packets += self._send_audio(outgoing)
        return packets

    def _send_audio(self, outgoing: Outgoing) -> int:
        legs = self._stages.legs
        packets = self._send(outgoing, legs.payload_type, legs.marker[outgoing.rows])
        legs.marker[outgoing.rows] = False
        return packets

    def _press(self, rows: Indices, keys: EventTick) -> int:
        """Send telephone events in place of audio (RFC 4733 section 2.2): a packet a tick, whatever the ptime."""
        if not keys.at.size:
            return 0
        legs, pressing = self._stages.legs, rows[keys.at]
        self._stages.sender.drop(pressing)
        sent = legs.sending[pressing] & (legs.event_type[pressing] >= 0)
        pressing = pressing[sent]
        outgoing = Outgoing(pressing, keys.payload[sent], legs.timestamp[pressing] - keys.age[sent])
        return self._send(outgoing, legs.event_type, keys.marker[sent]) if pressing.size else 0

    def _send(self, outgoing: Outgoing, types: NDArray[np.int64], marker: NDArray[np.bool_]) -> int:
        legs, rows = self._stages.legs, outgoing.rows
        lengths = outgoing.lengths
        sequence, ssrc = legs.send(rows, outgoing.payload.shape[1] if lengths is None else lengths)
        packets = rtp.build_batch(outgoing.payload, types[rows], marker, sequence, outgoing.timestamp, ssrc)
        if lengths is None:
            self._outgoing += self._stages.srtp.protect(rows, packets)
        else:  # the transport takes packets of one length at a time
            for length in np.unique(lengths).tolist():
                alike = lengths == length
                self._outgoing += self._stages.srtp.protect(rows[alike], packets[alike, : rtp.HEADER + length])
        return int(rows.size)

    # ---- what is said of it -------------------------------------------------------------------------------------

    def _report(self, rows: Indices, now_s: float) -> None:
        """Send RTCP that is due, and tell control what happened, in the order in which it did."""
        stages = self._stages
        if self._events:  # what ends by itself tells of it
            stages.passthrough.doubt()
        if self._tick % TICKS_TOGETHER == 0:
            self._report_legs(rows, now_s)
        self._events += stages.recorder.finished()
        events, self._events = self._events, []
        for event in events:
            self._emit(event)
        self._commands.announce_plays()

    def _report_legs(self, rows: Indices, now_s: float) -> None:
        """Send RTCP that is due; tell control who is silent, and how a share of the legs is: each once in a period."""
        stages, legs = self._stages, self._stages.legs
        for row in stages.reporter.due(now_s):
            stages.send_control(row, stages.reporter.report(row, legs, stages.reception, now_s))
        self._events += [LegSilent(leg=legs.leg[row], silent=ms) for row, ms in stages.silence.step(now_s)]
        share = self._tick // TICKS_TOGETHER % self._shares
        mine = rows[rows % self._shares == share].tolist()
        self._events += [LegReport(leg=legs.leg[row], stats=stages.stats(row)) for row in mine]
