"""Rows of different codecs, all at once."""

import numpy as np
import pytest
from flexml.codecs import g711
from flexml.codecs.bank import CODERS, Bank
from flexml.codecs.catalog import BY_NAME

RANDOM = np.random.default_rng(1)
OCTETS = RANDOM.integers(0, 256, (4, 160), np.uint8)
FRAMES = RANDOM.uniform(-32768, 32767, (4, 160)).astype(np.float32)
ROWS = np.array([0, 2, 3, 5])


def bank() -> Bank:
    made = Bank(8)
    for row, name in zip(ROWS.tolist(), ["PCMU", "PCMA", "PCMU", "PCMA"], strict=True):
        made.open(row, name)
    return made


def test_each_row_has_its_own_codec() -> None:
    decoded = bank().decode(OCTETS, ROWS)
    assert (decoded[[0, 2]] == g711.decode_ulaw(OCTETS[[0, 2]])).all()
    assert (decoded[[1, 3]] == g711.decode_alaw(OCTETS[[1, 3]])).all()
    encoded = bank().encode(FRAMES, ROWS)
    assert (encoded[[0, 2]] == g711.encode_ulaw(FRAMES[[0, 2]])).all()
    assert (encoded[[1, 3]] == g711.encode_alaw(FRAMES[[1, 3]])).all()


def test_rows_at_once_equal_each_row_alone() -> None:
    together, alone = bank(), bank()
    for at in range(ROWS.size):
        one = slice(at, at + 1)
        assert (together.decode(OCTETS, ROWS)[one] == alone.decode(OCTETS[one], ROWS[one])).all()
        assert (together.encode(FRAMES, ROWS)[one] == alone.encode(FRAMES[one], ROWS[one])).all()


def test_a_closed_row_is_silent() -> None:
    made = bank()
    made.close(2)
    assert not made.decode(OCTETS, ROWS)[1].any()
    assert made.decode(OCTETS, ROWS)[0].any()
    assert made.encode(FRAMES[:0], ROWS[:0]).shape == (0, 160)


def test_a_row_opened_again_changes_its_codec() -> None:
    made = bank()
    made.open(0, "PCMA")
    assert (made.decode(OCTETS, ROWS)[0] == g711.decode_alaw(OCTETS[0])).all()


def test_an_unknown_codec_is_named() -> None:
    with pytest.raises(ValueError, match="no codec 'GSM'; there are PCMU, PCMA"):
        Bank(1).open(0, "GSM")


def test_every_coder_is_in_the_catalog() -> None:
    assert set(CODERS) <= set(BY_NAME)
