"""Offer and answer against descriptions as baresip, SIPp, Asterisk, Linphone and a browser write them."""

from dataclasses import replace

import pytest
from flexml.codecs.catalog import G722, L16, L16_8K, OPUS, PCMA, PCMU
from flexml.engine.errors import NotAcceptable, SdpError
from flexml.engine.sip.negotiation import (
    Agreed,
    LocalMedia,
    accept_answer,
    make_offer,
    negotiate_answer,
    renew_offer,
)
from flexml.engine.sip.sdp import parse
from flexml.media.protocol import Direction
from hypothesis import given
from hypothesis import strategies as st

LOCAL = LocalMedia(address="192.0.2.10", port=20000, codecs=(PCMU, PCMA, G722, L16, L16_8K, OPUS), session_id=7)

BARESIP = """v=0
o=- 3847510933 2094812044 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
a=tool:baresip 1.0.0
m=audio 21468 RTP/AVP 96 9 0 8 101
b=AS:125
a=rtpmap:96 opus/48000/2
a=fmtp:96 stereo=1;sprop-stereo=1
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=rtcp:21469
a=sendrecv
a=label:1
a=rtcp-rsize
a=ssrc:2374621 cname:sip:a@127.0.0.1
a=ptime:20
m=video 28300 RTP/AVP 97
a=rtpmap:97 H264/90000
a=sendrecv
a=label:2
"""
SIPP = """v=0
o=user1 53655765 2353687637 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio 6000 RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-11,16
"""
ASTERISK = """v=0
o=- 871 871 IN IP4 198.51.100.7
s=Asterisk
c=IN IP4 198.51.100.7
t=0 0
m=audio 14212 RTP/AVP 107 0 101 110
a=rtpmap:107 opus/48000/2
a=fmtp:107 useinbandfec=1
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=rtpmap:110 telephone-event/48000
a=fmtp:110 0-16
a=ptime:20
a=maxptime:60
a=sendrecv
"""
LINPHONE = """v=0
o=bob 3420 1771 IN IP4 203.0.113.4
s=Talk
c=IN IP4 203.0.113.4
t=0 0
a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics
a=record:off
m=audio 7078 RTP/AVP 98 99 0 8 100
a=rtpmap:98 speex/16000
a=fmtp:98 vbr=on
a=rtpmap:99 speex/8000
a=rtpmap:100 telephone-event/8000
a=rtcp:9999 IN IP4 203.0.113.4
"""
BROWSER = """v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
m=audio 9 UDP/TLS/RTP/SAVPF 111 0
c=IN IP4 0.0.0.0
a=rtpmap:111 opus/48000/2
a=ice-ufrag:x
"""


def audio(*lines: str, address: str = "192.0.2.1", media: str = "audio 4000 RTP/AVP 0 101") -> str:
    """An offer of PCMU and telephone-event with `lines` added to its media section."""
    return "\r\n".join(
        ["v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", f"c=IN IP4 {address}", "t=0 0", f"m={media}",
         "a=rtpmap:101 telephone-event/8000", *lines, ""]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("offer", "codec", "payload_type", "telephone_event", "rtcp_port"),
    [
        (BARESIP, OPUS, 96, 101, 21469),
        (SIPP, PCMA, 8, 101, 6001),
        (ASTERISK, OPUS, 107, 110, 14213),
        (LINPHONE, PCMU, 0, 100, 9999),
        (audio(media="audio 4000 RTP/AVP 0"), PCMU, 0, None, 4001),
        (audio("a=rtpmap:97 l16/16000", "a=rtpmap:98 Telephone-Event/16000", media="audio 4000 RTP/AVP 97 98"),
         L16, 97, 98, 4001),
        (audio("a=rtpmap:97 L16/8000/1", media="audio 4000 RTP/AVP 97 101"), L16_8K, 97, 101, 4001),
        (audio("a=rtpmap:0 pcmu/8000/1"), PCMU, 0, 101, 4001),
        (audio(media="audio 4000 RTP/AVP 18 9 0 101"), G722, 9, 101, 4001),
        (audio("a=rtpmap:0 G729/8000", "a=rtpmap:8 PCMA/8000", media="audio 4000 RTP/AVP 0 8"), PCMA, 8, None, 4001),
        (audio("a=rtcp:nonsense"), PCMU, 0, 101, 4001),
        (audio(media="audio 65535 RTP/AVP 0 101"), PCMU, 0, 101, 65535),
    ],
)  # fmt: skip
def test_the_first_offered_codec_that_we_have_is_taken_under_its_number(
    offer: str, codec: object, payload_type: int, telephone_event: int | None, rtcp_port: int
) -> None:
    agreed = negotiate_answer(offer, LOCAL)
    assert agreed.codec == codec
    assert (agreed.payload_type, agreed.telephone_event) == (payload_type, telephone_event)
    assert agreed.rtcp_port == rtcp_port


