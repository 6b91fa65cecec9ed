"""What control tells a media worker, as msgspec structs; what the worker tells is in `events`.

Commands are imperative and never wait. Each is answered by an event that carries the same `leg` and
`job`; a command that cannot be carried out is answered by CommandFailed. A datagram is a list of messages
in MessagePack, the type of each in its field `type`. Times are milliseconds unless the name says
otherwise; `leg` and `job` are chosen by control and never reused while the worker lives.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
"""What we do with media, in our own view (RFC 3264 section 5.1)."""

DigitSource = Literal["rfc4733", "inband", "info"]

Layer = Literal["foreground", "background", "aside"]
"""The players of a leg: what a verb plays, what goes on under it, and what is heard but never recorded."""

Detector = Literal["energy", "webrtc"]
"""What tells voice from silence: a level, or WebRTC's voice activity detector for noisy lines."""


Suite = Literal["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"]
"""How SRTP protects packets (RFC 4568 section 6.2)."""


class Message(msgspec.Struct, tag_field="type", frozen=True, kw_only=True, omit_defaults=True):
    """What all messages have."""

    leg: int = 0
    job: int = 0


class OpenLeg(Message, tag=True, frozen=True, kw_only=True):
    """Bind RTP to `port` and RTCP to `port + 1` and start receiving. Answer: LegOpened.

    `ssrc`, `sequence` and `timestamp` are given when a leg is opened again in a new worker, so that the
    stream goes on as it was (RFC 3550 section 8.2); zero lets the worker choose at random (section 5.1).
    """

    address: str
    port: int
    ssrc: int = 0
    sequence: int = 0
    timestamp: int = 0
    cname: str = ""


class SrtpKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Master key and salt for each direction, 30 octets each (RFC 3711), as their names say from our view.

    `rollovers` is how often the peer's sequence numbers may have wrapped before this worker came to listen.
    """

    suite: Suite
    ours: bytes
    theirs: bytes
    rollovers: int = 0

    def __repr__(self) -> str:
        return f"SrtpKeys({self.suite})"


class SetRemote(Message, tag=True, frozen=True, kw_only=True):
    """Say what was negotiated; sent again after each re-INVITE. SSRC and sequence go on. No answer.

    `codec` is a name of `codecs.catalog.BY_NAME`; `telephone_event` the payload type of RFC 4733 or None, and
    `telephone_event_hz` what durations of events count; `ptime` what the peer asked for. With `latch`, media goes
    to the first valid source instead of `address:port` (symmetric RTP, RFC 4961); it latches once for each
    SetRemote that changes the address, and goes back to that address if it is heard soon after. With `srtp`, media and
    RTCP are protected both ways, and nothing else is taken. A peer that answered with other numbers than
    `own_payload_type` and `own_telephone_event`, which we had offered, sends by those. It may change to a
    codec of `other_types`: OtherCodec tells of it.
    """

    address: str
    port: int
    rtcp_port: int
    codec: str
    payload_type: int
    telephone_event: int | None = None
    telephone_event_hz: int = 8000
    ptime: int = 20
    direction: Direction = "sendrecv"
    latch: bool = True
    srtp: SrtpKeys | None = None
    own_payload_type: int | None = None
    own_telephone_event: int | None = None
    other_types: tuple[int, ...] = ()


class CloseLeg(Message, tag=True, frozen=True, kw_only=True):
    """Stop everything on the leg, send RTCP BYE, free its ports. Answer: LegClosed, the leg's last message."""


class StartPlay(Message, tag=True, frozen=True, kw_only=True):
    """Play `path`, headerless little-endian 16-bit mono PCM at `rate_hz`, mapped into memory, never copied.

    `offset` is where to start. `loops` 0 repeats until stopped; `loop_pause` is the silence between
    repetitions. Each layer has one player: a new StartPlay ends the one that plays (PlayFinished
    `replaced`). Answer: PlayFinished, at its end.

    `available` is given for a file that still grows: so many samples are in it, GrowPlay says when there
    are more, and a play that has come to the end of what is there waits, silent. `ring` is given for a
    stream without an end: the file is a ring of so many samples, and sample n lies at n modulo `ring`; an
    `offset` that is not kept any more, or not there yet, is the nearest that is.
    """

    path: str
    rate_hz: int = 8000
    offset: int = 0
    loops: int = 1
    loop_pause: int = 0
    layer: Layer = "foreground"
    available: int | None = None
    ring: int = 0


