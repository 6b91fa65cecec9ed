"""G.711 against the implementation in Python's own audioop (Sun's, as in most of the world's software)."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from flexml.codecs import g711
from flexml.codecs.g711 import AnySamples, Octets, Samples

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    audioop = pytest.importorskip("audioop", reason="audioop left Python with 3.13")

Encode = Callable[[AnySamples], Octets]
Decode = Callable[[Octets], Samples]

OCTETS = np.arange(256, dtype=np.uint8)
POSITIVE = np.arange(32768, dtype=np.int16)
LAWS = [
    pytest.param(g711.encode_ulaw, g711.decode_ulaw, "lin2ulaw", "ulaw2lin", id="ulaw"),
    pytest.param(g711.encode_alaw, g711.decode_alaw, "lin2alaw", "alaw2lin", id="alaw"),
]


@pytest.mark.parametrize(("encode", "decode", "lin2law", "law2lin"), LAWS)
def test_decodes_every_octet_as_audioop(encode: Encode, decode: Decode, lin2law: str, law2lin: str) -> None:
    golden = np.frombuffer(getattr(audioop, law2lin)(OCTETS.tobytes(), 2), np.int16)
    assert decode(OCTETS).dtype == np.float32
    assert (decode(OCTETS) == golden).all()


@pytest.mark.parametrize(("encode", "decode", "lin2law", "law2lin"), LAWS)
def test_encodes_every_positive_sample_as_audioop(encode: Encode, decode: Decode, lin2law: str, law2lin: str) -> None:
    golden = np.frombuffer(getattr(audioop, lin2law)(POSITIVE.tobytes(), 2), np.uint8)
    assert (encode(POSITIVE.astype(np.float32)) == golden).all()


@pytest.mark.parametrize(("encode", "decode", "lin2law", "law2lin"), LAWS)
def test_encodes_negative_samples_as_the_mirror_of_positive_ones(
    encode: Encode, decode: Decode, lin2law: str, law2lin: str
) -> None:
    positive = encode(POSITIVE.astype(np.float32))
    assert (encode((~POSITIVE).astype(np.float32)) == positive ^ 0x80).all()


def test_encodes_every_negative_sample_as_audioop_in_alaw() -> None:
    negative = ~POSITIVE
    golden = np.frombuffer(audioop.lin2alaw(negative.tobytes(), 2), np.uint8)
    assert (g711.encode_alaw(negative.astype(np.float32)) == golden).all()


@pytest.mark.parametrize(("encode", "decode", "lin2law", "law2lin"), LAWS)
def test_encoding_what_was_decoded_gives_the_same_sound(
    encode: Encode, decode: Decode, lin2law: str, law2lin: str
) -> None:
    assert (decode(encode(decode(OCTETS))) == decode(OCTETS)).all()


@pytest.mark.parametrize(("encode", "decode", "lin2law", "law2lin"), LAWS)
def test_clips_what_is_beyond_16_bits(encode: Encode, decode: Decode, lin2law: str, law2lin: str) -> None:
    loud = np.array([[1e6, -1e6, 32767.4, -32768.4]], np.float32)
    limit = np.array([[32767, -32768, 32767, -32768]], np.float32)
    assert (encode(loud) == encode(limit)).all()
    assert encode(loud).shape == (1, 4)


@pytest.mark.parametrize(("encode", "decode", "lin2law", "law2lin"), LAWS)
def test_octets_are_decoded_as_they_are_however_many_and_wherever_they_lie(
    encode: Encode, decode: Decode, lin2law: str, law2lin: str
) -> None:
    table = np.arange(300, dtype=np.uint16).astype(np.uint8).reshape(3, 100)
    values = decode(OCTETS)
    for octets in (table[:, :7], table[:, 1::3], table[:0], table[0, :1], table.T, table[1, 3:]):
        assert decode(octets).shape == octets.shape
        assert (decode(octets) == values[octets]).all()


@pytest.mark.parametrize(("encode", "decode", "lin2law", "law2lin"), LAWS)
def test_whole_samples_are_encoded_as_others_of_that_value(
    encode: Encode, decode: Decode, lin2law: str, law2lin: str
) -> None:
    whole = np.arange(-32768, 32768).astype(np.int16)
    assert (encode(whole) == encode(whole.astype(np.float32))).all()
    assert (encode(whole.astype(np.float32) + np.float32(0.25)) == encode(whole)).all()
