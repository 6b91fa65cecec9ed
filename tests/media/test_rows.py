"""Rows are taken and given back."""

import pytest
from flexml.media.rows import FRAME_SAMPLES, Rows, RowsFull


def test_a_frame_is_20_ms_at_8_khz() -> None:
    assert FRAME_SAMPLES == 160


def test_the_lowest_free_row_is_taken() -> None:
    rows = Rows(4)
    assert [rows.open() for _ in range(3)] == [0, 1, 2]
    rows.close(1)
    rows.close(0)
    assert [rows.open() for _ in range(3)] == [0, 1, 3]


def test_active_rows_ascend() -> None:
    rows = Rows(4)
    assert rows.active.tolist() == []
    for _ in range(4):
        rows.open()
    rows.close(2)
    assert rows.active.tolist() == [0, 1, 3]


def test_no_row_is_left() -> None:
    rows = Rows(1)
    rows.open()
    with pytest.raises(RowsFull, match="all 1 rows are in use"):
        rows.open()


@pytest.mark.parametrize("row", [-1, 0, 2])
def test_a_row_not_in_use_cannot_be_given_back(row: int) -> None:
    with pytest.raises(ValueError, match=f"row {row} is not in use"):
        Rows(2).close(row)
