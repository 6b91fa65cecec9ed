"""Pieces of speech joined in one file, which can be played while further pieces are appended.

Beside `<key>.pcm` lies `<key>.growing` until the last piece is in: where that is found and nobody appends, the
engine ended before, and neither file is of use. The methods block on the disk: call them in a thread.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .voices import TAIL_MS

SAMPLE: Final = 2
MARK: Final = ".growing"


class Joined:
    """A file at `path` that grows."""

    def __init__(self, path: Path, rate_hz: int) -> None:
        self.path, self._rate_hz = path, rate_hz
        self.samples = 0

    def begin(self) -> None:
        """Make it anew, without touching what somebody may still have mapped."""
        self._mark.touch()
        self.path.unlink(missing_ok=True)
        self.path.touch(exist_ok=False)

    def append(self, piece: Path | None, pause_ms: int) -> None:
        """Append a piece that ends in TAIL_MS of silence, so that `pause_ms` follow it; 0 keeps its tail.

        Without a piece only the pause is appended.
        """
        octets = piece.read_bytes() if piece else bytes(self._octets(TAIL_MS))
        change = self._octets((pause_ms or TAIL_MS) - TAIL_MS)
        octets = octets[:change] if change < 0 else octets + bytes(change)
        with self.path.open("ab") as file:
            file.write(octets)
        self.samples += len(octets) // SAMPLE

    def complete(self) -> None:
        """Say that nothing more comes."""
        self._mark.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Remove it. Who has mapped it keeps what he has."""
        self.path.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)

    @property
    def left_over(self) -> bool:
        """Whether it was begun and not completed."""
        return self._mark.exists()

    @property
    def _mark(self) -> Path:
        return self.path.with_suffix(MARK)

    def _octets(self, ms: int) -> int:
        return ms * self._rate_hz // 1000 * SAMPLE