EVENTS = [
    ("97 101 102", [("97", "opus/48000/2"), ("102", "telephone-event/48000")], (102, 48000)),
    ("97 101", [("97", "opus/48000/2")], (101, 8000)),
    ("97 102", [("97", "opus/48000/2"), ("102", "telephone-event/16000")], (None, 8000)),
    ("97 101 102", [("97", "L16/16000"), ("102", "telephone-event/16000")], (102, 16000)),
    ("97 101", [("97", "L16/16000")], (101, 8000)),
    ("9 102 101", [("102", "telephone-event/16000")], (101, 8000)),
]


@pytest.mark.parametrize(("formats", "maps", "expected"), EVENTS)
def test_events_have_the_clock_of_the_codec_or_else_8_khz(
    formats: str, maps: list[tuple[str, str]], expected: tuple[int | None, int]
) -> None:
    lines = [f"a=rtpmap:{number} {encoding}" for number, encoding in maps]
    agreed = negotiate_answer(audio(*lines, media=f"audio 4000 RTP/AVP {formats}"), LOCAL)
    assert (agreed.telephone_event, agreed.telephone_event_hz) == expected
    assert (agreed.telephone_event is not None) == (f"telephone-event/{expected[1]}" in agreed.sdp)


def test_a_codec_not_configured_is_passed_over() -> None:
    agreed = negotiate_answer(BARESIP, replace(LOCAL, codecs=(PCMA, PCMU)))
    assert (agreed.codec, agreed.telephone_event) == (PCMU, 101)


def test_the_answer_as_text() -> None:
    agreed = negotiate_answer(BARESIP, replace(LOCAL, codecs=(PCMU,)))
    assert agreed.sdp.split("\r\n") == [
        "v=0",
        "o=- 7 1 IN IP4 192.0.2.10",
        "s=-",
        "c=IN IP4 192.0.2.10",
        "t=0 0",
        "m=audio 20000 RTP/AVP 0 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        "a=ptime:20",
        "a=sendrecv",
        "m=video 0 RTP/AVP 97",
        "",
    ]


def test_media_lines_keep_number_and_order_and_the_first_that_fits_is_taken() -> None:
    offer = (
        "v=0\nc=IN IP4 192.0.2.1\nt=3034423619 3042462419\nm=video 5000 RTP/AVP 97\nm=audio 0 RTP/AVP 0\n"
        "m=audio 5002 RTP/SAVP 0\nm=audio 5004 RTP/AVP 8\nm=audio 5006 RTP/AVP 0\nm=application 5008 UDP/BFCP *\n"
    )
    agreed = negotiate_answer(offer, LOCAL)
    answer = parse(agreed.sdp)
    assert [(media.kind, media.port) for media in answer.media] == [
        ("video", 0), ("audio", 0), ("audio", 0), ("audio", 20000), ("audio", 0), ("application", 0),
    ]  # fmt: skip
    assert answer.media[5].formats == ("*",)
    assert answer.time == "3034423619 3042462419"
    assert agreed.port == 5004


@pytest.mark.parametrize(
    ("theirs", "wish", "ours", "on_hold"),
    [
        ("sendrecv", "sendrecv", "sendrecv", False),
        ("sendonly", "sendrecv", "recvonly", True),
        ("recvonly", "sendrecv", "sendonly", False),
        ("inactive", "sendrecv", "inactive", True),
        ("sendrecv", "sendonly", "sendonly", False),
        ("sendrecv", "recvonly", "recvonly", False),
        ("sendonly", "sendonly", "inactive", True),
        ("recvonly", "inactive", "inactive", False),
    ],
)
def test_directions_are_answered_from_our_side(
    theirs: Direction, wish: Direction, ours: Direction, on_hold: bool
) -> None:
    local = replace(LOCAL, direction=wish)
    agreed = negotiate_answer(audio(f"a={theirs}"), local)
    assert (agreed.direction, agreed.on_hold) == (ours, on_hold)
    assert parse(agreed.sdp).media[0].values(ours) == ("",)
    assert accept_answer(audio(f"a={theirs}"), local).direction == ours


