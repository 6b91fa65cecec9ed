"""Forms whole, octet by octet, and broken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from flexml.engine.api.multipart import End, Form, Multipart, MultipartError, Octets, Part, boundary

FORM = (
    b"what comes before means nothing\r\n"
    b'--xyz\r\nContent-Disposition: form-data; name="name"\r\n\r\ngr\xc3\xbc\xc3\x9fe\r\n'
    b'--xyz  \r\nContent-Disposition: form-data; name="empty"\r\n\r\n\r\n'
    b'--xyz\r\nContent-Type: audio/wav\r\ncontent-disposition: form-data;name=file;filename="a;b \xc3\xbc.wav"\r\n\r\n'
    b"RIFF\r\n--xynot\r\n-\r\n--\r\n\x00\xff\r\n\r\n--xyz--\r\nand what comes after neither"
)
READ = [
    (Part("name", None, ""), "grüße".encode()),
    (Part("empty", None, ""), b""),
    (Part("file", "a;b ü.wav", "audio/wav"), b"RIFF\r\n--xynot\r\n-\r\n--\r\n\x00\xff\r\n"),
]


def read(form: bytes, size: int) -> list[tuple[Part, bytes]]:
    """The parts of a form that comes in pieces of so many octets."""
    parser, parts, ended = Multipart("xyz"), list[tuple[Part, bytes]](), list[End]()
    for at in range(0, len(form), size):
        for event in parser.feed(form[at : at + size]):
            if isinstance(event, Part):
                parts.append((event, b""))
            elif isinstance(event, Octets):
                parts[-1] = (parts[-1][0], parts[-1][1] + event.octets)
            else:
                ended.append(event)
    parser.close()
    assert ended == [End.PART] * len(parts) + [End.FORM]
    return parts


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_a_form_is_read_whatever_pieces_it_comes_in(size: int) -> None:
    assert read(FORM, size) == READ


def test_what_is_in_a_part_is_given_as_it_comes() -> None:
    parser = Multipart("xyz")
    parser.feed(b'--xyz\r\nContent-Disposition: form-data; name="file"\r\n\r\n')
    (event,) = parser.feed(bytes(100_000))
    assert isinstance(event, Octets)
    assert len(event.octets) > 99_990, "no more is held back than might be half a delimiter"


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (b"", "ends before"),
        (b"no delimiter", "ends before"),
        (b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\nabc', "ends before"),
        (b"--xyz\r\n\r\nabc\r\n--xyz--", "names it"),
        (b"--xyz\r\nContent-Disposition: attachment; name=a\r\n\r\nabc\r\n--xyz--", "names it"),
        (b"--xyz\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--xyz--", "names it"),
        (b"--xyz\r\nContent-Disposition: \xff\r\n\r\nabc\r\n--xyz--", "not UTF-8"),
        (b"--xyzabc\r\n", "followed by"),
        (b"--xyz\r\nA: " + b"b" * 9000, "more than 8192"),
        (b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 70, "more than 64 parts"),
    ],
)
def test_what_is_no_form_is_refused(form: bytes, said: str) -> None:
    with pytest.raises(MultipartError, match=said):
        read(form, 100)


@pytest.mark.parametrize("given", ["multipart/form-data", "multipart/form-data; boundary=", "a; boundary=" + "x" * 71])
def test_a_boundary_has_to_be_said(given: str) -> None:
    with pytest.raises(MultipartError, match="boundary"):
        boundary(given)


@pytest.mark.parametrize(
    ("given", "found"), [("multipart/form-data; boundary=x", "x"), ('a/b; c=d; boundary="a b"', "a b")]
)
def test_a_boundary_is_read(given: str, found: str) -> None:
    assert boundary(given) == found


def test_parts_are_read_one_by_one() -> None:
    small = b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\nabc\r\n' * 3 + b"--xyz--"

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(small), 5):
            yield small[at : at + 5]

    async def main() -> None:
        form = Form(chunks(), "multipart/form-data; boundary=xyz")
        assert await form.part() == Part("a", None, "")
        assert await form.text(3) == "abc"
        assert await form.part() == Part("a", None, ""), "of this one nothing is read"
        assert await form.part() == Part("a", None, "")
        with pytest.raises(MultipartError, match="more than 2"):
            await form.text(2)
        assert await form.part() is None

    asyncio.run(main())
