"""The verbs and nouns of FlexML, one table: what a document may name, and what the reference page lists."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from ..attributes import Attribute, attributes
from .amd import Amd
from .base import Element, Noun, Verb
from .control import Hangup, PreAnswer, Redirect
from .data import Dtmf, Override, Store
from .dial import Dial, Number
from .gather import Gather
from .pause import Pause, Wait
from .play import File, Play
from .record import Record
from .reject import Reject
from .say import Say
from .sms import Sms

VERBS: Final[tuple[type[Verb], ...]] = (
    Amd, Dial, Dtmf, Gather, Hangup, Override, Pause, Play, PreAnswer, Record, Redirect, Reject, Say, Sms, Store, Wait,
)  # fmt: skip
NOUNS: Final[tuple[type[Noun], ...]] = (File, Number)

BY_NAME: Final[MappingProxyType[str, type[Element]]] = MappingProxyType(
    {element.name.lower(): element for element in (*VERBS, *NOUNS)}
)
"""Every element but Response, by its name in lower case."""


def declarations() -> tuple[tuple[str, Attribute], ...]:
    """Every attribute of every element, with the element's name, in the order of the tables."""
    return tuple((element.name, each) for element in (*VERBS, *NOUNS) for each in attributes(element))
