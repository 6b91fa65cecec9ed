"""Taking fields out of SIP messages."""

import pytest
from flexml.engine.sip.message import parse

INVITE = (
    "INVITE sip:15550001000@127.0.0.1;user=phone SIP/2.0\r\n"
    "v: SIP/2.0/TCP 127.0.0.1:5090;branch=z9hG4bK1\r\n"
    'f: "A. G. Bell" <sip:bell@example.com>\r\n ;tag=88\r\n'
    "i: abc@example\r\nX-Customer: 42\r\nX-Customer: 43\r\nc: application/sdp\r\n\r\n"
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n"
)


def test_request_is_taken_apart():
    message = parse(INVITE)
    assert message.request_uri == "sip:15550001000@127.0.0.1;user=phone"
    assert message.status == 0
    assert message.header("From") == '"A. G. Bell" <sip:bell@example.com> ;tag=88'
    assert message.header("Call-ID") == "abc@example"
    assert message.sdp is not None
    assert message.sdp.startswith("v=0")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("Retry-After: 120", 120), ("Retry-After: 18000;duration=3600", 18000), ("retry-after: 5 (soon)", 5),
     ("Retry-After: soon", 0), ("Retry-After: -1", 0), ("X-Other: 1", 0)],
)  # fmt: skip
def test_the_seconds_of_retry_after(header: str, seconds: int) -> None:
    assert parse(f"SIP/2.0 503 Service Unavailable\r\n{header}\r\n\r\n").retry_after_s == seconds


def test_headers_keep_their_order_and_repetitions():
    assert [value for name, value in parse(INVITE).headers if name == "X-Customer"] == ["42", "43"]


@pytest.mark.parametrize(
    ("to", "tag"),
    [
        ('"A;tag=x" <sip:bell@example.com;tag=y>;tag=a6c85cf', "a6c85cf"),
        ("sip:bell@example.com ; TAG = a6.c;x=1", "a6.c"),
        ("<sip:bell@example.com>", ""),
    ],
)
def test_the_tag_of_to(to: str, tag: str) -> None:
    assert parse(f"SIP/2.0 183 Session Progress\r\nTo: {to}\r\n\r\n").to_tag == tag


def test_a_response_has_a_reason_and_a_request_has_none() -> None:
    assert parse("SIP/2.0 486 Busy Here\r\n\r\n").reason == "Busy Here"
    assert parse(INVITE).reason == ""


def test_sdp_is_found_in_a_multipart_body():
    text = (
        "INVITE sip:a@b SIP/2.0\r\nContent-Type: multipart/mixed;boundary=x\r\n\r\n"
        "--x\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
        "--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\ns=-\r\n--x--\r\n"
    )
    assert (parse(text).sdp or "").startswith("v=0")


@pytest.mark.parametrize(
    ("text", "status"),
    [("SIP/2.0 183 Session Progress\r\n\r\n", 183), ("SIP/2.0 abc\r\n\r\n", 0), ("", 0), ("SIP/2.0", 0)],
)
def test_status_of_responses(text: str, status: int):
    message = parse(text)
    assert message.status == status
    assert message.request_uri == ""
    assert message.sdp is None


@pytest.mark.parametrize(
    ("start", "kind", "body", "key"),
    [
        ("INFO sip:a@b SIP/2.0", "application/dtmf", "5", "5"),
        ("INFO sip:a@b SIP/2.0", "Application/DTMF; charset=utf-8", "#\r\n", "#"),
        ("INFO sip:a@b SIP/2.0", "application/dtmf", "d", "D"),
        ("INFO sip:a@b SIP/2.0", "application/dtmf", "12", ""),
        ("INFO sip:a@b SIP/2.0", "application/dtmf", "", ""),
        ("INFO sip:a@b SIP/2.0", "application/dtmf", "x", ""),
        ("INFO sip:a@b SIP/2.0", "application/dtmf-relay", "5", ""),
        ("INFO sip:a@b SIP/2.0", "application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", "5"),
        ("INFO sip:a@b SIP/2.0", "application/dtmf-relay", "Duration= 160\r\nsignal= b", "B"),
        ("INFO sip:a@b SIP/2.0", "application/dtmf-relay", "Signal=10\r\n", "*"),
        ("INFO sip:a@b SIP/2.0", "application/dtmf-relay", "Signal=11\r\n", "#"),
        ("INFO sip:a@b SIP/2.0", "application/dtmf-relay", "SIGNAL=15\n", "D"),
        ("INFO sip:a@b SIP/2.0", "application/dtmf-relay", "Signal=16\r\n", ""),
        ("INFO sip:a@b SIP/2.0", "application/dtmf-relay", "Signal=\r\nDuration=160\r\n", ""),
        ("INFO sip:a@b SIP/2.0", "text/plain", "5", ""),
        ("MESSAGE sip:a@b SIP/2.0", "application/dtmf", "5", ""),
    ],
)
def test_a_key_is_found_in_an_info_that_is_nothing_else(start: str, kind: str, body: str, key: str) -> None:
    assert parse(f"{start}\r\nContent-Type: {kind}\r\n\r\n{body}").key == key