def test_a_session_direction_holds_for_media_that_has_none() -> None:
    offer = audio().replace("t=0 0", "t=0 0\r\na=inactive")
    assert negotiate_answer(offer, LOCAL).direction == "inactive"
    assert negotiate_answer(offer + "a=sendrecv\r\n", LOCAL).direction == "sendrecv"


def test_the_unspecified_address_is_a_hold() -> None:
    agreed = negotiate_answer(audio(address="0.0.0.0"), LOCAL)
    assert (agreed.direction, agreed.on_hold) == ("recvonly", True)


@pytest.mark.parametrize(
    ("lines", "ptime"),
    [
        ([], 20),
        (["a=ptime:30"], 30),
        (["a=ptime:10"], 10),
        (["a=ptime:60"], 60),
        (["a=ptime:25"], 20),
        (["a=ptime:200"], 20),
        (["a=ptime:twenty"], 20),
        (["a=ptime:40", "a=maxptime:30"], 30),
        (["a=maxptime:15"], 10),
        (["a=maxptime:5"], 10),
        (["a=maxptime:150"], 20),
    ],
)
def test_packet_time(lines: list[str], ptime: int) -> None:
    assert negotiate_answer(audio(*lines), LOCAL).ptime == ptime


@pytest.mark.parametrize(
    ("formats", "rtpmap", "ptime"),
    [("97", "97 opus/48000/2", 20), ("97", "97 L16/16000", 40), ("97", "97 L16/8000", 60)],
)
def test_packet_time_as_the_codec_has_it(formats: str, rtpmap: str, ptime: int) -> None:
    offer = audio(f"a=rtpmap:{rtpmap}", "a=ptime:60", media=f"audio 4000 RTP/AVP {formats}")
    assert negotiate_answer(offer, LOCAL).ptime == ptime


@pytest.mark.parametrize(
    ("offer", "words"),
    [
        (BROWSER, ["UDP/TLS/RTP/SAVPF", "opus/48000/2", "supported: audio RTP/AVP over IP4 with PCMU/8000"]),
        (audio(media="audio 4000 RTP/SAVP 0 101"), ["RTP/SAVP"]),
        (audio("a=rtpmap:18 G729/8000", media="audio 4000 RTP/AVP 18 101"), ["G729/8000"]),
        (audio(media="audio 4000 RTP/AVP 3 18"), ["offered audio RTP/AVP port 4000 (IP4)"]),
        (audio("a=rtpmap:97 opus/48000", media="audio 4000 RTP/AVP 97"), ["opus/48000"]),
        (audio(media="audio 4000 RTP/AVP 101"), ["telephone-event"]),
        (audio(media="audio 0 RTP/AVP 0"), ["port 0"]),
        (audio(media="video 4000 RTP/AVP 31"), ["video"]),
        (audio(address="224.2.1.1/127"), ["IP4"]),
        (audio().replace("IN IP4 192.0.2.1", "IN IP6 2001:db8::1"), ["(IP6)"]),
        ("v=0\r\nm=audio 4000 RTP/AVP 0\r\n", ["no c= line"]),
        ("v=0\r\n", ["offered none"]),
    ],
)
def test_what_does_not_fit_is_refused_by_naming_both_sides(offer: str, words: list[str]) -> None:
    with pytest.raises(NotAcceptable) as caught:
        negotiate_answer(offer, LOCAL)
    assert [word for word in words if word not in str(caught.value)] == []


def test_ipv6_is_answered_with_ipv6() -> None:
    offer = audio().replace("IN IP4 192.0.2.1", "IN IP6 2001:db8::1")
    agreed = negotiate_answer(offer, replace(LOCAL, address="2001:db8::10"))
    assert agreed.address == "2001:db8::1"
    assert "c=IN IP6 2001:db8::10\r\n" in agreed.sdp


def test_our_offer_names_every_codec_and_one_telephone_event_for_each_clock() -> None:
    (media,) = parse(make_offer(LOCAL)).media
    assert media.formats == ("0", "8", "9", "96", "97", "98", "101", "99", "100")
    assert media.values("rtpmap") == (
        "0 PCMU/8000", "8 PCMA/8000", "9 G722/8000", "96 L16/16000", "97 L16/8000", "98 opus/48000/2",
        "101 telephone-event/8000", "99 telephone-event/16000", "100 telephone-event/48000",
    )  # fmt: skip


