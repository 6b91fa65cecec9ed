"""Offer and answer of RTP/SAVP: what is answered, refused and offered under each policy."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from flexml.codecs.catalog import PCMA, PCMU
from flexml.engine.errors import NotAcceptable, SdpError
from flexml.engine.sip.crypto import SUITES, Policy
from flexml.engine.sip.negotiation import (
    LocalMedia,
    accept_answer,
    make_offer,
    names_keys,
    negotiate_answer,
    renew_offer,
)
from flexml.engine.sip.sdp import parse
from flexml.media.protocol import SrtpKeys

THEIRS = bytes(range(30))
CM_80, CM_32 = SUITES
OURS = (b"a" * 30, b"b" * 30)
HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
PLAIN = "m=audio 6000 RTP/AVP 0\r\n"
SECURE = "m=audio 7000 RTP/SAVP 8\r\n"


def crypto(suite: str = CM_80, *, tag: int = 1, key: bytes = THEIRS) -> str:
    return f"a=crypto:{tag} {suite} inline:{base64.b64encode(key).decode()}\r\n"


def local(policy: Policy) -> LocalMedia:
    return LocalMedia(
        address="192.0.2.10", port=20000, codecs=(PCMU, PCMA), session_id=7, srtp=policy, keys=OURS
    )  # fmt: skip


ANSWERS = [  # policy, offer, the lines of the answer, the suite
    ("off", PLAIN, ["RTP/AVP 20000"], ""),
    ("off", SECURE + crypto() + PLAIN, ["RTP/SAVP 0", "RTP/AVP 20000"], ""),
    ("optional", PLAIN, ["RTP/AVP 20000"], ""),
    ("optional", PLAIN + crypto(), ["RTP/AVP 20000"], ""),
    ("optional", SECURE + crypto(), ["RTP/SAVP 20000"], CM_80),
    ("optional", SECURE + crypto(CM_32), ["RTP/SAVP 20000"], CM_32),
    ("optional", SECURE + crypto(CM_32) + crypto(tag=2), ["RTP/SAVP 20000"], CM_32),
    ("optional", SECURE + crypto("AEAD_AES_128_GCM") + crypto(tag=2), ["RTP/SAVP 20000"], CM_80),
    ("optional", PLAIN + SECURE + crypto(), ["RTP/AVP 0", "RTP/SAVP 20000"], CM_80),
    ("optional", SECURE + PLAIN, ["RTP/SAVP 0", "RTP/AVP 20000"], ""),
    ("optional", SECURE.replace(" 8", " 18") + crypto() + PLAIN, ["RTP/SAVP 0", "RTP/AVP 20000"], ""),
    ("required", SECURE + crypto(), ["RTP/SAVP 20000"], CM_80),
    ("required", PLAIN + SECURE + crypto(), ["RTP/AVP 0", "RTP/SAVP 20000"], CM_80),
]


@pytest.mark.parametrize(("policy", "offer", "lines", "suite"), ANSWERS)
def test_savp_is_answered_with_savp_and_avp_with_avp(policy: Policy, offer: str, lines: list[str], suite: str) -> None:
    agreed = negotiate_answer(HEAD + offer, local(policy))
    media = parse(agreed.sdp).media
    assert [f"{one.protocol} {one.port}" for one in media] == lines
    assert (agreed.srtp.suite if agreed.srtp else "") == suite
    ours = [value for one in media if one.port for value in one.values("crypto")]
    assert len(ours) == bool(suite)


REFUSED = [
    ("off", SECURE + crypto(), "supported: audio RTP/AVP over"),
    ("optional", SECURE, "supported: audio RTP/SAVP or RTP/AVP over"),
    ("optional", SECURE + crypto("F8_128_HMAC_SHA1_80"), "crypto 1: suite F8_128_HMAC_SHA1_80, expected"),
    ("optional", SECURE + crypto(key=bytes(29)), "crypto 1: a key of 29 octets, expected 30"),
    ("optional", SECURE.replace("SAVP", "SAVPF") + crypto(), "offered audio RTP/SAVPF port 7000"),
    ("required", PLAIN, "supported: audio RTP/SAVP over"),
    ("required", PLAIN + crypto(), "supported: audio RTP/SAVP over"),
]


@pytest.mark.parametrize(("policy", "offer", "why"), REFUSED)
def test_what_does_not_fit_is_refused_and_says_why_without_a_key(policy: Policy, offer: str, why: str) -> None:
    with pytest.raises(NotAcceptable) as error:
        negotiate_answer(HEAD + offer, local(policy))
    assert why in str(error.value)
    assert "inline" not in str(error.value)


def test_each_sends_with_the_key_that_it_wrote() -> None:
    agreed = negotiate_answer(HEAD + SECURE + crypto(CM_32, tag=9), local("optional"))
    assert agreed.srtp == SrtpKeys(suite=CM_32, ours=OURS[1], theirs=THEIRS)
    assert crypto(CM_32, tag=9, key=OURS[1]) in agreed.sdp
    assert "inline" not in repr(agreed)
    assert "aaaa" not in repr(local("optional"))


@pytest.mark.parametrize(
    ("policy", "protocol", "lines"), [("off", "AVP", 0), ("optional", "AVP", 0), ("required", "SAVP", 2)]
)
def test_keys_are_offered_where_srtp_is_required(policy: Policy, protocol: str, lines: int) -> None:
    (media,) = parse(make_offer(local(policy))).media
    assert media.protocol == f"RTP/{protocol}"
    assert len(media.values("crypto")) == lines


def test_an_offer_with_keys_is_accepted_by_an_answer_with_one() -> None:
    theirs = LocalMedia(
        address="192.0.2.1", port=7000, codecs=(PCMA,), session_id=8, srtp="optional", keys=(THEIRS,) * 2
    )
    offer = make_offer(local("required"))
    at_peer = negotiate_answer(offer, theirs)
    agreed = accept_answer(at_peer.sdp, local("required"))
    assert agreed.srtp == SrtpKeys(suite=CM_80, ours=OURS[0], theirs=THEIRS)
    assert at_peer.srtp == SrtpKeys(suite=CM_80, ours=THEIRS, theirs=OURS[0])


BAD_ANSWERS = [
    ("required", PLAIN, "no media fits"),
    ("required", SECURE, "no media fits"),
    ("required", SECURE + crypto(tag=3), "crypto 3: AES_CM_128_HMAC_SHA1_80 was not offered under that tag"),
    ("required", SECURE + crypto(CM_32), "crypto 1: AES_CM_128_HMAC_SHA1_32 was not offered under that tag"),
    ("optional", SECURE + crypto(), "no media fits"),
]


@pytest.mark.parametrize(("policy", "answer", "why"), BAD_ANSWERS)
def test_an_answer_that_does_not_go_with_the_offer_is_refused(policy: Policy, answer: str, why: str) -> None:
    with pytest.raises(NotAcceptable) as error:
        accept_answer(HEAD + answer, local(policy))
    assert why in str(error.value)


def test_an_offer_within_the_dialog_repeats_the_key() -> None:
    agreed = negotiate_answer(HEAD + SECURE + crypto(tag=4), local("optional"))
    offer = renew_offer(agreed, replace(local("required"), version=2, direction="sendonly"))
    (media,) = parse(offer).media
    assert media.protocol == "RTP/SAVP"
    assert [f"a=crypto:{value}\r\n" for value in media.values("crypto")] == [crypto(tag=4, key=OURS[0])]
    renewed = accept_answer(HEAD + SECURE + crypto(tag=4, key=bytes(30)), local("required"), offer=offer)
    assert renewed.srtp == SrtpKeys(suite=CM_80, ours=OURS[0], theirs=bytes(30))


@pytest.mark.parametrize(
    ("offer", "named"),
    [(SECURE + crypto(), True), (PLAIN + SECURE + crypto(), True), (SECURE, False), (PLAIN + crypto(), False)],
)
def test_an_offer_that_names_keys_is_known(offer: str, named: bool) -> None:
    assert names_keys(HEAD + offer) is named
    assert not names_keys("rubbish")


def test_a_line_that_cannot_be_read_is_quoted_without_its_key() -> None:
    with pytest.raises(SdpError) as error:
        parse(HEAD + "A" + crypto()[1:])
    assert "inline:***" in str(error.value)
