"""Text cut into pieces to speak: where sentences end, and how long ones are divided."""

from __future__ import annotations

import pytest
from flexml.engine.speech.pauses import pause
from flexml.engine.speech.reading import PARAGRAPH, clean
from flexml.engine.speech.sentences import (
    CLAUSE_MS,
    PARAGRAPH_MS,
    PHRASE_MS,
    SENTENCE_MS,
    Lengths,
    Piece,
    pieces,
    sentences,
)

LENGTHS = Lengths(first=60, later=120)

SENTENCES = [
    ("One. Two. Three.", ["One.", "Two.", "Three."]),
    ("What? No! Yes", ["What?", "No!", "Yes"]),
    ("Really?! Well", ["Really?!", "Well"]),
    ("Mr. Smith met Dr. Who on St. James St. in May.", ["Mr. Smith met Dr. Who on St. James St. in May."]),
    ("It is 3.14 m, e.g. here, i.e. there. Yes.", ["It is 3.14 m, e.g. here, i.e. there.", "Yes."]),
    ("See No. 5 on p. 7. Say no. No.", ["See No. 5 on p. 7.", "Say no.", "No."]),
    ("J. K. Rowling wrote it. So did I. Then", ["J. K. Rowling wrote it.", "So did I.", "Then"]),
    ("Jan. 5 is late. Right", ["Jan. 5 is late.", "Right"]),
    ("Well... maybe. Wait... What? …", ["Well... maybe.", "Wait...", "What?", "…"]),
    ("We close at 5 p.m. today.", ["We close at 5 p.m. today."]),
    ('He said "Yes." (Twice.) Good', ['He said "Yes."', "(Twice.)", "Good"]),
    ("Thank you for calling.Please wait", ["Thank you for calling.", "Please wait"]),
    ("Go to www.Example.com or a.b@Example.com now. Yes", ["Go to www.Example.com or a.b@Example.com now.", "Yes"]),
    ("One\ntwo", ["One two"]),
    ("One\n\ntwo", ["One", "two"]),
    ("你好！再见。", ["你好！", "再见。"]),
    ("...", ["..."]),
    ("", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), SENTENCES)
def test_a_sentence_ends_where_a_reader_would_end_it(text: str, wanted: list[str]) -> None:
    assert [piece.text for piece in sentences(clean(text))] == wanted


def test_pauses_follow_sentences_and_paragraphs_but_not_the_end() -> None:
    text = PARAGRAPH.join(["One. Two", "Three. Four."])
    assert pieces(text, LENGTHS) == [
        Piece("One.", SENTENCE_MS),
        Piece("Two", PARAGRAPH_MS),
        Piece("Three.", SENTENCE_MS),
        Piece("Four.", 0),
    ]


CUTS = [
    (
        "Please listen to all of the following choices, because they have changed since your last call to us.",
        [
            Piece("Please listen to all of the following choices,", CLAUSE_MS),
            Piece("because they have changed since your last call to us.", 0),
        ],
    ),
    (
        "Please enter the extension of the party you would like to reach followed by the pound sign",
        [
            Piece("Please enter the extension of the party you would like", PHRASE_MS),
            Piece("to reach followed by the pound sign", 0),
        ],
    ),
    (
        "Lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor",
        [
            Piece("Lorem ipsum dolor sit amet consectetur adipiscing elit sed", PHRASE_MS),
            Piece("do eiusmod tempor", 0),
        ],
    ),
    ("x" * 200, [Piece("x" * 60, PHRASE_MS), Piece("x" * 120, PHRASE_MS), Piece("x" * 20, 0)]),
]


@pytest.mark.parametrize(("text", "wanted"), CUTS)
def test_a_long_sentence_is_cut_at_the_best_place_there_is(text: str, wanted: list[Piece]) -> None:
    assert pieces(text, LENGTHS) == wanted


HUGE = {
    "prose": "The quick brown fox, it is said, jumps over 13 lazy dogs. " * 1130,
    "one word": "a" * 65536,
    "commas": ", " * 32768,
    "periods": "." * 65536,
    "periods and spaces": ". " * 32768,
    "quotes": '."' * 32768,
    "glued": "Aa." * 21845,
    "no spaces in Chinese": "好。" * 32768,
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE.keys())
def test_nothing_is_lost_or_too_long_however_long_the_text(text: str) -> None:
    text = clean(text)
    found = pieces(text, LENGTHS)
    assert "".join(piece.text for piece in found).replace(" ", "") == text.replace(" ", "")
    assert len(found[0].text) <= LENGTHS.first
    assert max(len(piece.text) for piece in found) <= LENGTHS.later
    assert all(piece.text.strip() == piece.text != "" for piece in found)


def test_pauses_of_the_text_are_kept_wherever_they_are() -> None:
    text = clean(f"{pause(1000)}One. Two {pause(200)} {pause(300)}, three.\n\nFour.{pause(2000)} ")
    assert pieces(text, LENGTHS) == [
        Piece("", 1000),
        Piece("One.", SENTENCE_MS),
        Piece("Two", 500),
        Piece(", three.", PARAGRAPH_MS),
        Piece("Four.", 2000),
    ]
    assert pieces(clean(pause(700)), LENGTHS) == [Piece("", 700)]


def test_pauses_in_a_row_are_ten_seconds_at_most() -> None:
    assert pieces(clean("One" + pause(60_000) * 50 + "two"), LENGTHS) == [Piece("One", 10_000), Piece("two", 0)]
