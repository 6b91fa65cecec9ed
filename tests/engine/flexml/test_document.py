"""Documents: what is read, what is only noted, and what is refused, with the place and the reason."""

from __future__ import annotations

import codecs
from typing import Any

import pytest
from flexml.engine.errors import DocumentError
from flexml.engine.flexml.attributes import Attribute
from flexml.engine.flexml.document import MOST_NOTES, Document, parse
from flexml.engine.flexml.verbs import BY_NAME, NOUNS, VERBS, declarations
from flexml.engine.flexml.verbs.base import PROMPTS
from flexml.engine.flexml.verbs.gather import Gather
from flexml.engine.flexml.verbs.play import Play
from flexml.engine.flexml.verbs.say import Say
from hypothesis import given
from hypothesis import strategies as st

URL = "http://app.example/flow/start?x=1"


def read(inside: str, **limits: Any) -> Document:
    return parse(f"<Response>{inside}</Response>".encode(), url=URL, **limits)


def refusal(body: bytes | str, **limits: Any) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse(body.encode() if isinstance(body, str) else body, url=URL, **limits)
    return caught.value


@pytest.mark.parametrize(
    ("body", "line", "says"),
    [
        (b"<Response>", 1, "malformed XML"),
        (b"not XML", 1, "malformed XML"),
        (b"\n\n<Response>\n<Say", 4, "malformed XML"),
        (b"<Response>\n <Play loop='1' loop='2'/>\n</Response>", 2, "malformed XML"),
        (b"<Response>\n <Play loop='1' LOOP='2'/>\n</Response>", 2, "Play, attribute LOOP: attribute given twice"),
        (b"<Say>Hi</Say>", 1, "root element 'Say'; allowed: Response"),
        (b"<html><body/></html>", 1, "a page of HTML; allowed: XML with the root Response"),
        (b"\n<!DOCTYPE html>\n<html><br></html>", 3, "a page of HTML; allowed: XML with the root Response"),
        (b"<!doctype HTML PUBLIC '-//W3C//DTD HTML 4.01//EN' ''><html/>", 1, "a page of HTML"),
        (b'{"say": "Hi"}', 1, 'malformed XML: it begins with \'{"say": "Hi"}\'; allowed: <Response>'),
        (b"<Response><Say>Tom & Ann</Say></Response>", 1, "; allowed: &amp; for &"),
        (b"<Response>\n<Redirect>/a?b=1&c=2</Redirect></Response>", 2, "; allowed: &amp; for &"),
        (b"<Response>\n<Speak/></Response>", 2, "unknown verb 'Speak'; allowed: Amd, Dial,"),
        (b"<Response><Number>1</Number></Response>", 1, "Number inside Response"),
        (b"<Response>\n<Gather>\n<Hangup/></Gather></Response>", 3, "Hangup inside Gather; allowed: Say, Play,"),
        (b"<Response><Say>a<b>c</b></Say></Response>", 1, "Say: b inside Say; allowed: break, p, s, say-as, "),
        (b"<Response><Say>a<Play>c</Play></Say></Response>", 1, "Say: Play inside Say; allowed: break, p, s, say-as, "),
        (b"<Response><Store name='a'>a<b>c</b></Store></Response>", 1, "unknown verb 'b'; allowed: text only"),
        (b"<Response><Store>x</Store></Response>", 1, "Store, attribute name: missing"),
        (b"<Response><Redirect> </Redirect></Response>", 1, "Redirect: empty text; allowed: http or https URL,"),
        (b"<Response><Pause length=''/></Response>", 1, "attribute length: empty value; allowed: integer of at"),
        (b"<Response><Redirect>http://</Redirect></Response>", 1, "Redirect: text 'http://'; allowed: http or https"),
        (b"<Response><Play>https:///a.wav</Play></Response>", 1, "Play: text 'https:///a.wav'; allowed: absolute"),
        (b"<Response><Redirect>ftp://h/</Redirect></Response>", 1, "Redirect: text 'ftp://h/'; allowed: http or"),
        (b"<Response><Dtmf>12x</Dtmf></Response>", 1, "Dtmf: text '12x'"),
        (b"<Response><Play>http://[oops</Play></Response>", 1, "Play: text 'http://[oops'"),
        (b"<Response><Reject reason='rude'/></Response>", 1, "attribute reason: value 'rude'; allowed: redirect, "),
        (b"<!DOCTYPE Response><Response/>", 1, "a DTD"),
        (b"<!DOCTYPE r [<!ENTITY a 'b'>]><Response><Say>&a;</Say></Response>", 1, "a DTD"),
        (b"<Response><Say>&nbsp;</Say></Response>", 1, "allowed: the entities amp, lt, gt, quot and apos, and numbers"),
    ],
)
def test_a_bad_document_is_one_error_that_says_where_and_what(body: bytes, line: int, says: str) -> None:
    error = refusal(body)

    assert error.url == URL
    assert error.line == line
    assert says in str(error)


