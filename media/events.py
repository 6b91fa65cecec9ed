"""What a media worker tells control, as msgspec structs: answers to commands, and what happens on a leg by itself.

An answer carries the `leg` and `job` of its command. Times are milliseconds unless the name says otherwise.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from .protocol import DigitSource, Message


class LegStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a leg received and sent; loss, jitter and round trip as RFC 3550 defines them."""

    packets_received: int = 0
    packets_sent: int = 0
    octets_received: int = 0
    octets_sent: int = 0
    lost: int = 0
    late: int = 0
    duplicates: int = 0
    invalid: int = 0
    concealed_ms: int = 0
    jitter_ms: float = 0.0
    peer_lost: int = 0
    peer_jitter_ms: float = 0.0
    round_trip_ms: float | None = None
    digits_received: int = 0


class LegOpened(Message, tag=True, frozen=True, kw_only=True):
    """The ports are bound. Carries what the stream starts with, for opening it again elsewhere."""

    port: int
    ssrc: int
    sequence: int
    timestamp: int


class LegHeard(Message, tag=True, frozen=True, kw_only=True):
    """The first valid RTP packet came in, or the first since the remote address changed: from `address:port`."""

    address: str
    port: int


class OtherCodec(Message, tag=True, frozen=True, kw_only=True):
    """Packets of one of SetRemote's `other_types` come. Sent again until a SetRemote has it."""

    payload_type: int


class LegSilent(Message, tag=True, frozen=True, kw_only=True):
    """No packet has come for `silent` ms although the direction lets the peer send. Sent once per silence."""

    silent: int


class LegClosed(Message, tag=True, frozen=True, kw_only=True):
    """The leg is gone; nothing more comes of it."""

    stats: LegStats


class LegReport(Message, tag=True, frozen=True, kw_only=True):
    """Statistics of a live leg, every 10 s."""

    stats: LegStats


class PlayFinished(Message, tag=True, frozen=True, kw_only=True):
    """A play ended. `position` is where in the file, in ms; `loops` how many repetitions were completed before."""

    reason: Literal["ended", "stopped", "replaced", "closed", "failed"]
    position: int = 0
    loops: int = 0
    error: str = ""


class DigitReceived(Message, tag=True, frozen=True, kw_only=True):
    """A key was pressed: one event however long it is held, reported when it starts."""

    digit: str
    source: DigitSource = "rfc4733"


class DigitsSent(Message, tag=True, frozen=True, kw_only=True):
    """All digits of a SendDigits have gone out."""


class RecordingFinished(Message, tag=True, frozen=True, kw_only=True):
    """The spool file is complete."""

    duration: int
    error: str = ""


class SilenceDetected(Message, tag=True, frozen=True, kw_only=True):
    """There was silence for as long as watched for."""

    duration: int


class NoiseDetected(Message, tag=True, frozen=True, kw_only=True):
    """There was noise for as long as watched for."""

    duration: int


class AmdState(Message, tag=True, frozen=True, kw_only=True):
    """Answering machine detection changed its `state`, `at` ms of audio in; the state before lasted `lasted` ms."""

    state: str
    at: int
    lasted: int


class MachineDetected(Message, tag=True, frozen=True, kw_only=True):
    """Answering machine detection came to a result: `status` and `cause` as the reference words them."""

    status: str
    cause: str


class CommandFailed(Message, tag=True, frozen=True, kw_only=True):
    """A command could not be carried out; `command` is its type."""

    command: str
    error: str


class Beat(Message, tag=True, frozen=True, kw_only=True):
    """A sign of life, every second. Tick times in microseconds over the last second; `skipped` ticks were given up."""

    legs: int
    ticks: int
    work_p50_us: int
    work_max_us: int
    overruns: int
    late_packets: int
    streak_ms: int = 0
    skipped: int = 0


Event = (
    LegOpened | LegHeard | OtherCodec | LegSilent | LegClosed | LegReport | PlayFinished | DigitReceived | DigitsSent
    | RecordingFinished | SilenceDetected | NoiseDetected | AmdState | MachineDetected | CommandFailed | Beat
)  # fmt: skip

decode_events: Final = msgspec.msgpack.Decoder(list[Event]).decode
"""Read a datagram of events. Raises msgspec.MsgspecError."""
