"""The stages of the tick, built once, and what the life of a leg means to each of them.

A row is opened in every stage when its leg is opened, tuned when its remote is set, and closed when the
leg is: here and nowhere else, so that a stage that joins later cannot be forgotten in one of the three.
"""

from __future__ import annotations

import random
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..codecs.bank import Bank
from ..codecs.catalog import BY_NAME, Codec
from .amd import Amd
from .dtmf import ToneReceiver
from .events import Event, LegStats
from .haste import Looks
from .latch import NOT_NEGOTIATED, Latch
from .legs import Legs
from .passthrough import Passthrough
from .playout import Playout
from .protocol import OpenLeg, SetRemote
from .receiver import Receiver
from .reception import Reception
from .recorder import Recorder, SpoolWriter
from .reporter import Reporter
from .rooms import Rooms
from .rows import RATE_HZ
from .sender import Sender
from .silence import Silence
from .sound import Sounds
from .srtp import Srtp
from .telephone_event import EventReceiver, EventSender
from .transport import Transport
from .watch import Watches


class Listener(Protocol):
    """A stage that hears what legs say and now and then has something to tell of it."""

    def open(self, row: int) -> None:
        """Begin on `row`."""
        ...

    def close(self, row: int) -> None:
        """End on `row`."""
        ...

    def attentive(self) -> NDArray[np.bool_]:
        """Say on which rows it cannot do without what is said, bool[capacity]; not to be written to."""
        ...

    def step(
        self, frames: NDArray[np.float32], rows: NDArray[np.intp], begun: NDArray[np.bool_]
    ) -> list[tuple[int, Event]]:
        """Hear `frames` float32[n, 160] on the int16 scale; return events by row, whose `leg` the pipeline fills in.

        `begun[i]` says whether any audio has come on `rows[i]` yet; before that its frames are silence made up.
        """
        ...


