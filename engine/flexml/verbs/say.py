"""Say: text to speech (reference, section Say)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...errors import PromptError
from ..attributes import attr, integer, seconds, voice_name
from ..verb import Call, Failed, Outcome
from .base import Verb


@dataclass(frozen=True, kw_only=True)
class Say(Verb):
    """Speak the text `loop` times, `loop_pause` seconds apart; 0 times is until the call ends."""

    name: ClassVar[str] = "Say"
    reads_markup: ClassVar[bool] = True

    voice: str = attr(
        voice_name(),
        default="man",
        says="Who speaks. A name that is not known, or that has no credentials, is replaced by another voice and "
        "noted on the timeline.",
    )
    loop: int = attr(integer(0, 100), default=1, says="How often it is spoken; 0: until the call ends.")
    loop_pause: int = attr(seconds(0, 300), default=0, says="The silence between two times.")

    @property
    def blank(self) -> bool:
        """Without text there is nothing to say."""
        return not self.text

    async def run(self, call: Call) -> Outcome:
        """Speak; what cannot be spoken, or not to its end, is noted, and the call goes on."""
        try:
            speech = await call.speech(self.text, self.voice)
            await call.play(speech, loops=self.loop, loop_pause_ms=self.loop_pause * 1000)
        except PromptError as error:
            call.note("Say: cannot be heard, or not to its end", line=self.line, error=str(error))
            return Failed()
        return None
