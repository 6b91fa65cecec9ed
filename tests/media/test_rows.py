"""Rows are taken and given back."""

import numpy as np
import pytest
from flexml.media.rows import FRAME_SAMPLES, Rows, RowsFull, elements, every


def test_a_frame_is_20_ms_at_8_khz() -> None:
    assert FRAME_SAMPLES == 160


def test_the_lowest_free_row_is_taken() -> None:
    rows = Rows(4)
    assert [rows.open() for _ in range(3)] == [0, 1, 2]
    rows.close(1)
    rows.close(0)
    assert [rows.open() for _ in range(3)] == [0, 1, 3]


def test_no_row_is_left() -> None:
    rows = Rows(1)
    rows.open()
    with pytest.raises(RowsFull, match="all 1 rows are in use"):
        rows.open()


@pytest.mark.parametrize("row", [-1, 0, 2])
def test_a_row_not_in_use_cannot_be_given_back(row: int) -> None:
    rows = Rows(2)
    for _ in range(2):
        rows.open()
    rows.close(0)
    with pytest.raises(ValueError, match=f"row {row} is not in use"):
        rows.close(row)
    assert rows.open() == 0


def test_elements_are_rows_of_the_same_memory() -> None:
    table = np.arange(24).reshape(4, 3, 2)
    elements(table)[[3, 0]] = elements(np.arange(100, 112).reshape(2, 3, 2))
    assert table[[3, 0]].ravel().tolist() == list(range(100, 112))
    assert elements(table).take([1]).view(np.int64).tolist() == list(range(6, 12))
    assert elements(np.zeros((0, 3, 2))).size == 0


def test_every_flag_or_not() -> None:
    assert every(np.ones(3, np.bool_))
    assert every(np.zeros(0, np.bool_))
    assert not every(np.array([True, False, True]))
