"""Session descriptions of real peers, and what no peer should be able to break."""

import pytest
from flexml.engine.errors import SdpError
from flexml.engine.sip.sdp import Attribute, Media, Session, parse
from hypothesis import given
from hypothesis import strategies as st

ASTERISK = (
    "v=0\r\no=- 1245667 1245667 IN IP4 198.51.100.7\r\ns=Asterisk\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"
    "m=audio 14212 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=maxptime:150\r\na=sendrecv\r\n"
)


def test_a_description_becomes_data() -> None:
    session = parse(ASTERISK)
    assert session.origin == "- 1245667 1245667 IN IP4 198.51.100.7"
    assert session.address == "198.51.100.7"
    (audio,) = session.media
    assert (audio.kind, audio.port, audio.protocol, audio.formats) == ("audio", 14212, "RTP/AVP", ("0", "8", "101"))
    assert audio.values("rtpmap") == ("0 PCMU/8000", "8 PCMA/8000", "101 telephone-event/8000")
    assert audio.values("sendrecv") == ("",)


@pytest.mark.parametrize(
    "text",
    [
        ASTERISK.replace("\r\n", "\n"),
        ASTERISK.replace("\r\n", "\r"),
        ASTERISK + "\r\n\r\n",
        ASTERISK.rstrip("\r\n"),
        ASTERISK + "\0",
        ASTERISK.replace("s=Asterisk\r\n", ""),
        ASTERISK.replace("t=0 0\r\n", "t=0 0\r\nz=whatever\r\nk=clear:x\r\n"),
        ASTERISK.replace("t=0 0\r\n", ""),
    ],
    ids=["lf", "cr", "blank lines", "no last break", "trailing nul", "no s=", "letters unknown", "no t="],
)
def test_harmless_variants_read_alike(text: str) -> None:
    assert parse(text) == parse(ASTERISK)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "session description: empty, expected v=0"),
        ("o=- 1 1 IN IP4 1.2.3.4\r\n", "line 1: found 'o=- 1 1 IN IP4 1.2.3.4', expected v=0"),
        ("v=1\r\n", "line 1: found 'v=1', expected v=0"),
        ("v=0\r\nhello\r\n", "line 2: found 'hello', expected a lower-case letter, '=' and a value"),
        ("v=0\r\nm=audio\r\n", "line 2: found 'm=audio', expected m=<media> <port 0-65535>"),
        ("v=0\r\nm=audio 65536 RTP/AVP 0\r\n", "line 2: found 'm=audio 65536 RTP/AVP 0', expected m=<media> <port"),
        ("v=0\r\nm=audio -1 RTP/AVP 0\r\n", "line 2: found 'm=audio -1 RTP/AVP 0', expected m=<media> <port"),
        ("v=0\r\nm=audio 10 RTP/AVP 0\x07\r\n", "line 2"),
        ("v=0\r\nc=IN IP4 example.com\r\n", "line 2: found 'c=IN IP4 example.com', expected c=IN IP4 or IP6"),
        ("v=0\r\nc=IN IP4 256.1.1.1\r\n", "line 2: found 'c=IN IP4 256.1.1.1', expected c=IN IP4 or IP6"),
        ("v=0\r\nc=ATM x\r\n", "line 2: found 'c=ATM x', expected c=IN IP4 or IP6"),
    ],
)
def test_errors_say_line_found_and_expected(text: str, message: str) -> None:
    with pytest.raises(SdpError) as caught:
        parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("c=IN IP6 2001:db8::1", "2001:db8::1"),
        ("c=in ip6 2001:DB8:0::1", "2001:db8::1"),
        ("c=IN IP4 224.2.1.1/127", "224.2.1.1"),
        ("c=IN IP4 0.0.0.0", "0.0.0.0"),
    ],
)
def test_connection_addresses(line: str, address: str) -> None:
    assert parse(f"v=0\r\n{line}\r\n").address == address


def test_lines_belong_to_the_media_section_above_them() -> None:
    session = parse(
        "v=0\r\na=sendonly\r\nm=audio 4000/2 RTP/AVP 0\r\nc=IN IP4 192.0.2.1\r\nm=video 0 RTP/AVP 31\r\na=x:1\r\n"
    )
    assert session.address == ""
    assert session.attributes == (Attribute(name="sendonly"),)
    assert session.media[0].address == "192.0.2.1"
    assert session.media[1].attributes == (Attribute(name="x", value="1"),)


def test_what_is_written_reads_back() -> None:
    audio = Media(
        kind="audio", port=4000, protocol="RTP/AVP", formats=("0",), attributes=(Attribute(name="ptime", value="20"),)
    )
    session = Session(origin="- 1 2 IN IP6 2001:db8::1", address="2001:db8::1", media=(audio,))
    assert str(session).startswith("v=0\r\no=- 1 2 IN IP6 2001:db8::1\r\ns=-\r\nc=IN IP6 2001:db8::1\r\nt=0 0\r\n")
    assert parse(str(session)) == session


@given(st.text(max_size=400))
def test_any_text_is_read_or_refused_with_a_reason(text: str) -> None:
    assert "expected" in (complaint(text) or "expected")


@given(st.lists(st.sampled_from([*ASTERISK.splitlines(), "m=", "c=IN IP4 /", "a=", "a=:", "t=", "m=a 1/ x 0"])))
def test_any_order_of_plausible_lines_is_read_or_refused(lines: list[str]) -> None:
    assert "expected" in (complaint("\r\n".join(["v=0", *lines])) or "expected")


def complaint(text: str) -> str:
    """What `parse` says against `text`; empty where it takes it."""
    try:
        parse(text)
    except SdpError as error:
        return str(error)
    return ""
