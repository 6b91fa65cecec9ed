"""The sweep of files that are past their time, in virtual time."""

from __future__ import annotations

import asyncio

import pytest
from flexml.engine.storage.lifecycle import SWEEP_S, keep

from ..virtual_time import run


class Stopped(BaseException):
    """The test has seen enough."""


class Shelf:
    """Files that are due at some second, of which two go in one sweep; at 30 s the disk is away."""

    def __init__(self, *due: float) -> None:
        self.due, self.swept, self.left_at = list(due), list[float](), dict[float, int]()

    async def sweep(self, now: float) -> int:
        if now > 4 * SWEEP_S:
            raise Stopped
        self.swept.append(now)
        if now == 2 * SWEEP_S:
            raise OSError("the disk is away")
        gone = [at for at in self.due if at <= now][:2]
        self.due = [at for at in self.due if at not in gone]
        self.left_at[now] = len(self.due)
        return len(gone)


def test_what_is_due_goes_within_a_minute_however_much_it_is_and_whatever_fails() -> None:
    async def main() -> None:
        shelf = Shelf(10, 20, 30, 40, 50, 100, 200)
        with pytest.raises(Stopped):
            await keep(shelf, asyncio.get_running_loop().time)
        assert shelf.left_at == {0: 7, SWEEP_S: 2, 3 * SWEEP_S: 1, 4 * SWEEP_S: 0}
        assert shelf.swept.count(2 * SWEEP_S) == 1

    run(main())
