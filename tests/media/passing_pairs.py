"""Pairs of legs whose octets pass, how that is seen, and a table of what stops it.

Mu-law's negative zero is what tells: once decoded it is zero, which is encoded as the positive one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flexml.media.protocol import (
    Command,
    Join,
    Leave,
    SendDigits,
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
from flexml.media.rtp import RtpBatch

from .rig import Rig, packet, payloads
from .test_hostile import EVENTS, TYPES

NEGATIVE_ZERO, POSITIVE_ZERO = b"\x7f", b"\xff"
ULAW: dict[str, Any] = {"telephone_event": EVENTS}
ALAW: dict[str, Any] = {"codec": "PCMA", "payload_type": 8, "telephone_event": EVENTS}
LATER = 1
"""Ticks by which the jitter buffer holds what came."""

NEVER = 1 << 40
ROOM = 5
SETTLED = 3
"""Ticks after which a pair passes: the first packet's delay, and one tick more than it takes to see it is free."""


def noise(ticks: int, seed: int = 1) -> bytes:
    """Octets of any value, every fourth of them negative zero."""
    octets = np.random.default_rng(seed).integers(0, 256, ticks * 160).astype(np.uint8)
    octets[::4] = NEGATIVE_ZERO[0]
    return octets.tobytes()


def positive(octets: bytes) -> bytes:
    """Octets with zeros that were decoded and encoded."""
    return octets.replace(NEGATIVE_ZERO, POSITIVE_ZERO)


def passed(octets: bytes) -> bool:
    """Say whether a packet's octets are as they came."""
    return set(octets[::4]) == set(NEGATIVE_ZERO)


