"""How long things take at worst: of late, and those that are under way still."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

WINDOW_S: Final = 10.0


class Latency:
    """Measures what is done inside `measuring`. `clock` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._under_way: dict[object, float] = {}
        """When they began, the oldest first."""
        self._window, self._longest_s, self._before_s = 0, 0.0, 0.0

    @contextmanager
    def measuring(self) -> Generator[None]:
        """Measure what is done in the block, however it ends."""
        key, began = object(), self._clock()
        self._under_way[key] = began
        try:
            yield
        finally:
            del self._under_way[key]
            now = self._clock()
            self._turn_to(now)
            self._longest_s = max(self._longest_s, now - began)

    @property
    def worst_s(self) -> float:
        """The longest of what ended in this window of WINDOW_S or the one before, or has not ended yet."""
        now = self._clock()
        self._turn_to(now)
        oldest = next(iter(self._under_way.values()), now)
        return max(self._longest_s, self._before_s, now - oldest)

    def _turn_to(self, now: float) -> None:
        window = int(now // WINDOW_S)
        if window != self._window:
            self._before_s = self._longest_s if window == self._window + 1 else 0.0
            self._window, self._longest_s = window, 0.0
