"""The dials of a module, all under way at the same time, and what is left of them in the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final

from attribute_table import BETWEEN_CALLS_S
from dial_story import Nobody, Party, Story
from engine_process import EngineProcess, tracebacks
from uas import Uas

START_S: Final = 10.0
SOON_S: Final = 2.0
GONE_S: Final = 40.0
"""How long a party may take that answers nothing any more (RFC 3261 timer F, 32 s)."""


class Stories:
    """The dials of a module, and the engine that places them."""

    def __init__(self, stories: Mapping[str, Story], engine: EngineProcess) -> None:
        self.engine = engine
        self._stories = stories
        self._log_start = engine.log_path.stat().st_size

    def __getitem__(self, test: str) -> Story:
        """The dial of the test with that id."""
        return self._stories[test]

    def __enter__(self) -> Stories:
        with ExitStack() as ends:
            parties = [party for story in self._stories.values() for party in story.parties]
            for party in parties:
                ends.enter_context(party)
            wait_until(lambda: _all_listen(parties))
            for story in self._stories.values():
                story.begin(self.engine)
                ends.callback(story.close)
                time.sleep(BETWEEN_CALLS_S)
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()
        assert tracebacks(self.engine.log(self._log_start)) == []

    def left(self) -> tuple[list[int], list[int]]:
        """What is left of all dials when SIP has lost its patience too: RTP ports; how often who heard of the end."""
        for story in self._stories.values():
            assert story.status
        wait_until(lambda: not self.engine.live_calls(), SOON_S)
        wait_until(lambda: not self.engine.ending(), GONE_S)
        assert all(trunk["calls"] == 0 for trunk in self.engine.trunks())
        first, last = self.engine.rtp_ports
        told = [len(story.line.requests("status")) for story in self._stories.values()]
        return sorted(port for port in bound() if first <= port <= last), [count for count in told if count != 1]


def _all_listen(parties: Iterable[Party]) -> bool:
    """Whether all parties that are somebody do; fails with what those say that never will."""
    taken = bound()
    missing = [party for party in parties if not isinstance(party, Nobody) and party.port not in taken]
    assert [why for party in missing if isinstance(party, Uas) and (why := party.died())] == []
    return not missing


def bound() -> frozenset[int]:
    """The UDP ports of this machine that somebody has bound."""
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return frozenset(int(line.split()[1].rpartition(":")[2], 16) for line in lines)


def wait_until(fits: Callable[[], bool], within_s: float = START_S) -> None:
    """Wait until something is so; fails where it does not come to be."""
    deadline = time.monotonic() + within_s
    while not fits():
        assert time.monotonic() < deadline, f"not within {within_s:g} s"
        time.sleep(0.05)
