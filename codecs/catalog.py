"""Codecs by name: RTP payload types, clocks and sample rates (RFC 3551 table 4, RFC 7587, RFC 4733).

Pure data: no numpy, so that signalling can read it. Two rates must never be confused: `clock_hz` is
what RTP timestamps count, `rate_hz` is how many audio samples a second the codec carries. They differ
for G.722, whose RTP clock is 8 kHz by an old mistake that RFC 3551 section 4.5.2 keeps alive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True, slots=True)
class Codec:
    """One entry of the catalog.

    `octets_per_tick` is the payload size of one RTP clock tick, for codecs where that is constant
    (0 for Opus, whose packets vary); `static_type` is the payload type RFC 3551 assigns, if any.
    """

    name: str
    clock_hz: int
    rate_hz: int
    channels: int = 1
    static_type: int | None = None
    octets_per_tick: int = 0
    fmtp: str = ""

    @property
    def rtpmap(self) -> str:
        """The value of an `a=rtpmap` attribute after the payload type, e.g. `PCMU/8000`."""
        encoding = f"{self.name}/{self.clock_hz}"
        return encoding if self.channels == 1 else f"{encoding}/{self.channels}"


PCMU: Final = Codec(name="PCMU", clock_hz=8000, rate_hz=8000, static_type=0, octets_per_tick=1)
PCMA: Final = Codec(name="PCMA", clock_hz=8000, rate_hz=8000, static_type=8, octets_per_tick=1)
G722: Final = Codec(name="G722", clock_hz=8000, rate_hz=16000, static_type=9, octets_per_tick=1)
L16: Final = Codec(name="L16", clock_hz=16000, rate_hz=16000, octets_per_tick=2)
L16_8K: Final = Codec(name="L16", clock_hz=8000, rate_hz=8000, octets_per_tick=2)
OPUS: Final = Codec(
    name="opus",
    clock_hz=48000,
    rate_hz=16000,
    channels=2,
    fmtp="maxplaybackrate=16000;sprop-maxcapturerate=16000;useinbandfec=1",
)
TELEPHONE_EVENT: Final = Codec(name="telephone-event", clock_hz=8000, rate_hz=8000, fmtp="0-16")

AUDIO: Final = (PCMU, PCMA, G722, L16, L16_8K, OPUS)
"""Every audio codec that an offer or answer may name."""

BY_NAME: Final = {"PCMU": PCMU, "PCMA": PCMA, "G722": G722, "L16": L16, "L16/8000": L16_8K, "OPUS": OPUS}
"""Codecs by the (upper-case) names used in configuration and in media messages."""
NAMES: Final = {codec: name for name, codec in BY_NAME.items()}
"""Those names."""
