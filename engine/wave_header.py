"""The header of a WAV file (RIFF) with 16-bit PCM: what one says, and how one is written."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import PromptError

PCM: Final = 1
EXTENSIBLE: Final = 0xFFFE
HEADER_OCTETS: Final = 44
MAX_OCTETS: Final = 2**32 - HEADER_OCTETS
"""Sizes have 32 bits: 74 hours of 8 kHz mono."""

MOST_CHUNKS: Final = 1000
"""So many are looked at for the samples: a stranger's file may be nothing but empty ones."""


@dataclass(frozen=True, slots=True)
class WaveFormat:
    """16-bit samples of so many channels, so often a second."""

    channels: int
    rate_hz: int

    @property
    def frame_octets(self) -> int:
        """Octets of one sample of all channels."""
        return 2 * self.channels


def wave_header(form: WaveFormat, octets: int) -> bytes:
    """The header before `octets` of samples. Raises PromptError where they are too many."""
    if octets > MAX_OCTETS:
        raise PromptError(f"{octets} bytes of sound; a WAV file holds {MAX_OCTETS}")
    per_second = form.rate_hz * form.frame_octets
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", HEADER_OCTETS - 8 + octets, b"WAVE",
        b"fmt ", 16, PCM, form.channels, form.rate_hz, per_second, form.frame_octets, 16,
        b"data", octets,
    )  # fmt: skip


def read_wave(path: Path) -> tuple[WaveFormat, int, int]:
    """Return what a WAV file holds: its format, where its samples begin, how many octets they are.

    Raises PromptError where it is none, or has other than one or two channels of 16-bit PCM.
    """
    form: WaveFormat | None = None
    with path.open("rb") as file:
        if file.read(4) != b"RIFF" or not file.read(4) or file.read(4) != b"WAVE":
            raise PromptError("the file to append to is no WAV file")
        for _ in range(MOST_CHUNKS):
            if len(head := file.read(8)) < 8:
                break
            name, size = struct.unpack("<4sI", head)
            at = file.tell()
            if name == b"fmt ":
                form = _format(file.read(min(size, 40)))
            elif name == b"data" and form is not None:
                held = min(size, path.stat().st_size - at)
                return form, at, held - held % form.frame_octets
            file.seek(at + size + size % 2)
    raise PromptError("the file to append to is a WAV file without samples")


def appendable(path: Path, rate_hz: int) -> tuple[WaveFormat, int, int]:
    """Return the same of a file of that rate. Raises PromptError where it has another one, too."""
    found = read_wave(path)
    if found[0].rate_hz != rate_hz:
        raise PromptError(f"the WAV file to append to has {found[0].rate_hz} Hz; expected {rate_hz}")
    return found


def _format(chunk: bytes) -> WaveFormat:
    if len(chunk) < 16:
        raise PromptError("the WAV file to append to has no format")
    tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag not in {PCM, EXTENSIBLE} or bits != 16 or channels not in {1, 2}:
        raise PromptError(
            f"the WAV file to append to has {channels} channels of {bits} bits, format {tag}; "
            "expected 1 or 2 of 16-bit PCM"
        )
    return WaveFormat(channels, rate_hz)