def arrive(rig: Rig, row: int, octets: bytes, *, kind: int = 0, number: int = 0, ptime: int = 20) -> None:
    """Let octets come in from the next tick on, in packets of `ptime`, the first of which has this number."""
    size, first = ptime * 8, rig.network.tick
    for place in range(len(octets) // size):
        tick = first + (place * size + size - 1) // 160
        stamp = number * size + place * size
        said = octets[place * size : (place + 1) * size]
        rig.network.arrive(tick, row, packet(number + place, said, kind=kind, stamp=stamp))


def lossy(dice: random.Random, ticks: int) -> list[tuple[int, int]]:
    """When which packet comes: some never, some twice, some late and out of order, and the clock a little slow."""
    return [
        (number + number // 700 + held, number)
        for number in range(ticks)
        if dice.random() > 0.03
        for held in [dice.choice([0] * 12 + [1, 2, 3])] * dice.choice([1] * 80 + [2])
    ]


def pair(first: dict[str, Any] = ULAW, second: dict[str, Any] = ULAW, **options: Any) -> Rig:
    rig = Rig(jitter_ms=20 * LATER, **options)
    for leg, remote in ((1, first), (2, second)):
        rig.leg(leg, **remote)
        rig.command(Join(leg=leg, room=ROOM))
    return rig


def passes(rig: Rig, ticks: int = 1) -> list[tuple[bool, bool]]:
    """Run, and say of each tick whether octets of mu-law passed to the first leg, and to the second."""
    return [(in_ulaw(sent, 0), in_ulaw(sent, 1)) for sent in rig.run(ticks)]


def in_ulaw(sent: RtpBatch, row: int) -> bool:
    """Say whether octets passed on `row`; what is negative zero in mu-law is an octet like others in A-law."""
    return passed(payloads([sent.where(sent.payload_type == TYPES["PCMU"])], row))


def talking(ticks: int = 200) -> Rig:
    """A pair whose octets pass, and go on coming."""
    rig = pair()
    for row in (0, 1):
        arrive(rig, row, noise(ticks, row))
    assert passes(rig, SETTLED + 5)[SETTLED:] == [(True, True)] * 5
    return rig


@dataclass(frozen=True, slots=True)
class Listener:
    """What begins something that listens to a leg or plays to it, and what ends it; nothing: it ends by itself.

    It goes on for 5 ticks at least, and octets pass again `after` that many at most.
    """

    begin: Callable[[int, Path], list[Command]]
    end: Callable[[int], list[Command]] = lambda leg: []
    after: int = 1


def play(**given: Any) -> Listener:
    return Listener(
        lambda leg, folder: [StartPlay(leg=leg, job=1, path=str(folder / "quiet"), loops=0, **given)],
        lambda leg: [StopPlay(leg=leg, job=1)],
    )


def held(**given: Any) -> Listener:
    after = SETTLED if "codec" in given else 1
    return Listener(
        lambda leg, folder: [Rig.remote(leg, **(ULAW | given))], lambda leg: [Rig.remote(leg, **ULAW)], after
    )


def recorded(sides: Any) -> Listener:
    return Listener(
        lambda leg, folder: [StartRecording(leg=leg, job=1, path=str(folder / "spool"), sides=sides)],
        lambda leg: [StopRecording(leg=leg, job=1)],
    )


def pressed(**given: Any) -> Listener:
    return Listener(lambda leg, folder: [SendDigits(leg=leg, job=1, digits="5", off=0, **given)], after=5)


LISTENERS = {
    "foreground": play(),
    "background": play(layer="background"),
    "aside": play(layer="aside"),
    "play at 16 kHz": play(rate_hz=16000),
    "aside at 16 kHz": play(layer="aside", rate_hz=16000),
    "tone": Listener(
        lambda leg, folder: [StartTone(leg=leg, job=1, tone="comfort-noise")], lambda leg: [StopPlay(leg=leg, job=1)]
    ),
    "play that ends": Listener(lambda leg, folder: [StartPlay(leg=leg, job=1, path=str(folder / "quiet"))], after=5),
    "recording of what is heard": recorded("heard"),
    "recording of what is sent": recorded("sent"),
    "recording of both": recorded("dual"),
    "watch for silence": Listener(
        lambda leg, folder: [Watch(leg=leg, job=1, silence=NEVER)], lambda leg: [Unwatch(leg=leg, job=1)]
    ),
    "watch by WebRTC": Listener(
        lambda leg, folder: [Watch(leg=leg, job=1, noise=NEVER, detector="webrtc")],
        lambda leg: [Unwatch(leg=leg, job=1)],
    ),
    "watch that fires": Listener(lambda leg, folder: [Watch(leg=leg, job=1, noise=100)], after=5),
    "answering machine": Listener(
        lambda leg, folder: [
            StartAmd(leg=leg, job=1, greeting=NEVER, total_analysis_time=NEVER, maximum_word_length=NEVER)
        ],
        lambda leg: [StopAmd(leg=leg, job=1)],
    ),
    "answering machine that is found": Listener(
        lambda leg, folder: [StartAmd(leg=leg, job=1, greeting=NEVER, maximum_word_length=100)], after=5
    ),
    "telephone events": pressed(),
    "tones of keys": pressed(mode="inband"),
    "hold, sendonly": held(direction="sendonly"),
    "hold, recvonly": held(direction="recvonly"),
    "hold, inactive": held(direction="inactive"),
    "hold, unspecified address": held(address="0.0.0.0"),
    "no telephone events": held(telephone_event=None),
    "another law": held(codec="PCMA", payload_type=8),
    "nobody there": Listener(lambda leg, folder: [Leave(leg=leg)], lambda leg: [Join(leg=leg, room=ROOM)]),
    "a third": Listener(lambda leg, folder: [Join(leg=3, room=ROOM)], lambda leg: [Leave(leg=3)]),
    "a third without a remote": Listener(lambda leg, folder: [Join(leg=4, room=ROOM)], lambda leg: [Leave(leg=4)]),
    "another room": Listener(
        lambda leg, folder: [Join(leg=leg, room=ROOM + 1)], lambda leg: [Join(leg=leg, room=ROOM)]
    ),
}
