"""Say's markup becomes text with pauses."""

from __future__ import annotations

import re

import pytest
from flexml.engine.errors import DocumentError
from flexml.engine.flexml.document import Document, parse
from flexml.engine.speech.pauses import PAUSES, length_ms

URL = "http://app.example/doc"


def read(inside: str) -> Document:
    return parse(f"<Response><Say>{inside}</Say></Response>".encode(), url=URL)


def said(inside: str) -> str:
    """What is spoken; pauses as `[ms]`, blank lines as `|`."""
    (say,) = read(inside).verbs
    text = PAUSES.sub(lambda found: f"[{length_ms(found[1])}]", say.text)
    return "|".join(" ".join(part.split()) for part in re.split("(?:\n\n)+", text))


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ('One<break time="500ms"/>two', "One[500]two"),
        ('One <break time="1.5s"/> <break time=".25s"/> two', "One[1750]two"),
        ('<break time="+2S"/>two', "[2000]two"),
        ('One<break time="0s"/><break strength="none"/>', "One"),
        ('One<BREAK strength="weak"/>two<break/>three<break strength="x-strong"/>', "One[180]two[350]three[1000]"),
        ('One<break time="60s"/>two', "One[10000]two"),
        ("<speak><p>One.</p><p>Two.</p></speak>", "One.|Two."),
        ("<p><s>One</s><s>Two?</s></p>", "One. Two?"),
        ('Ask <sub alias="Doctor">Dr.</sub> Who', "Ask Doctor Who"),
        ('Code <say-as interpret-as="characters">a1b</say-as>.', "Code A 1 B."),
        ('<say-as interpret-as="date">2026-11-30</say-as>', "2026-11-30"),
    ],
)
def test_markup_is_spoken_as_text_with_pauses(inside: str, text: str) -> None:
    assert said(inside) == text


def test_what_makes_no_difference_is_noted_and_its_text_spoken() -> None:
    document = read('Very <emphasis>good <prosody rate="slow">indeed</prosody></emphasis>.')
    (say,) = document.verbs
    assert say.text == "Very good indeed."
    assert document.notes == (
        "Say: emphasis makes no difference (line 1)",
        "Say: prosody makes no difference (line 1)",
    )


def test_only_a_pause_is_something_to_say() -> None:
    assert said('<break time="1s"/>') == "[1000]"
    assert read('<break strength="none"/>').verbs == ()


@pytest.mark.parametrize(
    ("inside", "says"),
    [
        (
            '<break time="soon"/>',
            "Say, break, attribute time: value 'soon'; allowed: such as 500ms or 1.5s, 10s at most",
        ),
        ('<break time="s"/>', "attribute time: value 's'"),
        ('<break time="-1s"/>', "attribute time: value '-1s'"),
        ('<break strength="huge"/>', "attribute strength: value 'huge'; allowed: none, x-weak, weak, medium, strong, "),
        ("<p><audio/></p>", "audio inside Say; allowed: break, p, s, "),
    ],
)
def test_markup_that_is_wrong_is_an_error_that_says_what_is_allowed(inside: str, says: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read(inside)
    assert says in str(caught.value)
    assert (caught.value.line, caught.value.url) == (1, URL)