@pytest.mark.parametrize("codec", LOCAL.codecs, ids=lambda codec: codec.rtpmap)
def test_both_sides_of_our_own_negotiation_agree(codec: object) -> None:
    peer = replace(LOCAL, address="192.0.2.20", port=30000, codecs=(codec,))
    answer = negotiate_answer(make_offer(LOCAL), peer)
    agreed = accept_answer(answer.sdp, LOCAL)
    assert (agreed.codec, agreed.address, agreed.port) == (codec, "192.0.2.20", 30000)
    assert (agreed.payload_type, agreed.telephone_event) == (answer.payload_type, answer.telephone_event)
    assert (agreed.own_payload_type, agreed.own_telephone_event) == (None, None)
    assert agreed.sdp == make_offer(LOCAL)


def test_an_answer_may_number_otherwise_than_the_offer() -> None:
    answer = audio(
        "a=rtpmap:120 opus/48000/2", "a=rtpmap:121 telephone-event/48000", media="audio 4000 RTP/AVP 120 121"
    )
    agreed = accept_answer(answer, LOCAL)
    assert (agreed.codec, agreed.payload_type, agreed.telephone_event) == (OPUS, 120, 121)
    assert (agreed.own_payload_type, agreed.own_telephone_event) == (98, 100)


def test_an_answer_of_several_codecs_allows_each_of_them() -> None:
    answer = audio(
        "a=rtpmap:120 opus/48000/2", "a=rtpmap:98 telephone-event/48000", "a=rtpmap:101 telephone-event/8000",
        media="audio 4000 RTP/AVP 8 18 120 0 98 101",
    )  # fmt: skip
    agreed = accept_answer(answer, LOCAL)
    assert (agreed.codec, agreed.telephone_event) == (PCMA, 101)
    assert [(one.codec, one.payload_type, one.own_payload_type, one.telephone_event) for one in agreed.others] == [
        (OPUS, 120, 98, 98),
        (PCMU, 0, None, 101),
    ]


@pytest.mark.parametrize(
    "answer", [audio(media="audio 0 RTP/AVP 0"), audio(media="audio 4000 RTP/AVP 9")], ids=["port 0", "not offered"]
)
def test_a_refusing_answer_is_not_acceptable(answer: str) -> None:
    with pytest.raises(NotAcceptable):
        accept_answer(answer, replace(LOCAL, codecs=(PCMU,)))


def test_a_renewed_offer_keeps_lines_and_numbers() -> None:
    agreed = negotiate_answer(ASTERISK + "m=video 28300 RTP/AVP 97\n", LOCAL)
    offer = renew_offer(agreed, replace(LOCAL, version=2, direction="sendonly"))
    before, after = parse(agreed.sdp), parse(offer)
    assert after.origin == "- 7 2 IN IP4 192.0.2.10"
    assert [(m.kind, m.port, m.formats) for m in after.media] == [(m.kind, m.port, m.formats) for m in before.media]
    assert after.media[0].values("sendonly") == ("",)
    assert after.media[0].values("sendrecv") == ()
    assert accept_answer(audio("a=recvonly"), LOCAL, offer=offer).sdp == offer


LINES = [
    *BARESIP.splitlines(), *ASTERISK.splitlines(), *BROWSER.splitlines(), "a=rtpmap:", "a=rtpmap:0", "a=rtpmap:0 /",
    "a=rtpmap:0 L16/²/1", "a=rtcp:", "a=ptime:", "a=ptime:99999999999999999999", "m=audio 1 RTP/AVP 0 999 ²",
    "c=IN IP6 ::", "c=IN IP6 fe80::1%eth0", "m=audio 5 RTP/AVP 128 127 000",
]  # fmt: skip


@given(st.lists(st.sampled_from(LINES), max_size=30))
def test_whatever_peers_say_there_is_an_answer_or_a_refusal(lines: list[str]) -> None:
    offer = "\r\n".join(["v=0", *lines])
    try:
        agreed = negotiate_answer(offer, LOCAL)
    except SdpError:
        return
    check_answer(offer, agreed)


def check_answer(offer: str, agreed: Agreed) -> None:
    """What RFC 3264 section 6 wants of every answer."""
    theirs, ours = parse(offer), parse(agreed.sdp)
    assert [media.kind for media in ours.media] == [media.kind for media in theirs.media]
    assert [media.protocol for media in ours.media] == [media.protocol for media in theirs.media]
    assert sum(media.port != 0 for media in ours.media) == 1