class Stages:
    """Every stage, for `capacity` rows."""

    def __init__(
        self,
        capacity: int,
        transport: Transport,
        randomness: random.Random,
        wall_offset_s: float,
        silent_after_s: float,
        jitter_ms: int,
    ) -> None:
        self.transport: Transport = transport
        self.srtp: Srtp = Srtp(capacity)
        self.legs: Legs = Legs(capacity)
        self.latch: Latch = Latch(capacity)
        self.silence: Silence = Silence(capacity, silent_after_s)
        self.reception: Reception = Reception(capacity)
        self.reporter: Reporter = Reporter(capacity, randomness, wall_offset_s)
        self.bank: Bank = Bank(capacity)
        self.receiver: Receiver = Receiver(capacity, self.bank, jitter_ms)
        self.tones: ToneReceiver = ToneReceiver(capacity)
        self.watches: Watches = Watches(capacity)
        self.amd: Amd = Amd(capacity)
        self.listeners: tuple[Listener, ...] = (self.tones, self.watches, self.amd)
        self.sounds: Sounds = Sounds()
        self.rooms: Rooms = Rooms(capacity)
        self.looks: Looks = Looks()
        self.passthrough: Passthrough = Passthrough(capacity)
        self.playout: Playout = Playout(capacity, self.sounds)
        self.recorder: Recorder = Recorder(SpoolWriter())
        self.event_receiver: EventReceiver = EventReceiver(capacity)
        self.event_sender: EventSender = EventSender(capacity)
        self.sender: Sender = Sender(capacity, self.bank)
        self._randomness: random.Random = randomness
        self._codec: list[str] = [""] * capacity  # name in the catalog; empty before the first remote

    def open(self, message: OpenLeg) -> int:
        """Give the leg a row and bind its ports. RowsFull without a free row, OSError if a port cannot be bound."""
        row = self.legs.open(message, self._randomness)
        try:
            self.transport.open(row, message.address, message.port)
        except OSError:
            self.legs.close(row)
            raise
        self.reporter.open(row, message.cname or f"{int(self.legs.ssrc[row]):08x}")
        self.event_receiver.open(row)
        for listener in self.listeners:
            listener.open(row)
        return row

    def tune(self, row: int, message: SetRemote, now_s: float) -> None:
        """Use what was negotiated on `row`. ValueError, and nothing changed, for a codec or keys that we cannot use."""
        codec = BY_NAME.get(message.codec)
        if codec is None:
            raise ValueError(f"no codec {message.codec!r}; there are {', '.join(BY_NAME)}")
        self.srtp.set_keys(row, message.srtp, now_s)
        if message.codec != self._codec[row]:
            self._use(row, message.codec, codec)
        event_type = NOT_NEGOTIATED if message.telephone_event is None else message.telephone_event
        self.legs.payload_type[row], self.legs.event_type[row] = message.payload_type, event_type
        own = message.own_payload_type, message.own_telephone_event
        self.latch.number(row, message.payload_type, event_type, own=own, others=message.other_types)
        self.event_sender.count_by(row, codec.clock_hz, message.telephone_event_hz)
        self.tones.tune(row, events=message.telephone_event is not None)
        self.sender.tune(row, codec, message.ptime)

    def let_send(self, row: int, sending: bool) -> None:
        """Let media be sent on `row` or not; what waits for a full packet then is not for later."""
        self.legs.let_send(row, sending)
        if not sending:
            self.sender.drop(row)

    def close(self, row: int) -> None:
        """Take `row` out of every stage and free its ports."""
        self.transport.close(row)
        self.srtp.close(row)
        self.event_sender.stop(row)
        self.recorder.close(row)
        self.playout.close(row)
        for stage in (self.latch, self.reporter, self.event_receiver, self.rooms, self.sender, *self.listeners):
            stage.close(row)
        self.silence.excuse(row)
        for stage in (self.bank, self.receiver, self.reception, self.passthrough):
            stage.close(row)
        self._codec[row] = ""
        self.legs.close(row)

    def arrange(self) -> None:
        """See anew which pairs pass octets on: those that may talk both ways, and to which nothing listens or plays."""
        if not len(self.rooms):
            self.passthrough.disperse()
            return
        free = self.legs.sending & self.legs.receiving & ~self.playout.playing() & ~self.event_sender.busy
        free[self.recorder.rows] = False
        for listener in self.listeners:
            free &= ~listener.attentive()
        self.tones.forget(self.passthrough.arrange(self.rooms.pairs(), free))

    def send_control(self, row: int, octets: bytes) -> None:
        """Send RTCP on `row`, as its peer is to see it."""
        protected = self.srtp.protect_control(row, octets)
        if protected:
            self.transport.send_control(row, protected)

    def stats(self, row: int) -> LegStats:
        """Return what was counted on `row`."""
        legs = self.legs
        peer, audio = self.reporter.peer(row), self.receiver.counts(row)
        return LegStats(
            packets_received=int(legs.packets_received[row]),
            packets_sent=int(legs.packets_sent[row]),
            octets_received=int(legs.octets_received[row]),
            octets_sent=int(legs.octets_sent[row]),
            lost=self.reception.lost(row),
            late=audio.late,
            duplicates=audio.duplicates,
            invalid=int(legs.invalid[row]) + audio.malformed,
            concealed_ms=audio.concealed * 1000 // RATE_HZ,
            jitter_ms=self.reception.jitter_ms(row),
            peer_lost=peer.lost,
            peer_jitter_ms=peer.jitter_ms,
            round_trip_ms=peer.round_trip_ms,
            digits_received=int(legs.digits[row]),
        )

    def _use(self, row: int, name: str, codec: Codec) -> None:
        """Let `row` use the codec; what was counted of the audio so far stays."""
        coder = self.bank.open(row, name)
        begun = bool(self._codec[row])
        self.receiver.open(row, codec, coder)
        self.sender.open(row, codec, coder)
        self.passthrough.tune(row, name)
        self.legs.count_by(row, codec.clock_hz)
        self.event_receiver.count_by(row, codec.clock_hz)
        if not begun or codec.clock_hz != self.reporter.clock_hz[row]:
            self.reception.open(row, codec.clock_hz, lost=self.reception.lost(row) if begun else 0)
            self.reporter.clock_hz[row] = codec.clock_hz
        self._codec[row] = name
