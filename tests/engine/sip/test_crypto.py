"""The crypto attribute (RFC 4568), as Cisco, Linksys, snom, baresip and others write it."""

from __future__ import annotations

import base64

import pytest
from flexml.engine.sip.crypto import SUITES, Crypto, answered, fresh_keys, offered, read, read_all, without_keys
from hypothesis import given
from hypothesis import strategies as st

KEY = bytes(range(30))
INLINE = "inline:" + base64.b64encode(KEY).decode()
LONG = "inline:" + base64.b64encode(bytes(46)).decode()
CM_80, CM_32 = SUITES

USABLE = [
    (f"1 {CM_80} {INLINE}", Crypto(tag=1, suite=CM_80, key=KEY)),
    (f"2 {CM_32} {INLINE}", Crypto(tag=2, suite=CM_32, key=KEY)),
    (f"1 {CM_80} {INLINE}|2^20", Crypto(tag=1, suite=CM_80, key=KEY)),
    (f"1 {CM_80} {INLINE}|2147483648", Crypto(tag=1, suite=CM_80, key=KEY)),
    (f"999999999  {CM_80.lower()}\t{INLINE.replace('inline', 'INLINE')} ", Crypto(tag=999999999, suite=CM_80, key=KEY)),
    (f"1 {CM_80} {INLINE} WSH=128", Crypto(tag=1, suite=CM_80, key=KEY)),
    (f"1 {CM_80} {INLINE} -UNENCRYPTED_SRTCP WSH=64", Crypto(tag=1, suite=CM_80, key=KEY)),
]

UNUSABLE = [
    ("", "expected <tag> <suite> inline:<key>"),
    ("1", "expected <tag>"),
    (f"x {CM_80} {INLINE}", "expected <tag>"),
    (f"1 {CM_80}", "expected <tag>"),
    (f"1 AEAD_AES_256_GCM {INLINE}", "1: suite AEAD_AES_256_GCM, expected AES_CM_128_HMAC_SHA1_80 or"),
    (f"1 AES_256_CM_HMAC_SHA1_80 {LONG}", "1: suite AES_256_CM_HMAC_SHA1_80"),
    (f"1 {CM_80} {LONG}", "1: a key of 46 octets, expected 30"),
    (f"1 {CM_80} inline:", "1: a key of 0 octets"),
    (f"1 {CM_80} inline:{'!' * 40}", "1: the key is not base64"),
    (f"1 {CM_80} inline:abc", "1: the key is not base64"),
    (f"1 {CM_80} uri:somewhere", "1: expected one key by inline:"),
    (f"1 {CM_80} {INLINE}|2^31|1:4", "1: a master key identifier (MKI) is not supported"),
    (f"1 {CM_80} {INLINE}|1:4", "1: a master key identifier (MKI) is not supported"),
    (f"1 {CM_80} {INLINE}|1:4;{INLINE}|2:4", "1: expected one key by inline:"),
    (f"1 {CM_80} {INLINE}|soon", "1: expected a lifetime"),
    (f"1 {CM_80} {INLINE}|2^20|2^20", "1: expected a lifetime"),
    (f"1 {CM_80} {INLINE} KDR=10", "1: KDR=10 is not supported"),
    (f"1 {CM_80} {INLINE} UNENCRYPTED_SRTP", "1: UNENCRYPTED_SRTP is not supported"),
    (f"1 {CM_80} {INLINE} UNAUTHENTICATED_SRTP", "1: UNAUTHENTICATED_SRTP is not supported"),
]


@pytest.mark.parametrize(("value", "expected"), USABLE)
def test_a_line_that_we_can_use_is_read(value: str, expected: Crypto) -> None:
    assert read(value) == expected


@pytest.mark.parametrize(("value", "expected"), UNUSABLE)
def test_a_line_that_we_cannot_use_says_why_without_its_key(value: str, expected: str) -> None:
    with pytest.raises(ValueError, match=r"expected|supported|base64") as error:
        read(value)
    assert str(error.value).startswith(expected)
    assert INLINE[7:] not in str(error.value)


def test_of_several_lines_the_usable_ones_are_kept_in_their_order() -> None:
    usable, wrong = read_all([UNUSABLE[4][0], f"5 {CM_32} {INLINE}", f"6 {CM_80} {INLINE}"])
    assert [(one.tag, one.suite) for one in usable] == [(5, CM_32), (6, CM_80)]
    assert len(wrong) == 1


def test_an_offer_has_each_suite_once_with_a_key_of_its_own() -> None:
    keys = fresh_keys()
    lines = offered(keys)
    assert [(line.tag, line.suite) for line in lines] == [(1, CM_80), (2, CM_32)]
    assert len({line.key for line in lines}) == 2
    assert [read(str(line)) for line in lines] == list(lines)


def test_an_answer_has_the_tag_and_the_suite_of_the_offer_and_our_key() -> None:
    keys = fresh_keys()
    assert answered(Crypto(tag=7, suite=CM_32, key=KEY), keys) == Crypto(tag=7, suite=CM_32, key=keys[1])


def test_keys_are_fresh_each_time() -> None:
    assert len({key for _ in range(10) for key in fresh_keys()}) == 20


def test_no_key_is_shown() -> None:
    line = Crypto(tag=1, suite=CM_80, key=b"k" * 30)
    assert "kkk" not in repr(line)
    message = f"INVITE sip:a@b SIP/2.0\r\n\r\na=crypto:{line}|2^31\r\na=crypto:{line}\r\na=sendrecv\r\n"
    masked = f"a=crypto:1 {CM_80} inline:***"
    assert without_keys(message) == f"INVITE sip:a@b SIP/2.0\r\n\r\n{masked}|2^31\r\n{masked}\r\na=sendrecv\r\n"


@given(st.text(max_size=120))
def test_a_line_is_read_or_refused_whatever_it_holds(value: str) -> None:
    usable, wrong = read_all([value])
    assert len(usable) + len(wrong) == 1
