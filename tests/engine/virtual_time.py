"""An event loop that never sleeps: with nothing ready, it jumps to its next timer.

For code whose only way to wait is the loop (timers, queues, tasks); sockets and threads are not waited for.
A wait that nothing would ever end is an error instead of a hang.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jump(selectors.SelectSelector):
    """Polls instead of waiting, and lets the time that was to be waited pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.turns = 0
        self.acts: dict[int, Callable[[], object]] = {}

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turns += 1
        if (act := self.acts.pop(self.turns, None)) is not None:
            act()
            timeout = 0
        ready = super().select(0)
        if timeout is None and not ready:
            raise RuntimeError("nothing is ready and no timer runs: this would wait for ever")
        if not ready:
            self.now += max(timeout or 0, 0)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at 0 s."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now

    @property
    def turns(self) -> int:
        """How often it has gone round."""
        return self._jump.turns

    def at_turn(self, turn: int, act: Callable[[], object]) -> None:
        """Have `act` called before what that turn runs."""
        self._jump.acts[turn] = act


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on a VirtualTimeLoop."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
