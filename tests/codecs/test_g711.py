"""G.711 against the implementation in Python's own audioop (Sun's, as in most of the world's software)."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from flexml.codecs import g711
from flexml.codecs.g711 import Octets, Samples

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    audioop = pytest.importorskip("audioop", reason="audioop left Python with 3.13")

Encode = Callable[[Samples], Octets]
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
