"""Bytes of a FlexML document to plain elements: the only module that knows lxml.

Well-formedness is XML 1.0's, duplicate attributes included (section 3.1). What an application must not be
able to do through its document is refused here: no DTD and so no entities of its own, no network, no
nesting that could exhaust the stack. Names are told apart without namespaces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from encodings import normalize_encoding
from typing import Any, Final

# lxml.etree is a compiled module without stubs, so type checkers cannot see that it is there.
from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

from ..errors import DocumentError

_UTF8_MARK: Final = b"\xef\xbb\xbf"
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_DECLARED: Final = re.compile(rb"<\?xml[^>]*\sencoding\s*=")
_PYTHONS_OWN: Final = frozenset({"idna", "punycode", "raw_unicode_escape", "unicode_escape"})
"""Codecs of Python's that are nobody's charset: they change what is in a document, or take a second to read it."""
_HTML: Final = re.compile(rb"(<\?xml[^>]*\?>)?\s*<(!doctype\s+html|html)\b", re.IGNORECASE)
_BARE: Final = "&amp; for &"
_NAMED: Final = "the entities amp, lt, gt, quot and apos, and numbers such as &#160;"
_MENDED: Final = {"xmlParseEntityRef: no name": _BARE, "EntityRef: expecting ';'": _BARE, "Entity '": _NAMED}
"""How libxml2's messages begin whose words do not tell an application what to write instead, and what that is."""
_NO_TAG: Final = "Start tag expected"
_SHOWN: Final = 40
"""Octets of a body that is no XML."""
_DEEPEST: Final = 16
"""Levels of elements; FlexML has four (Response, Dial, Number)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Element:
    """One XML element; `content` is its character data and its children, in order."""

    tag: str
    line: int
    attributes: tuple[tuple[str, str], ...]
    content: tuple[str | Element, ...]

    @property
    def text(self) -> str:
        """Its own character data, that of its children left out."""
        return "".join(part for part in self.content if isinstance(part, str))

    @property
    def children(self) -> tuple[Element, ...]:
        """The elements in it."""
        return tuple(part for part in self.content if isinstance(part, Element))


def read(body: bytes, *, url: str, charset: str = "") -> Element | None:
    """The root element of `body`, None if `body` is blank. Raises DocumentError with `url` and the line.

    `charset` says what it is written in, where neither a byte order mark nor its XML declaration does.
    """
    mark = _UTF8_MARK if body.startswith(_UTF8_MARK) else b""
    markup = body[len(mark) :].lstrip(b" \t\r\n")
    if not markup:
        return None
    # White space before an XML declaration is an error in XML and common in templates; lines still count from the top.
    skipped = body[: len(body) - len(markup)].count(b"\n")
    markup = mark + markup if mark else _as_utf8(markup, charset)
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, remove_comments=True, remove_pis=True
    )
    try:
        root: Any = etree.fromstring(markup, parser)
    except etree.XMLSyntaxError as error:
        raise _malformed(error.msg, markup.removeprefix(mark), url, (error.lineno or 0) + skipped) from None
    if _HTML.match(markup):
        raise _html(url, 1 + skipped)
    if root.getroottree().docinfo.doctype:
        raise DocumentError("a DTD", url=url, line=1 + skipped, allowed="documents without a DTD")
    return _element(root, url, skipped, depth=1)


def _malformed(said: str, markup: bytes, url: str, line: int) -> DocumentError:
    """What libxml2 says of it, or what it is instead of XML."""
    if _HTML.match(markup):
        return _html(url, line)
    if said.startswith(_NO_TAG):
        begins = markup[:_SHOWN].decode(errors="replace")
        return DocumentError("malformed XML: it begins with", url=url, line=line, value=begins, allowed="<Response>")
    allowed = next((mended for begins, mended in _MENDED.items() if said.startswith(begins)), "")
    return DocumentError(f"malformed XML: {said}", url=url, line=line, allowed=allowed)


def _html(url: str, line: int) -> DocumentError:
    return DocumentError("a page of HTML", url=url, line=line, allowed="XML with the root Response")


def _as_utf8(markup: bytes, charset: str) -> bytes:
    """The markup as XML reads it unless told otherwise; as it is, where it tells, or is not in that charset.

    For RFC 7303 section 3.2 the charset goes before what the declaration says. But servers name their own default,
    unasked, and the documents that come so have always been read by what they say themselves.
    """
    if not charset or markup.startswith(_UTF16_MARKS) or _DECLARED.match(markup):
        return markup
    if normalize_encoding(charset).lower() in _PYTHONS_OWN:
        return markup
    try:
        return markup.decode(charset).encode()
    except (LookupError, UnicodeError):
        return markup


def _element(node: Any, url: str, skipped: int, *, depth: int) -> Element:
    line = int(node.sourceline) + skipped
    if depth > _DEEPEST:
        raise DocumentError("elements nested too deeply", url=url, line=line, allowed=f"{_DEEPEST} levels")
    content: list[str | Element] = [node.text or ""]
    for child in node:
        content += [_element(child, url, skipped, depth=depth + 1), child.tail or ""]
    attributes = tuple((_local(name), str(value)) for name, value in node.attrib.items())
    return Element(tag=_local(node.tag), line=line, attributes=attributes, content=tuple(filter(None, content)))


def _local(name: str) -> str:
    return name.rpartition("}")[2]
