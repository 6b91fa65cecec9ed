"""What is listened for on a leg: watches and detections, which another worker begins anew."""

from __future__ import annotations

from ..media.protocol import StartAmd, StopAmd, Unwatch, Watch
from .leg_line import LegLine
from .media_jobs import Detected, Listening


class LegListening:
    """What is listened for on one leg, by job."""

    def __init__(self, line: LegLine) -> None:
        self._line = line
        self._listening: dict[int, Listening] = {}

    def listen(self, command: Watch | StartAmd) -> Listening:
        """Begin a watch or a detection; `leg` and `job` are filled in."""
        command = self._line.addressed(command, self._line.next_job())
        listening = Listening(self, command, self._line.loop.create_future())
        if self._line.closed:
            listening.finished.set_result(None)
            return listening
        self._listening[command.job] = listening
        self._line.send(command)
        return listening

    def listen_no_more(self, command: Watch | StartAmd) -> None:
        """End a watch or a detection."""
        if self._listening.pop(command.job, None) is not None:
            end = Unwatch if isinstance(command, Watch) else StopAmd
            self._line.send(end(leg=self._line.leg, job=command.job))

    def hears(self, job: int) -> bool:
        """Whether that job is listened for still."""
        return job in self._listening

    def on_detected(self, event: Detected) -> None:
        """Take an event of what is listened for."""
        if self._listening[event.job].take(event):
            del self._listening[event.job]

    def on_failed(self, job: int) -> None:
        """Take that the worker cannot do it; nothing happens where the job is none of these."""
        if (listening := self._listening.get(job)) is not None:
            listening.stop()

    def resume(self) -> None:
        """Begin anew in another worker."""
        for listening in self._listening.values():
            self._line.send(listening.command)

    def close(self) -> None:
        """End all, with the leg."""
        for listening in list(self._listening.values()):
            listening.stop()
