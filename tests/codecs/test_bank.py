"""Rows of different codecs, all at once."""

import numpy as np
import pytest
from flexml.codecs.bank import CODERS, Bank
from flexml.codecs.catalog import BY_NAME
from flexml.codecs.coder import FRAME, Frames, Octets
from numpy.typing import NDArray

NAMES = ["PCMU", "PCMA", "G722", "L16", "L16/8000", "OPUS"]
ROWS = np.array([0, 2, 3, 5, 6, 7])
RANDOM = np.random.default_rng(1)


def bank(names: list[str] = NAMES) -> Bank:
    made = Bank(8)
    for row, name in zip(ROWS.tolist(), names, strict=False):
        made.open(row, name)
    return made


def audio(rate_hz: int, ticks: int = 5) -> Frames:
    """A little noise on every row of ROWS, tick by tick: float32[ticks, rows, 20 ms]."""
    return RANDOM.normal(0, 2000, (ticks, ROWS.size, rate_hz // 50)).astype(np.float32)


def encoded(made: Bank, sound: dict[int, Frames], rows: NDArray[np.intp]) -> dict[int, list[bytes]]:
    """Encode `sound` by rate; return what each row sends, tick by tick."""
    sent: dict[int, list[bytes]] = {row: [] for row in rows.tolist()}
    for tick in range(5):
        for coder, at in made.groups(rows):
            place = np.searchsorted(ROWS, rows[at])
            octets, lengths = coder.encode(sound[coder.rate_hz][tick, place], rows[at])
            for number, row in enumerate(rows[at].tolist()):
                size = octets.shape[1] if lengths is None else int(lengths[number])
                sent[row].append(octets[number, :size].tobytes())
    return sent


def test_each_row_is_in_the_group_of_its_codec_and_a_closed_one_in_none() -> None:
    made = bank()
    made.close(3)
    groups = {coder: at.tolist() for coder, at in made.groups(np.array([7, 5, 3, 2, 0, 6]))}
    assert sorted(groups.values()) == [[0], [1], [3], [4], [5]]


def test_rows_at_once_encode_as_each_row_alone() -> None:
    sound = {rate_hz: audio(rate_hz) for rate_hz in (8000, 16000)}
    together = encoded(bank(), sound, ROWS)
    for at, row in enumerate(ROWS.tolist()):
        assert encoded(bank(), sound, ROWS[at : at + 1])[row] == together[row]
        assert all(together[row])


@pytest.mark.parametrize("name", ["PCMU", "PCMA", "G722", "L16", "L16/8000"])
def test_rows_at_once_decode_as_each_row_alone(name: str) -> None:
    together, alone = bank([name] * 6), bank([name] * 6)
    coder = next(iter(together.groups(ROWS)))[0]
    single = next(iter(alone.groups(ROWS)))[0]
    have: NDArray[np.bool_] = np.repeat(RANDOM.random((ROWS.size, 4)) > 0.3, FRAME // 4, axis=1)
    for _ in range(3):
        octets: Octets = RANDOM.integers(0, 256, (ROWS.size, FRAME * coder.octets_per_tick), np.uint8)
        frames = coder.decode(octets, have, ROWS)
        assert frames.shape == (ROWS.size, coder.rate_hz // 50)
        for at in range(ROWS.size):
            one = slice(at, at + 1)
            assert (single.decode(octets[one], have[one], ROWS[one]) == frames[one]).all()


def test_a_row_opened_again_changes_its_codec() -> None:
    made = bank()
    made.open(0, "L16")
    assert {coder.rate_hz for coder, at in made.groups(ROWS) if 0 in at} == {16000}
    made.open(0, "PCMA")
    assert {coder.rate_hz for coder, at in made.groups(ROWS) if 0 in at} == {8000}
    made.close(0)
    assert not [coder for coder, at in made.groups(ROWS) if 0 in at]


def test_an_unknown_codec_is_named_and_changes_nothing() -> None:
    made = bank()
    with pytest.raises(ValueError, match="no codec 'GSM'; there are PCMU, PCMA"):
        made.open(0, "GSM")
    assert 0 in next(iter(made.groups(ROWS)))[1]


def test_every_codec_of_the_catalog_has_a_coder_that_agrees_with_it() -> None:
    made = Bank(1)
    assert set(CODERS) == set(BY_NAME)
    for name, codec in BY_NAME.items():
        coder = made.open(0, name)
        assert coder.rate_hz == codec.rate_hz
        if codec.octets_per_tick:
            assert coder.octets_per_tick == codec.octets_per_tick * codec.clock_hz // 8000
