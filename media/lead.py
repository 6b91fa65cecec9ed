"""How long after its tick's deadline a packet leaves: the same for all ticks, so that their work does not show.

Packets that leave when they are ready carry the spread of the tick's work in their intervals. So they are held up to
a time that nearly every tick keeps: 5 ms after the deadline, and more where ticks take more. More is delay that
everybody hears, so it is the least of STEPS_S that will do, and goes back once it has not been needed for minutes.
On its way from one to the other the lead moves by GLIDE_S a tick. Nothing here reads a clock.
"""

from __future__ import annotations

from typing import Final

STEPS_S: Final = (0.005, 0.010, 0.015, 0.018)
"""Sending and what follows it must find room behind the last of them, or the next tick begins late."""

GLIDE_S: Final = 0.0005

REVIEW_TICKS: Final = 250
"""5 s: what happens rarely within it is no reason to let everybody wait."""

OFTEN: Final = 3
"""Ticks of a review: a hundredth of them may be seen in the intervals."""

CALM_REVIEWS: Final = 36
"""3 minutes in which the step before would have done."""

SPARE: Final = 0.8
"""What of the step before may be needed for that, so that it is not too little again at once."""

STALE_S: Final = 0.005
"""A tick that begins so late is behind another, or was kept from its core: that is no work of its own."""


class Lead:
    """The lead, learnt from when the packets of each tick were ready."""

    def __init__(self) -> None:
        self.now_s: float = STEPS_S[0]
        self._step: int = 0
        self._ticks: int = 0  # of this review
        self._unready: int = 0  # of them, at the lead
        self._uneasy: int = 0  # of them, at what is to spare of the step before
        self._calm: int = 0  # reviews in a row

    def add(self, begun_s: float, ready_s: float) -> None:
        """Take in a tick that began, and whose packets were ready, so many seconds after its deadline."""
        if begun_s < STALE_S:
            self._unready += ready_s > STEPS_S[self._step]
            self._uneasy += ready_s > SPARE * STEPS_S[max(0, self._step - 1)]
        self._ticks += 1
        if self._unready >= OFTEN:
            self._move(1)
        elif self._ticks == REVIEW_TICKS:
            self._review()
        goal_s = STEPS_S[self._step]
        self.now_s += min(max(goal_s - self.now_s, -GLIDE_S), GLIDE_S)

    def _review(self) -> None:
        self._calm = self._calm + 1 if self._uneasy < OFTEN else 0
        self._begin()
        if self._calm == CALM_REVIEWS:
            self._move(-1)

    def _move(self, steps: int) -> None:
        self._step = min(max(0, self._step + steps), len(STEPS_S) - 1)
        self._calm = 0
        self._begin()

    def _begin(self) -> None:
        self._ticks = self._unready = self._uneasy = 0