def test_an_error_names_verb_attribute_value_and_what_is_allowed() -> None:
    error = refusal('<Response>\n<Say>Hi</Say>\n<Gather numDigits="two"/></Response>')

    assert (error.url, error.line, error.verb, error.attribute) == (URL, 3, "Gather", "numDigits")
    assert (error.value, error.allowed) == ("two", "integer of at least 1")


def test_an_entity_bomb_is_refused() -> None:
    layers = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 9))
    for place in ("<Say>&e8;</Say>", '<Say voice="&e8;">a</Say>'):
        refusal(f'<!DOCTYPE Response [<!ENTITY e0 "ha">{layers}]><Response>{place}</Response>')


def test_limits_hold() -> None:
    assert "101 bytes; allowed: at most 100 bytes" in str(refusal(b" " * 101, max_bytes=100))
    assert "4 verbs; allowed: at most 3" in str(
        refusal("<Response><Gather><Say>a</Say></Gather><Hangup/><Hangup/></Response>", max_verbs=3)
    )
    assert len(read("<Hangup/>" * 3, max_verbs=3).verbs) == 3


def test_depth_cannot_exhaust_the_stack() -> None:
    refusal("<Response>" + "<Gather>" * 200 + "</Gather>" * 200 + "</Response>")


@pytest.mark.parametrize("body", ["", "  \n", "<Response/>", "<Response>Hello!</Response>", "<!-- c --><response/>"])
def test_a_document_without_verbs_is_no_error(body: str) -> None:
    assert parse(body.encode(), url=URL).verbs == ()


@pytest.mark.parametrize("inside", ["<Play></Play>", "<Say/>", "<Say>  </Say>", "<Gather/>", "<Gather><Say/></Gather>"])
def test_empty_elements_are_skipped_with_a_note(inside: str) -> None:
    document = read(inside)

    assert document.verbs == ()
    assert any("empty, skipped" in note for note in document.notes)


def test_a_gather_without_prompt_but_with_action_still_gathers() -> None:
    (verb,) = read('<Gather action="/digits"/>').verbs

    assert isinstance(verb, Gather)


def test_names_and_words_match_in_any_case() -> None:
    body = b'<RESPONSE><gather ACTION="/a" METHOD="get" NumDigits="2"><SAY VOICE="Woman">Hi</SAY></gather></RESPONSE>'
    (gather,) = parse(body, url=URL).verbs

    assert isinstance(gather, Gather)
    assert (gather.action, gather.method, gather.num_digits) == ("http://app.example/a", "GET", 2)
    assert gather.children == (Say(line=1, text="Hi", voice="woman"),)


def test_unknown_attributes_and_voices_are_noted() -> None:
    document = read('<Say voice="female" mood="cheerful">Hi</Say>')

    assert document.verbs == (Say(line=1, text="Hi"),)
    assert document.notes == (
        "Say: unknown voice 'female'; allowed: man, woman or Polly.<Name>; man is used (line 1)",
        "Say: unknown attribute mood is ignored (line 1)",
    )


@pytest.mark.parametrize(
    "inside",
    [
        '<Gather action="/a">Enter it. <Say>Hi</Say></Gather>',
        "<PreAnswer><Say>Hi</Say>text</PreAnswer>",
        "<Pause>5</Pause>",
    ],
)
def test_text_that_no_verb_reads_is_noted(inside: str) -> None:
    (verb,) = read(inside).verbs

    assert read(inside).notes == (f"{verb.name}: its text is ignored (line 1)",)


def test_attributes_of_the_root_are_noted() -> None:
    document = parse(b'<Response version="2" xmlns="urn:x"><Hangup> </Hangup></Response>', url=URL)

    assert document.notes == ("Response: unknown attribute version is ignored",)


