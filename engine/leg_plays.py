"""What plays on a leg: begun, moved, stopped, and played on where another worker takes the leg over.

A file that still grows is played as far as it has come; the worker is told how it grows until it is whole.
"""

from __future__ import annotations

from ..media.events import PlayFinished
from ..media.protocol import GrowPlay, SeekPlay, StartPlay, StartTone, StopPlay
from .growth import Growth
from .leg_line import LegLine
from .media_jobs import Play, Playback
from .stream import WORKER_START_S


class LegPlays:
    """The plays of one leg, by job."""

    def __init__(self, line: LegLine) -> None:
        self._line = line
        self._plays: dict[int, Play] = {}

    def start(self, command: StartPlay | StartTone, growth: Growth | None = None) -> Playback:
        """Begin a play or tone; `leg` and `job` are filled in, and `available` as far as `growth` has come."""
        line = self._line
        job = line.next_job()
        command = line.addressed(command, job)
        playback = Playback(self, job, line.loop.create_future())
        if line.closed:
            playback.finish(PlayFinished(leg=line.leg, job=job, reason="closed"))
            return playback
        play = self._plays[job] = Play(command, line.now, playback)
        if growth is not None and isinstance(command, StartPlay):
            play.command = command = line.addressed(command, job, available=growth.available)
            play.growing = line.loop.create_task(self._follow(job, growth))
        line.send(command)
        return playback

    async def _follow(self, job: int, growth: Growth) -> None:
        """Tell the worker how the file that `job` plays grows; be one of its listeners until the play ends."""
        with growth.listening():
            while (play := self._plays.get(job)) is not None:
                grown = GrowPlay(leg=self._line.leg, job=job, available=growth.available, complete=growth.complete)
                available = None if growth.complete else growth.available  # for a worker that takes over
                play.command = self._line.addressed(play.command, job, available=available)
                self._line.send(grown)
                if growth.complete:
                    return
                await growth.changed()

    def seek(self, job: int, *, by_ms: int, strict: bool = False) -> None:
        """Move a play by so many ms; `strict` leaves it where it is rather than at its end. No matter once it ended."""
        play = self._plays.get(job)
        if play is not None:
            play.move(0 if strict else by_ms, self._line.now)
            self._line.send(SeekPlay(leg=self._line.leg, job=job, by=by_ms, strict=strict))

    def stop(self, job: int) -> None:
        """Stop a play; nothing happens where it has ended."""
        play = self._plays.get(job)
        if play is not None:
            play.stopping = True
            self._line.send(StopPlay(leg=self._line.leg, job=job))

    def on_finished(self, event: PlayFinished) -> None:
        """Take how a play ended; nothing happens where the job is none that plays."""
        play = self._plays.pop(event.job, None)
        if play is not None:
            play.finish(event)

    def resume(self, now: float, *, flowing: bool) -> None:
        """Go on in another worker; `flowing` says that the peer hears us, so that its start is time that passes."""
        for play in list(self._plays.values()):
            self._resume(play, now, WORKER_START_S if flowing else 0.0)

    def _resume(self, play: Play, now: float, start_s: float) -> None:
        """Let a play go on where it will be once the worker is there; one that was to stop has stopped."""
        command, position = play.command, play.position(now)
        if play.stopping:
            leg = self._line.leg
            self.on_finished(PlayFinished(leg=leg, job=command.job, reason="stopped", position=position))
            return
        if play.steady:
            command = self._line.addressed(command, command.job, offset=position + int(start_s * 1000))
        self._line.send(command)

    def close(self) -> None:
        """End all that plays, with the leg."""
        for job, play in self._plays.items():
            play.finish(PlayFinished(leg=self._line.leg, job=job, reason="closed"))
        self._plays.clear()
