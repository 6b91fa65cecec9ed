"""Every attribute of every verb has a test on the wire: the declarations, compared with what `shows` has collected."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest
from attribute_table import SHOWN
from flexml.engine.flexml.verbs import NOUNS, VERBS, declarations

LATER: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
"""What no test shows yet, by the reason."""

ATTRIBUTES: Final = frozenset(f"{element}.{attribute.name}" for element, attribute in declarations())
ELEMENTS: Final = frozenset(element.name for element in (*VERBS, *NOUNS))
WAITING: Final = frozenset(name for names in LATER.values() for name in names)


@pytest.fixture(scope="module")
def shown() -> frozenset[str]:
    """What the tests beside this one show; an element is shown by any of its attributes."""
    for path in Path(__file__).parent.glob("test_attributes_*.py"):
        importlib.import_module(path.stem)
    return frozenset(SHOWN) | {name.partition(".")[0] for name in SHOWN}


@pytest.mark.parametrize("name", sorted((ATTRIBUTES | ELEMENTS) - WAITING))
def test_what_is_declared_has_a_test_on_the_wire(name: str, shown: frozenset[str]) -> None:
    assert name in shown


def test_what_is_shown_is_declared(shown: frozenset[str]) -> None:
    assert shown <= ATTRIBUTES | ELEMENTS


def test_what_is_for_later_is_declared_and_has_no_test_yet(shown: frozenset[str]) -> None:
    assert WAITING <= ATTRIBUTES | ELEMENTS
    assert WAITING.isdisjoint(shown)


def test_what_has_no_effect_yet_is_for_later() -> None:
    without = {f"{element}.{attribute.name}" for element, attribute in declarations() if not attribute.effect}
    assert without <= WAITING
