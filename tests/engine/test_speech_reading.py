"""Text as voices get it: cleaned, with numbers as the reference wants them; espeak-ng's phonemes are the witness."""

from __future__ import annotations

import subprocess

import pytest
from flexml.engine.speech.reading import PARAGRAPH, cardinal, clean, spoken

NUMBERS = [
    ("123", "one hundred twenty-three"),
    ("1 2 3", "one two three"),
    ("0", "zero"),
    ("Press 1, 2 or 3.", "Press one, two or three."),
    ("call 911!", "call nine hundred eleven!"),
    ("1,234,567", "one million two hundred thirty-four thousand five hundred sixty-seven"),
    ("100,000.", "one hundred thousand."),
    ("1 000", "one zero zero zero"),
    ("5162065338", "five billion one hundred sixty-two million sixty-five thousand three hundred thirty-eight"),
    ("007", "zero zero seven"),
    ("PIN 0042.", "PIN zero zero four two."),
    ("1234567890123456", "one two three four five six seven eight nine zero one two three four five six"),
    ("+15162065338", "plus one five one six two zero six five three three eight"),
    ("+1 516 206 5338", "plus one, five one six, two zero six, five three three eight"),
    ("+44 (0)20 7946 0958", "plus four four, zero, two zero, seven nine four six, zero nine five eight"),
    ("516-206-5338", "five one six, two zero six, five three three eight"),
    ("(516) 206-5338.", "five one six, two zero six, five three three eight."),
    ("1-800-555-0100", "one, eight zero zero, five five five, zero one zero zero"),
]

LEFT_TO_THE_VOICE = [
    "1999", "2024", "3.14", "3,14", "$12.50", "$5", "5%", "10:30", "5/21/2024", "2024-05-21", "5th",
    "B12", "#5", "10-20", "-5", "+5", "192.168.0.1", "1.5.2.3", "May 3, 2024", "Dec. 24", "12°", "5,6,7",
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), NUMBERS)
def test_integers_and_telephone_numbers_become_words(text: str, wanted: str) -> None:
    assert spoken(text) == wanted


@pytest.mark.parametrize("text", LEFT_TO_THE_VOICE)
def test_dates_times_money_and_decimals_are_left_to_the_voice(text: str) -> None:
    assert spoken(text) == text


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (10, "ten"),
        (19, "nineteen"),
        (20, "twenty"),
        (21, "twenty-one"),
        (100, "one hundred"),
        (110, "one hundred ten"),
        (1_000_000, "one million"),
        (1_000_001, "one million one"),
        (900_000_000_000_000, "nine hundred trillion"),
    ],
)
def test_every_number_has_a_name(number: int, words: str) -> None:
    assert cardinal(number) == words


def sounds(text: str) -> str:
    """Espeak-ng's phonemes without stress, breaks, and the shades of vowels that differ between "42" and its words."""
    command = ["espeak-ng", "-v", "en-us", "-x", "-q", text]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return "".join(c for c in said.lower() if c not in "',_!-;#2 \n")


@pytest.mark.parametrize("text", ["123", "1 2 3", "42", "1,234,567", "20", "911", "100000", "12345", "5162065338"])
def test_words_sound_as_espeak_reads_the_digits(text: str) -> None:
    assert sounds(spoken(text)) == sounds(text)
    assert sounds(text) != sounds("nothing")


def test_clean_text_keeps_paragraphs_and_no_other_layout() -> None:
    assert clean("  One\n two\t\x07three. \r\n\r\n \n Four\u2028\ud800 ") == f"One two three.{PARAGRAPH}Four"
    assert clean(" \n\n \0 ") == ""
