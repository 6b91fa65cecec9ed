"""Voices for the benches: UDP peers that talk by turns, and when each packet of theirs left and came to somebody.

Voices 2n and 2n + 1 are a pair. Each sends a packet every 20 ms, at a phase of its own within the tick, and speaks for
SPEAKS_S out of EVERY_S, while the other of the pair is silent: so both are found in a recording even where they are
mixed. A packet of speech is noise that is its voice's own, with the packet's number before it, in octets of mu-law.
Times are in seconds of the clock that the kernel stamps packets with.
"""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Callable
from typing import Final

import numpy as np
from bench_media import HERE, TICK_S, stamping_socket
from flexml.codecs.g711 import encode_ulaw
from flexml.media.control_ports import STAMP

EVERY_S: Final = 2.0
SPEAKS_S: Final = 0.6
FRAME: Final = 160
HEADER: Final = 12
DIGITS: Final = 4
BASE: Final = 100
"""A number is written in octets to this base, and noise has no others: mu-law's negative zero is beyond."""
CUT: Final = 16
"""Octets at the end of a packet that may be missing in a recording: where its delay drifts, the next begins earlier."""
SILENCE: Final = b"\xff" * FRAME
GOLDEN: Final = 0.618034
"""Multiples of it, modulo 1, are spread evenly however many there are: the phases."""


class Voices:
    """So many voices. `left[v][n]` is when `v` sent packet `n` of speech, `came[v][n]` when somebody received it."""

    def __init__(self, count: int) -> None:
        random = np.random.default_rng(1)
        self.left: list[dict[int, float]] = [{} for _ in range(count)]
        self.came: list[dict[int, float]] = [{} for _ in range(count)]
        self.late_s: float = 0.0  # by how much a packet left too late, at most
        self._noise = [random.integers(0, BASE, FRAME - DIGITS, np.uint8).tobytes() for _ in range(count)]
        self._whose = {noise: voice for voice, noise in enumerate(self._noise)}
        self._target: list[tuple[str, int] | None] = [None] * count
        self._sockets = [stamping_socket() for _ in range(count)]
        self._ends = {end.fileno(): end for end in self._sockets}
        self._poll = select.epoll()
        for descriptor in self._ends:
            self._poll.register(descriptor, select.EPOLLIN)
        self._order = sorted(range(count), key=_phase)
        self._sent = 0  # packets, silent and unsent ones too: the next is that of order[sent % count]
        self._begun = 0.0

    def port(self, voice: int) -> int:
        """Return where `voice` hears."""
        return int(self._sockets[voice].getsockname()[1])

    def aim(self, voice: int, port: int) -> None:
        """Let `voice` send there from now on."""
        self._target[voice] = (HERE, port)

    def run(self, seconds: float, meanwhile: Callable[[], object]) -> None:
        """Talk for `seconds`; `meanwhile` is called each millisecond or so, and must not take long."""
        self._begun = self._begun or time.time()
        end = time.time() + seconds
        while (now := time.time()) < end:
            while (due := self._due()) <= now:
                self.late_s = max(self.late_s, now - due)
                self._say(self._order[self._sent % len(self._order)], self._sent // len(self._order))
                self._sent += 1
            self._hear(min(0.001, due - now))
            meanwhile()

    def find(self, voice: int, samples: np.ndarray) -> dict[int, int]:
        """Return where in `samples`, int16, each packet of the voice begins that is there, by its number."""
        octets, noise = encode_ulaw(samples.astype(np.float32)).tobytes(), self._noise[voice][:-CUT]
        found: dict[int, int] = {}
        at = octets.find(noise)
        while at >= DIGITS:
            found[_number(octets[at - DIGITS : at])] = at - DIGITS
            at = octets.find(noise, at + len(noise))
        return found

    def _due(self) -> float:
        round_, place = divmod(self._sent, len(self._order))
        return self._begun + (round_ + _phase(self._order[place])) * TICK_S

    def _say(self, voice: int, number: int) -> None:
        target = self._target[voice]
        if target is None:
            return
        header = struct.pack("!BBHII", 0x80, 0, number % 65536, number * FRAME % 2**32, 4242 + voice)
        if not speaks(voice, number):
            self._sockets[voice].sendto(header + SILENCE, target)
            return
        digits = bytes(number // BASE**place % BASE for place in range(DIGITS))
        self.left[voice][number] = time.time()
        self._sockets[voice].sendto(header + digits + self._noise[voice], target)

    def _hear(self, wait_s: float) -> None:
        for descriptor, _ in self._poll.poll(max(0.0, wait_s), len(self._ends)):
            octets, ancillary, _, _ = self._ends[descriptor].recvmsg(200, 64)
            voice = self._whose.get(octets[HEADER + DIGITS :])
            if voice is not None:
                seconds, nanoseconds = STAMP.unpack(ancillary[0][2])
                self.came[voice][_number(octets[HEADER : HEADER + DIGITS])] = seconds + nanoseconds / 1e9


def speaks(voice: int, number: int) -> bool:
    """Whether the voice's packet of that number is speech."""
    return (number * TICK_S + voice % 2 * EVERY_S / 2) % EVERY_S < SPEAKS_S


def turn(number: int) -> int:
    """Return in which stretch of speech packet `number` is."""
    return round(number * TICK_S // (EVERY_S / 2))


def _phase(voice: int) -> float:
    return voice * GOLDEN % 1


def _number(digits: bytes) -> int:
    return sum(digit * BASE**place for place, digit in enumerate(digits))
