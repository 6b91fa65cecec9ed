"""Turns the tables of a configuration file into the dataclasses of `config`, collecting what is wrong.

A problem names its place (file and line, or environment variable), what was found and what is allowed.
The text of a secret is never part of it.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from .config import KIND
from .config_kinds import Kind

ENVIRONMENT: Final = "FLEXML_"

Place = tuple[str, int, str]
"""Section, which of that name (from 0), key (empty for the header)."""


@dataclass(slots=True)
class Problems:
    """What is wrong so far; `lines` knows where things stand in the file `source`."""

    source: str
    lines: Mapping[Place, int]
    found: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def __len__(self) -> int:
        return len(self.found)

    def at(self, text: str, *places: Place) -> None:
        """Add a problem at the first of `places` that stands in the file."""
        line = next((self.lines[place] for place in places if place in self.lines), 0)
        self.found.append((line, f"{self.source}:{line}: {text}" if line else f"{self.source}: {text}"))

    def in_variable(self, variable: str, text: str) -> None:
        """Add a problem with an environment variable."""
        self.found.append((0, f"{variable} (environment): {text}"))

    def in_order(self) -> list[str]:
        """One line a problem, in the order of the file, variables first."""
        return [text for _, text in sorted(self.found, key=lambda problem: problem[0])]


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Say that `name` is not known, and which name is near it."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f'did you mean "{near[0]}"?' if near else "allowed: " + ", ".join(names)
    return f'unknown {what} "{name}"; {hint}'


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """One table of the file, to be read: [name], or [[name]] number `index`."""

    label: str
    name: str
    index: int
    data: Mapping[str, object]
    overrides: Mapping[str, str]
    base: Path

    def place(self, key: str = "") -> Place:
        """Where `key` stands, or the header."""
        return self.name, self.index, key

    def variable(self, key: str) -> str:
        """The environment variable that overrides `key`."""
        return f"{ENVIRONMENT}{self.name}_{key}".upper()

    def read(self, shape: type[Any], problems: Problems) -> Any:
        """The table as a `shape`; None where something was wrong with it."""
        before = len(problems)
        fields = {entry.name: entry for entry in dataclasses.fields(shape)}
        for key in self.data:
            if key not in fields:
                problems.at(f"{self.label} {unknown('setting', key, fields)}", self.place(key), self.place())
        for key in self.overrides:
            if key not in fields:
                problems.in_variable(self.variable(key), unknown("setting", key, fields))
        values = {key: self._value(entry, problems) for key, entry in fields.items()}
        return shape(**values) if len(problems) == before else None

    def _value(self, entry: dataclasses.Field[Any], problems: Problems) -> object:
        """One setting: from its variable, else from the file, else its default."""
        kind = cast("Kind[object]", entry.metadata[KIND])
        key, secret = entry.name, not entry.repr
        if key in self.overrides:
            text = self.overrides[key]
            try:
                return kind.resolve(kind.read(kind.from_text(text)), Path.cwd())
            except ValueError:
                problems.in_variable(self.variable(key), _misfit(text, kind, secret))
        elif key in self.data:
            found = self.data[key]
            try:
                return kind.resolve(kind.read(found), self.base)
            except ValueError:
                problems.at(f"{self.label} {key}: {_misfit(found, kind, secret)}", self.place(key), self.place())
        elif entry.default is dataclasses.MISSING:
            problems.at(f"{self.label} needs {key}; allowed: {kind.allowed}", self.place())
        else:
            return kind.resolve(entry.default, self.base)
        return None


def _misfit(found: object, kind: Kind[object], secret: bool) -> str:
    shown = "a value that does not fit" if secret else repr(found)
    quotes = ", in quotes" if isinstance(found, int | float) and _fits(str(found), kind) else ""
    return f"found {shown}; allowed: {kind.allowed}{quotes}"


def _fits(text: str, kind: Kind[object]) -> bool:
    try:
        kind.read(text)
    except ValueError:
        return False
    return True


def read_section(
    name: str, shape: type[Any], data: object, overrides: Mapping[str, str], base: Path, problems: Problems
) -> Any:
    """[name] as a `shape`; None where something was wrong."""
    if not isinstance(data, dict):
        problems.at(f"{name}: must be a table, [{name}]", (name, 0, ""), ("", 0, name))
        return None
    table = cast("dict[str, object]", data)
    return Table(label=f"[{name}]", name=name, index=0, data=table, overrides=overrides, base=base).read(
        shape, problems
    )


def read_list(name: str, shape: type[Any], data: object, base: Path, problems: Problems) -> tuple[Any, ...]:
    """Every [[name]] as a `shape`."""
    items = cast("list[object]", data) if isinstance(data, list) else [None]
    tables = [cast("dict[str, object]", item) for item in items if isinstance(item, dict)]
    if len(tables) < len(items):
        problems.at(f"{name}: must be tables, each under [[{name}]]", (name, 0, ""), ("", 0, name))
        return ()
    return tuple(
        Table(label=f"[[{name}]]", name=name, index=index, data=table, overrides={}, base=base).read(shape, problems)
        for index, table in enumerate(tables)
    )
