"""Numbers as people write them."""

from __future__ import annotations

import phonenumbers
import pytest
from flexml.engine.countries import ALPHA_3
from flexml.engine.numbering import shown_formats


@pytest.mark.parametrize(
    ("number", "country", "national", "international"),
    [
        ("15162065319", "USA", "(516) 206-5319", "+1 516-206-5319"),  # the reference's sample
        ("14165550123", "CAN", "(416) 555-0123", "+1 416-555-0123"),
        ("442079460958", "GBR", "020 7946 0958", "+44 20 7946 0958"),
        ("4930123456", "DEU", "030 123456", "+49 30 123456"),
        ("15550001000", "USA", "(555) 000-1000", "+1 555-000-1000"),  # nobody's
        ("80012345678", None, "1234 5678", "+800 1234 5678"),  # no country's
        ("100", None, "100", "100"),
        ("reception", None, "reception", "reception"),
    ],
)
def test_a_number_as_it_is_shown(number: str, country: str | None, national: str, international: str) -> None:
    found = shown_formats(number)
    assert (found["in_country_format"], found["international_format"]) == (national, international)
    assert found["country_code"] == country


def test_every_region_that_has_numbers_has_a_code_of_its_own() -> None:
    assert set(phonenumbers.SUPPORTED_REGIONS) <= ALPHA_3.keys()
    assert len(set(ALPHA_3.values())) == len(ALPHA_3)
    assert all(len(code) == 3 for code in ALPHA_3.values())