def test_digits_to_send_may_be_letters_in_a_number_too() -> None:
    (verb,) = read('<Dial><Number sendDigits="1A,d">15550001000</Number></Dial>').verbs
    assert [getattr(number, "send_digits", "") for number in verb.children] == ["1A,d"]


@pytest.mark.parametrize(
    ("reference", "resolved"),
    [
        ("menu", "http://app.example/flow/menu"),
        ("/pin", "http://app.example/pin"),
        ("?a=1", "http://app.example/flow/start?a=1"),
        ("https://other.example/x", "https://other.example/x"),
        ("  /two words ", "http://app.example/two%20words"),
        ("/a\n   b", "http://app.example/ab"),
        ("//cdn.example/x.wav", "http://cdn.example/x.wav"),
    ],
)
def test_urls_are_cleaned_and_resolved_against_the_document(reference: str, resolved: str) -> None:
    (play,) = read(f"<Play>{reference}</Play>").verbs

    assert isinstance(play, Play)
    assert play.text == resolved


def test_an_empty_url_attribute_is_no_url() -> None:
    (gather,) = read('<Gather action=" "><Say>Hi</Say></Gather>').verbs

    assert isinstance(gather, Gather)
    assert gather.action == ""


def test_text_around_comments_cdata_and_references_is_one() -> None:
    (say,) = read("<Say>One<!-- no --> &amp; <![CDATA[<two>]]></Say>").verbs

    assert isinstance(say, Say)
    assert say.text == "One & <two>"


def test_other_encodings_are_read() -> None:
    for encoding in ("utf-8", "utf-16", "iso-8859-1"):
        body = f'<?xml version="1.0" encoding="{encoding}"?><Response><Say>Grüß Gott</Say></Response>'
        (say,) = parse(body.encode(encoding), url=URL).verbs
        assert isinstance(say, Say)
        assert say.text == "Grüß Gott"


GREETING = "<Response><Say>Grüß Gott</Say></Response>"
LATIN = GREETING.encode("iso-8859-1")
MARKED = codecs.BOM_UTF8 + GREETING.encode()


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        (LATIN, "iso-8859-1"),
        (LATIN, "ISO-8859-1"),
        (b"\n<?xml version='1.0'?>" + LATIN, "iso-8859-1"),
        (GREETING.encode("utf-16-le"), "utf-16-le"),
        (GREETING.encode("utf-16"), "iso-8859-1"),
        (MARKED, "iso-8859-1"),
        (b"<?xml version='1.0' encoding='iso-8859-1'?>" + LATIN, "utf-8"),
        (b"<?xml version='1.0' encoding='utf-8'?>" + GREETING.encode(), "iso-8859-1"),
        (GREETING.encode(), "us-ascii"),
        (GREETING.encode(), "no-such-charset"),
        (GREETING.encode(), "hex"),
        (GREETING.encode(), "ü"),
    ],
)
def test_the_charset_of_the_answer_counts_where_the_document_says_nothing(body: bytes, charset: str) -> None:
    (say,) = parse(body, url=URL, charset=charset).verbs
    assert isinstance(say, Say)
    assert say.text == "Grüß Gott"


@pytest.mark.parametrize("charset", ["punycode", "IDNA", "unicode_escape", "raw-Unicode-Escape"])
def test_what_only_python_takes_for_a_charset_changes_nothing(charset: str) -> None:
    (say,) = parse(b"<Response><Say>\\x41 xn--a-ecp.example a-</Say></Response>", url=URL, charset=charset).verbs
    assert isinstance(say, Say)
    assert say.text == "\\x41 xn--a-ecp.example a-"


def test_white_space_before_the_declaration_is_no_error_behind_a_byte_order_mark_either() -> None:
    for mark in (b"", codecs.BOM_UTF8):
        body = mark + b"\r\n\n<?xml version='1.0'?><Response><Say>a</Say></Response>"
        assert [verb.line for verb in parse(body, url=URL).verbs] == [3]
        assert parse(mark + b" \n", url=URL).notes == ("the document is empty",)


NESTING = {
    "Response": {verb.name for verb in VERBS},
    "Gather": set(PROMPTS),
    "PreAnswer": set(PROMPTS),
    "Dial": {"Number"},
    "Play": {"File"},
}


