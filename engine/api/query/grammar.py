"""The filter language: `state eq "NY" and phonenumber like "%555%"` (reference, section Result Filtering).

Operators are lower case, as there. A value is one bare word, or anything in single or double quotes; within quotes
nothing is special, so a value with quotes of one kind stands in the other. `in` and `notin` take a list in
parentheses. Here is only the form; what a field is, and takes, is `conditions`' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedInput, UnexpectedToken

MOST: Final = 4096
"""Characters that a filter may have."""

_TO_ONE: Final = "bit|eq|ge|gt|ilike|le|like|lt|ne"
_TO_LIST: Final = "in|notin"
GRAMMAR: Final = rf"""
start: condition (_AND condition)*
condition: FIELD OPERATOR _value
         | FIELD LIST_OPERATOR "(" _value ("," _value)* ")"
_value: WORD | SINGLE | DOUBLE

_AND: /and(?!\S)/
FIELD: /[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)*/
OPERATOR: /({_TO_ONE})(?![^\s"'])/
LIST_OPERATOR: /({_TO_LIST})(?![^\s(])/
WORD: /[^\s"'(),][^\s(),]*/
SINGLE: /'[^']*'/
DOUBLE: /"[^"]*"/
%ignore /\s+/
"""
*_OTHERS, _LAST = sorted(f"{_TO_ONE}|{_TO_LIST}".split("|"))
_OPERATOR: Final = f"an operator ({', '.join(_OTHERS)} or {_LAST})"
_SAID: Final = {
    "FIELD": "a field", "OPERATOR": _OPERATOR, "LIST_OPERATOR": _OPERATOR, "WORD": "a value",
    "SINGLE": "a value", "DOUBLE": "a value", "_AND": "'and'", "LPAR": "'('", "RPAR": "')'", "COMMA": "','",
    "$END": "the end",
}  # fmt: skip
"""The terminals of the grammar in words; those that mean the same to a reader have the same."""


class FilterError(Exception):
    """A filter cannot be used; `position` counts its characters from 1."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} at character {position}")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the filter, and where it begins, counted from 1. Values in quotes are without them."""

    text: str
    position: int
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison; `values` is one value but for `in` and `notin`."""

    field: Word
    operator: Word
    values: tuple[Word, ...]


def parse_filter(text: str) -> tuple[Condition, ...]:
    """Read a filter; a blank one has no conditions. Raises FilterError."""
    if len(text) > MOST:
        raise FilterError(f"longer than {MOST} characters; expected the end", MOST + 1)
    if not text.strip():
        return ()
    try:
        tree: Tree[Token] = _parser().parse(text)
    except UnexpectedInput as error:
        raise _explained(error, text) from None
    return tuple(_condition(one) for one in tree.children if isinstance(one, Tree))


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr")


def _condition(tree: Tree[Token]) -> Condition:
    field, operator, *values = (_word(token) for token in tree.children if isinstance(token, Token))
    return Condition(field, operator, tuple(values))


def _word(token: Token) -> Word:
    position = (token.start_pos or 0) + 1
    if token.type in {"SINGLE", "DOUBLE"}:
        return Word(token.value[1:-1], position, quoted=True)
    return Word(token.value, position)


def _explained(error: UnexpectedInput, text: str) -> FilterError:
    """What stands where something else was expected, and where."""
    ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    at = len(text) if ended or error.pos_in_stream is None else error.pos_in_stream
    expected: set[str] = set()
    if isinstance(error, UnexpectedToken):
        expected = set(error.accepts or error.expected)
    elif isinstance(error, UnexpectedCharacters):
        expected = set(error.allowed or ())
    found = repr(text[at : at + 20].split(None, 1)[0]) if text[at:].strip() else "the end"
    wanted = " or ".join(sorted({_SAID[name] for name in expected if name in _SAID}))
    return FilterError(f"found {found}; expected {wanted or 'something else'}", at + 1)