class GrowPlay(Message, tag=True, frozen=True, kw_only=True):
    """There are `available` samples now in the growing file that `job` plays; with `complete`, that is all. No answer.

    Of a file that is truncated on completion, only what is available is ever touched.
    """

    available: int
    complete: bool = False


class StartTone(Message, tag=True, frozen=True, kw_only=True):
    """Play a named tone of `media.tones` (`ringback-us`, `beep`, `comfort-noise`). Answer: PlayFinished.

    `duration` 0 repeats the tone's cadence until stopped. It takes the foreground player.
    """

    tone: str
    duration: int = 0


class StopPlay(Message, tag=True, frozen=True, kw_only=True):
    """End the play or tone whose `job` this carries. Its PlayFinished says `stopped`."""


class SeekPlay(Message, tag=True, frozen=True, kw_only=True):
    """Move within, pause or resume the play whose `job` this carries. No answer.

    `to` is absolute, `by` relative; positions clamp at the start, and past the end the play is finished,
    or, if `strict`, nothing is done.
    """

    to: int | None = None
    by: int = 0
    paused: bool | None = None
    strict: bool = False


class SendDigits(Message, tag=True, frozen=True, kw_only=True):
    """Send `digits` (0-9 * # A-D; `,` and `w` wait 500 ms, `W` 1 s), by RFC 4733 where negotiated. Answer: DigitsSent.

    What plays meanwhile is muted while an event lasts. Without RFC 4733 the tones are sent in-band.
    """

    digits: str
    on: int = 100
    off: int = 100
    mode: Literal["auto", "rfc4733", "inband"] = "auto"


class StartRecording(Message, tag=True, frozen=True, kw_only=True):
    """Record into the spool file `path`. Answer: RecordingFinished.

    `began` is given when a recording goes on in a new worker, in seconds on CLOCK_MONOTONIC: what the file lacks of
    the time since then becomes silence.
    """

    path: str
    sides: Literal["heard", "sent", "mixed", "dual", "dual, sent first"] = "mixed"
    began: float = 0.0


class StopRecording(Message, tag=True, frozen=True, kw_only=True):
    """End the recording whose `job` this carries."""


class Join(Message, tag=True, frozen=True, kw_only=True):
    """Let the leg hear, and be heard by, all legs of `room`. No answer."""

    room: int


class Leave(Message, tag=True, frozen=True, kw_only=True):
    """Take the leg out of its room. No answer."""


class Watch(Message, tag=True, frozen=True, kw_only=True):
    """Report noise, or silence, or noise and then silence, each once: NoiseDetected, SilenceDetected.

    `noise` and `silence` are how many ms of it. With both, silence counts from the end of the noise only.
    Several watches may run on a leg, each a `job`.
    """

    noise: int | None = None
    silence: int | None = None
    detector: Detector = "energy"


class Unwatch(Message, tag=True, frozen=True, kw_only=True):
    """End the watch whose `job` this carries. No answer."""


class StartAmd(Message, tag=True, frozen=True, kw_only=True):
    """Tell a human from an answering machine on the leg. Answers: AmdState at each change, then MachineDetected.

    Times in ms; `silence_threshold` on the int16 scale.
    """

    initial_silence: int = 2500
    greeting: int = 1500
    after_greeting_silence: int = 800
    total_analysis_time: int = 5000
    minimum_word_length: int = 100
    between_word_silence: int = 50
    maximum_number_of_words: int = 2
    silence_threshold: int = 256
    maximum_word_length: int = 5000


class StopAmd(Message, tag=True, frozen=True, kw_only=True):
    """End the detection whose `job` this carries. No answer."""


class Drain(Message, tag=True, frozen=True, kw_only=True):
    """Take no more legs and exit once the last is closed. No answer."""


Command = (
    OpenLeg | SetRemote | CloseLeg | StartPlay | StartTone | StopPlay | SeekPlay | SendDigits
    | StartRecording | StopRecording | Join | Leave | Watch | Unwatch | StartAmd | StopAmd | GrowPlay | Drain
)  # fmt: skip

MAX_DATAGRAM: Final = 65536
"""Octets; larger than any message can be."""

encode: Final = msgspec.msgpack.Encoder().encode
decode_commands: Final = msgspec.msgpack.Decoder(list[Command]).decode