@pytest.mark.parametrize("outer", ["Response", *(element.name for element in (*VERBS, *NOUNS))])
def test_elements_stand_only_where_they_may(outer: str) -> None:
    for inner in (element.name for element in (*VERBS, *NOUNS)):
        child = sample(inner)
        body = child if outer == "Response" else f"<{outer}{required(outer)}>{child}</{outer}>"
        if inner in NESTING.get(outer, ()):
            assert read(body if outer != "Number" else f"<Dial>{body}</Dial>")
        else:
            refusal(f"<Response>{body}</Response>")


def required(name: str) -> str:
    return ' name="k"' if name == "Store" else ""


def sample(name: str) -> str:
    return f"<{name}{required(name)}>1</{name}>"


BAD_FOR = {
    "integer": "two",
    "boolean": "perhaps",
    "one of": "12",
    "any of": "x!",
    "http or https": "ftp://h/a",
}


@pytest.mark.parametrize(("verb", "attribute"), declarations(), ids=lambda value: getattr(value, "name", value))
def test_every_declared_attribute_takes_its_default_and_refuses_what_is_not_allowed(
    verb: str, attribute: Attribute
) -> None:
    assert verb.lower() in BY_NAME
    allowed = attribute.kind.allowed
    assert allowed
    if isinstance(attribute.default, int | float | str) and not attribute.required:
        assert attribute.kind.parse(str(attribute.default)) == attribute.default
    bad = next((value for start, value in BAD_FOR.items() if allowed.startswith(start)), None)
    if bad is not None:
        with pytest.raises(ValueError, match=bad):
            attribute.kind.parse(bad)


def test_audio_may_come_by_other_schemes_and_requests_may_not() -> None:
    other = {"name": "rtmp://h/a", "case": "HTTPS://h/a", "relative": "a/b:c?d=e:f"}
    (play,) = read(f'<Play waitInitialUrl="{other["name"]}" action="{other["case"]}">{other["name"]}</Play>').verbs
    assert isinstance(play, Play)
    assert (play.wait_initial_url, play.text) == (other["name"], other["name"])
    (gather,) = read(f'<Gather action="{other["relative"]}"/>').verbs
    assert isinstance(gather, Gather)
    assert gather.action == "http://app.example/flow/a/b:c?d=e:f"


@given(st.binary(max_size=200))
def test_random_bytes_are_a_document_or_a_document_error(body: bytes) -> None:
    outcome = read_or_refuse(body)

    assert isinstance(outcome, Document) or outcome.url == URL


@given(
    st.sampled_from(declarations()),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20),
)
def test_random_values_are_a_document_or_a_document_error(declared: tuple[str, Attribute], value: str) -> None:
    name, attribute = declared
    escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    inside = f'<{name} {attribute.name}="{escaped}">1</{name}>'
    outer = {"Number": "Dial", "File": "Play"}.get(name)
    body = f"<{outer}>{inside}</{outer}>" if outer else inside
    outcome = read_or_refuse(f"<Response>{body}</Response>".encode())

    assert isinstance(outcome, Document) or (outcome.line, outcome.verb) == (1, name)


def read_or_refuse(body: bytes) -> Document | DocumentError:
    try:
        return parse(body, url=URL)
    except DocumentError as error:
        return error


def test_the_same_bytes_of_the_same_url_are_read_once_and_within_the_limits_of_each_call() -> None:
    body = b"<Response><Say>a</Say><Play>b</Play></Response>"
    first = parse(body, url=URL)
    assert parse(bytes(bytearray(body)), url=URL) is first
    assert parse(body, url=f"{URL}2").url == f"{URL}2"
    with pytest.raises(DocumentError, match="2 verbs"):
        parse(body, url=URL, max_verbs=1)
    with pytest.raises(DocumentError, match="bytes"):
        parse(body, url=URL, max_bytes=10)


def test_long_documents_are_not_kept() -> None:
    body = f"<Response><Say>{'a' * 9000}</Say></Response>".encode()
    assert parse(body, url=URL) is not parse(body, url=URL)


def test_a_document_makes_no_more_notes_than_a_timeline_bears() -> None:
    attributes = " ".join(f'a{number}=""' for number in range(MOST_NOTES + 23))
    notes = parse(f"<Response><Say {attributes}>a</Say></Response>".encode(), url=URL).notes
    assert notes[MOST_NOTES - 1] == f"Say: unknown attribute a{MOST_NOTES - 1} is ignored (line 1)"
    assert notes[MOST_NOTES:] == ("Response: 23 further notes are left out",)
