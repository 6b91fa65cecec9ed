"""What all verbs and nouns have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ..attributes import Kind, text
from ..verb import Call, Goto, Method, Outcome

PROMPTS: Final = ("Say", "Play", "Pause", "Wait")
"""What may stand inside Gather and PreAnswer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contradiction:
    """Attributes that do not go together: the one to name, what is wrong with it, and what would be right."""

    attribute: str
    found: str
    allowed: str


@dataclass(frozen=True, kw_only=True)
class Element:
    """One element of a document. `text` has passed `content`, `children` are of the kinds in `nests`."""

    name: ClassVar[str]
    content: ClassVar[Kind[Any]] = text()
    reads_text: ClassVar[bool] = True
    """False where text inside means nothing, and is noted."""
    reads_markup: ClassVar[bool] = False
    """True where what is inside may be marked up (`ssml`), and becomes text."""
    nests: ClassVar[tuple[str, ...]] = ()

    line: int = 0
    text: str = ""
    children: tuple[Element, ...] = ()

    @property
    def blank(self) -> bool:
        """True if the element has nothing to do, and is skipped for that (decisions, section 1)."""
        return False

    @property
    def contradiction(self) -> Contradiction | None:
        """What is wrong with the attributes taken together, each of which may be right by itself."""
        return None

    @property
    def answers(self) -> bool:
        """True if an unanswered call is answered before the verb runs (decisions, section 4)."""
        return True


@dataclass(frozen=True, kw_only=True)
class Noun(Element):
    """An element that only means something inside its verb."""


@dataclass(frozen=True, kw_only=True)
class Verb(Element):
    """An element that does something."""

    @property
    def audible(self) -> bool:
        """True if the parties may notice that it runs: documents that are never heard must not go on for ever."""
        return True

    async def run(self, call: Call) -> Outcome:
        """Carry the verb out and say where control goes."""
        raise NotImplementedError

    async def prompt(self, call: Call) -> None:
        """Be a prompt of Gather: only be heard; keys and control are Gather's."""
        await self.run(call)


def goto(url: str | None, method: Method, data: dict[str, object] | None = None) -> Goto | None:
    """Where an action attribute leads; None without one."""
    return Goto(url=url, method=method, data=data or {}) if url else None
