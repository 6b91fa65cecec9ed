"""Write the reference of FlexML: a template, and what verbs and nouns declare of themselves.

    scripts/flexml_reference.py FILE

`{{summary Gather}}` in the template becomes what the class says of itself, `{{attributes Gather}}` its table,
`{{unanswered}}` the verbs that leave an unanswered call so, `{{reasons}}` the table of Reject.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from flexml.engine.flexml.attributes import Attribute, attributes
from flexml.engine.flexml.verbs import BY_NAME, VERBS
from flexml.engine.flexml.verbs.base import Element
from flexml.engine.flexml.verbs.reject import REASONS

TEMPLATE: Final = Path(__file__).with_suffix(".md")
LATER: Final = "**Not carried out in this version.**"


def page(template: str) -> str:
    """Return the page. Raises KeyError for a placeholder that is not known."""
    return re.sub(r"\{\{(\w+)(?: (\w+))?\}\}", lambda found: _part(found[1], found[2]), template)


def _part(what: str, name: str | None) -> str:
    if what == "unanswered":
        return ", ".join(f"`{verb.name}`" for verb in VERBS if not verb().answers)
    if what == "reasons":
        rows = [f"| `{reason}` | {status} {phrase} |" for reason, (status, phrase) in REASONS.items()]
        return "\n".join(["| reason | SIP status |", "| --- | --- |", *rows])
    element = BY_NAME[(name or "").lower()]
    return {"summary": summary, "attributes": table}[what](element)


def summary(element: type[Element]) -> str:
    """What the class says of itself, with attributes by their names in documents; what may stand inside."""
    said = (element.__doc__ or "").strip()
    for each in attributes(element):
        said = said.replace(f"`{each.field}`", f"`{each.name}`")
    inside = [f"May contain {', '.join(f'`{noun}`' for noun in element.nests)}."] if element.nests else []
    return " ".join([said, *inside])


def table(element: type[Element]) -> str:
    """The attributes in the order of declaration."""
    declared = attributes(element)
    if not declared:
        return "No attributes."
    return "\n".join(["| attribute | default | allowed | |", "| --- | --- | --- | --- |", *map(_row, declared)])


def _row(attribute: Attribute) -> str:
    says = attribute.says if attribute.effect else f"{attribute.says} {LATER}"
    allowed = attribute.kind.allowed.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_").replace("|", "\\|")
    return f"| `{attribute.name}` | {_default(attribute)} | {allowed} | {says} |"


def _default(attribute: Attribute) -> str:
    """The default as a document would have it; nothing where there is none."""
    if attribute.required:
        return "required"
    match attribute.default:
        case None | "":
            return ""
        case bool() as truth:
            return f"`{str(truth).lower()}`"
        case tuple() as words:
            return f"`{','.join(str(word) for word in words)}`"
        case value:
            return f"`{value}`"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(TEMPLATE.read_text(encoding="utf-8")), encoding="utf-8")
