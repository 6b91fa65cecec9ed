"""Redirect, Hangup and PreAnswer: where the call goes (reference, sections of those names)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..attributes import Kind, attr, http_method, url
from ..verb import Call, End, Failed, Goto, Method, Outcome
from .base import PROMPTS, Verb


def _target() -> Kind[str]:
    """A URL that is there: control cannot pass to nowhere, and back to the same document would be a guess."""
    link = url()

    def parse(value: str) -> str:
        if not value.strip():
            raise ValueError(value)
        return link.parse(value)

    return Kind(parse=parse, allowed=link.allowed, link=True)


@dataclass(frozen=True, kw_only=True)
class Redirect(Verb):
    """Pass control to the document that the text names."""

    name: ClassVar[str] = "Redirect"
    content = _target()

    method: Method = attr(http_method(), default="POST", says="How the document is requested.")

    @property
    def answers(self) -> bool:
        """The next document may want to reject."""
        return False

    async def run(self, call: Call) -> Outcome:
        """Go there at once."""
        del call
        return Goto(url=self.text, method=self.method)


@dataclass(frozen=True, kw_only=True)
class Hangup(Verb):
    """End the call, answered before if it was not."""

    name: ClassVar[str] = "Hangup"
    reads_text: ClassVar[bool] = False

    async def run(self, call: Call) -> Outcome:
        """Hang up."""
        await call.hang_up()
        return End()


@dataclass(frozen=True, kw_only=True)
class PreAnswer(Verb):
    """Be heard before the call is answered; on an answered call, just be heard."""

    name: ClassVar[str] = "PreAnswer"
    reads_text: ClassVar[bool] = False
    nests: ClassVar[tuple[str, ...]] = PROMPTS

    @property
    def answers(self) -> bool:
        """That is its point."""
        return False

    async def run(self, call: Call) -> Outcome:
        """Open early media, then run what is inside until something there passes control."""
        if not call.answered and not await call.early_media():
            call.note("PreAnswer: nobody hears it")
            return None
        for child in self.children:
            if not isinstance(child, Verb):
                continue
            outcome = await child.run(call)
            if isinstance(outcome, Goto | End) or (isinstance(outcome, Failed) and outcome.then):
                return outcome
        return None
