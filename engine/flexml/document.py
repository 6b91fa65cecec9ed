"""A FlexML document: bytes to verbs, checked whole before the first of them runs (decisions, section 1).

Pure: no network, no clock. Reading is tolerant where the meaning is plain (case, unknown attributes,
unknown voices, empty elements: these become notes) and strict where it is not: then it is one DocumentError,
and nothing of the document is carried out. URLs come out absolute.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from ..errors import DocumentError
from . import elements
from .attributes import Kind, attributes, resolve
from .ssml import Markup
from .verbs import BY_NAME, VERBS
from .verbs.base import Element, Verb

MAX_BYTES: Final = 65536
MAX_VERBS: Final = 1000
MOST_NOTES: Final = 100
"""Of one document: each is a line of the timeline, and of the log."""
KEPT: Final = 256
"""Documents that are kept as they were read, those of up to `_KEPT_BYTES`."""
_KEPT_BYTES: Final = 8192


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """What is to be run, and what was odd about it. `url` is where it came from, after redirects."""

    url: str
    verbs: tuple[Verb, ...] = ()
    notes: tuple[str, ...] = ()


def parse(
    body: bytes, *, url: str, charset: str = "", max_bytes: int = MAX_BYTES, max_verbs: int = MAX_VERBS
) -> Document:
    """Read the document served at `url`. Raises DocumentError. A blank body is a document without verbs.

    `charset` is that of the answer, for a body that does not say itself what it is written in.
    """
    if len(body) > max_bytes:
        raise DocumentError(f"a document of {len(body)} bytes", url=url, allowed=f"at most {max_bytes} bytes")
    return (_read_again if len(body) <= _KEPT_BYTES else _read)(body, url, charset, max_verbs)


def _read(body: bytes, url: str, charset: str, max_verbs: int) -> Document:
    root = elements.read(body, url=url, charset=charset)
    if root is None:
        return Document(url=url, notes=("the document is empty",))
    if root.tag.lower() != "response":
        raise DocumentError("root element", url=url, line=root.line, value=root.tag, allowed="Response")
    count = _count(root)
    if count > max_verbs:
        raise DocumentError(f"{count} verbs", url=url, allowed=f"at most {max_verbs}")
    reader = _Reader(url=url)
    allowed = tuple(verb.name for verb in VERBS)
    verbs = tuple(verb for verb in reader.children(root, "Response", allowed) if isinstance(verb, Verb))
    reader.notes.extend(f"Response: unknown attribute {name} is ignored" for name, _ in root.attributes)
    if root.text.strip():
        reader.notes.append("Response: text outside of verbs is ignored")
    if (further := len(reader.notes) - MOST_NOTES) > 0:
        reader.notes[MOST_NOTES:] = [f"Response: {further} further notes are left out"]
    return Document(url=url, verbs=verbs, notes=tuple(reader.notes))


_read_again = lru_cache(KEPT)(_read)
"""A document of which nothing can be changed is the same for every call that is answered with these bytes."""


def _count(element: elements.Element) -> int:
    return sum(1 + _count(child) for child in element.children)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reader:
    """One reading: where the document came from, and the notes so far."""

    url: str
    notes: list[str] = field(default_factory=list[str])

    def children(self, parent: elements.Element, name: str, allowed: tuple[str, ...]) -> tuple[Element, ...]:
        """The elements inside `parent`, those that are empty left out."""
        found = [self._element(child, name, allowed) for child in parent.children]
        return tuple(element for element in found if element is not None)

    def _element(self, source: elements.Element, parent: str, allowed: tuple[str, ...]) -> Element | None:
        declared = BY_NAME.get(source.tag.lower())
        if declared is None or declared.name not in allowed:
            what = "unknown verb" if declared is None else f"{declared.name} inside {parent}"
            value = source.tag if declared is None else ""
            where = ", ".join(allowed) or "text only"
            raise DocumentError(what, url=self.url, line=source.line, verb=parent, value=value, allowed=where)
        values = self._attributes(source, declared)
        written, children = source.text, ()
        if declared.reads_markup:
            written = Markup(self.url, declared.name, self.notes.append).text(source)
        else:
            children = self.children(source, declared.name, declared.nests)
        text = self._value(source, declared.name, "", written, declared.content)
        element = declared(line=source.line, text=text, children=children, **values)
        if (wrong := element.contradiction) is not None:
            raise self._error(source, element.name, wrong.attribute, wrong.found, allowed=wrong.allowed)
        if source.text.strip() and not declared.reads_text:
            self.notes.append(f"{element.name}: its text is ignored (line {element.line})")
        if element.blank:
            self.notes.append(f"{element.name}: empty, skipped (line {element.line})")
            return None
        return element

    def _attributes(self, source: elements.Element, declared: type[Element]) -> dict[str, Any]:
        """The attributes' values by field, those that are given."""
        known = {each.name.lower(): each for each in attributes(declared)}
        values: dict[str, Any] = {}
        for name, text in source.attributes:
            attribute = known.get(name.lower())
            if attribute is None:
                self.notes.append(f"{declared.name}: unknown attribute {name} is ignored (line {source.line})")
                continue
            if attribute.field in values:
                raise self._error(source, declared.name, name, "attribute given twice, in different case")
            kind = attribute.kind
            try:
                values[attribute.field] = self._value(source, declared.name, attribute.name, text, kind)
            except DocumentError:
                if not kind.lenient:
                    raise
                values[attribute.field] = attribute.default
                note = f"{declared.name}: unknown {attribute.name} {text!r}; allowed: {kind.allowed}"
                self.notes.append(f"{note}; {attribute.default} is used (line {source.line})")
            if not attribute.effect:
                effect = f"{declared.name}: attribute {attribute.name} has no effect in this version"
                self.notes.append(f"{effect} (line {source.line})")
        for attribute in known.values():
            if attribute.required and attribute.field not in values:
                raise self._error(source, declared.name, attribute.name, "missing", allowed=attribute.kind.allowed)
        return values

    def _value(self, source: elements.Element, verb: str, attribute: str, text: str, kind: Kind[Any]) -> Any:
        try:
            value = kind.parse(text)
            return resolve(self.url, value) if kind.link else value
        except ValueError:
            empty = "" if text.strip() else "empty "
            found = empty + ("value" if attribute else "text")
            shown = "" if kind.private else text.strip()
            raise self._error(source, verb, attribute, found, value=shown, allowed=kind.allowed) from None

    def _error(
        self, source: elements.Element, verb: str, attribute: str, found: str, *, value: str = "", allowed: str = ""
    ) -> DocumentError:
        return DocumentError(
            found, url=self.url, line=source.line, verb=verb, attribute=attribute, value=value, allowed=allowed
        )
