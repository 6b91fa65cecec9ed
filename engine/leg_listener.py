"""Who hears of what happens on a leg in a media worker."""

from __future__ import annotations

from typing import Protocol

from ..media.events import LegStats
from ..media.protocol import DigitSource
from .media_jobs import Detected


class LegListener(Protocol):
    """Who hears of what happens on a leg by itself."""

    def on_digit(self, digit: str, source: DigitSource) -> None:
        """A key was pressed."""
        ...

    def on_detected(self, event: Detected) -> None:
        """Something listened for was heard, the last thing or one on the way to it."""
        ...

    def on_heard(self, address: str, port: int) -> None:
        """The first packet came in, from there."""
        ...

    def on_codec(self, codec: str) -> None:
        """The peer has changed to another of the codecs that were agreed, and so have we."""
        ...

    def on_report(self, stats: LegStats) -> None:
        """What was counted from the start until now, every ten seconds."""
        ...

    def on_silent(self, silent_ms: int) -> None:
        """No packet has come for that long."""
        ...

    def on_replaced(self, uncounted_s: float) -> None:
        """Another worker goes on with the leg; what the one before counted in so many seconds is lost with it."""
        ...


class Nobody:
    """Hears of a leg that is closed. Who heard of it before has the leg, and would have itself through it."""

    def on_digit(self, digit: str, source: DigitSource) -> None: ...
    def on_detected(self, event: Detected) -> None: ...
    def on_heard(self, address: str, port: int) -> None: ...
    def on_codec(self, codec: str) -> None: ...
    def on_report(self, stats: LegStats) -> None: ...
    def on_silent(self, silent_ms: int) -> None: ...
    def on_replaced(self, uncounted_s: float) -> None: ...
