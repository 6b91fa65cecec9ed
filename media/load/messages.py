"""What the command and the process of its streams say to each other: one JSON object a line, its type in `type`.

The command says a Plan first and hears Bound, or Unable. Streams go by number, 0 .. streams - 1, one UDP port each.
Times of day are nanoseconds since 1970, as the kernel stamps packets with; other times are in the unit of the name.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Send = Literal["silence", "noise", "file", "nothing"]


class Message(msgspec.Struct, tag_field="type", tag=True, frozen=True, kw_only=True):
    """What all messages are."""


# ---- the command says ------------------------------------------------------------------------------------------


class Plan(Message, tag=True, frozen=True, kw_only=True):
    """What to do on every call. `path` holds 16-bit samples of 8 kHz where `send` is `file`."""

    address: str
    first_port: int
    streams: int
    codec: Literal["PCMU", "PCMA"]
    send: Send
    path: str = ""
    digits: str = ""
    hold_s: float = 0.0
    event_type: int = 101


class Up(Message, tag=True, frozen=True, kw_only=True):
    """The stream's call was answered at `at_ns`: send to `host`, `port` from now on."""

    stream: int
    host: str
    port: int
    at_ns: int


class Aim(Message, tag=True, frozen=True, kw_only=True):
    """The call goes on, and is to be sent to `host`, `port` from now on."""

    stream: int
    host: str
    port: int


class Down(Message, tag=True, frozen=True, kw_only=True):
    """The stream's call has been over since `at_ns`; 0 for now."""

    stream: int
    at_ns: int = 0


class Measure(Message, tag=True, frozen=True, kw_only=True):
    """From here on, or until here, what comes counts."""

    on: bool


class Finish(Message, tag=True, frozen=True, kw_only=True):
    """Say the Result, and end."""


Command = Plan | Up | Aim | Down | Measure | Finish


# ---- the streams say -------------------------------------------------------------------------------------------


class Bound(Message, tag=True, frozen=True, kw_only=True):
    """The ports of the streams, in their order, and how packets are moved."""

    ports: list[int]
    batched: bool


class Unable(Message, tag=True, frozen=True, kw_only=True):
    """The plan cannot be carried out; the process ends."""

    reason: str


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How some times are distributed, in ms. `bins` are (upper edge, how many), those that are not empty."""

    count: int = 0
    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0
    bins: list[tuple[float, int]] = []


class Second(Message, tag=True, frozen=True, kw_only=True):
    """What happened since the last one."""

    live: int
    received: int
    lost: int
    deviation_p99_ms: float
    deviation_max_ms: float
    send_late_max_ms: float


class Result(Message, tag=True, frozen=True, kw_only=True):
    """All that was counted while it counted. Packets but for the spreads, which are in ms."""

    received: int
    lost: int
    never_sent: int
    duplicates: int
    reordered: int
    restarts: int
    late_10: int
    late_40: int
    silent_streams: int
    worst_stream_lost: int
    deviation: Spread
    first_packet: Spread
    sent: int
    send_late: Spread
    send_skipped: int
    receive_drops: int
    digits_sent: int
    digits_heard: int
    digits_lost: int


Event = Bound | Unable | Second | Result

encode: Final = msgspec.json.Encoder().encode
decode_command: Final = msgspec.json.Decoder(Command).decode
decode_event: Final = msgspec.json.Decoder(Event).decode
