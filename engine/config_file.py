"""Reads the configuration file and the environment into a Config.

The file is TOML: a [section] for each part, [[account]], [[did]] and [[trunk]] as often as wanted. A
variable FLEXML_<SECTION>_<KEY> overrides a setting of a [section]. Nothing stops at the first mistake:
every problem is collected, with its place, what was found and what is allowed, and raised together.

Relative paths in the file are relative to the directory that the file is in; without a file, and in
variables, to the working directory.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .config import LISTS, SECTIONS, Config
from .config_checks import check
from .config_tables import ENVIRONMENT, Place, Problems, read_list, read_section, unknown
from .errors import ConfigError

HEADER: Final = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_-]+)\s*\]\]?\s*(#.*)?$")
KEY: Final = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")
SYNTAX_PLACE: Final = re.compile(r" \(at line (\d+), column \d+\)$")


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """Read `path` (None: defaults only) and the FLEXML_ variables of `environment`.

    Raises ConfigError with a line for each problem, in the order of the file.
    """
    source = str(path) if path else "configuration"
    text = _read_text(path) if path else ""
    data = _parse(text, source)
    problems = Problems(source, find_lines(text))
    base = path.absolute().parent if path else Path.cwd()
    for name in data:
        if name not in SECTIONS and name not in LISTS:
            problems.at(unknown("section", name, (*SECTIONS, *LISTS)), (name, 0, ""), ("", 0, name))
    overrides = _find_overrides(environment, problems)
    values: dict[str, Any] = {"source": str(path) if path else ""}
    for name, shape in SECTIONS.items():
        values[name] = read_section(name, shape, data.get(name, {}), overrides.get(name, {}), base, problems)
    for name, (attribute, shape) in LISTS.items():
        values[attribute] = read_list(name, shape, data.get(name, []), base, problems)
    if not problems:
        config = Config(**values)
        for text, place in check(config):
            problems.at(text, place, (*place[:2], ""))
        if not problems:
            return config
    raise ConfigError(problems.in_order())


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 at octet {error.start}"]) from error


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = SYNTAX_PLACE.search(str(error))
        line = f":{place[1]}" if place else ""
        raise ConfigError([f"{source}{line}: not TOML: {SYNTAX_PLACE.sub('', str(error))}"]) from error


def find_lines(text: str) -> dict[Place, int]:
    """Where every section and key stands, which tomllib does not tell; lines count from 1."""
    lines: dict[Place, int] = {}
    count: dict[str, int] = {}
    section, index = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if header := HEADER.match(line):
            section = header[1]
            index = count.get(section, 0)
            count[section] = index + 1
            lines[section, index, ""] = number
        elif key := KEY.match(line):
            lines.setdefault((section, index, key[1]), number)
    return lines


def _find_overrides(environment: Mapping[str, str], problems: Problems) -> dict[str, dict[str, str]]:
    """The FLEXML_ variables that name a section, by section and key; other variables are not ours to judge.

    But one that is all but a setting's is a problem.
    """
    overrides: dict[str, dict[str, str]] = {}
    for variable, text in environment.items():
        section, _, key = variable.removeprefix(ENVIRONMENT).lower().partition("_")
        if variable.startswith(ENVIRONMENT) and section in SECTIONS:
            overrides.setdefault(section, {})[key] = text
        elif variable.startswith(ENVIRONMENT) and _is_nearly(section, key):
            problems.in_variable(variable, unknown("section", section, SECTIONS))
    return overrides


def _is_nearly(section: str, key: str) -> bool:
    """Whether there is a section of about that name with a setting of just that one."""
    near = difflib.get_close_matches(section, SECTIONS, n=1)
    return any(key == entry.name for name in near for entry in dataclasses.fields(SECTIONS[name]))
