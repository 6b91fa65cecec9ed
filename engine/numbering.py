"""How telephone numbers are shown: their country, and as people there and elsewhere write them (ITU-T E.123)."""

from __future__ import annotations

import phonenumbers
from phonenumbers import PhoneNumberFormat

from .countries import ALPHA_3


def shown_formats(phonenumber: str) -> dict[str, str | None]:
    """`country_code` (ISO 3166-1 alpha-3), `in_country_format`, `international_format` of a number in E.164.

    The number comes without its plus. What is no such number, an extension for one, has no country and is shown as it
    is; so are numbers that are no country's.
    """
    try:
        number = phonenumbers.parse(f"+{phonenumber}")
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_possible_number(number):
        return {"country_code": None, "in_country_format": phonenumber, "international_format": phonenumber}
    # A number that nobody has yet belongs to the country that gives out such numbers.
    region = phonenumbers.region_code_for_number(number) or phonenumbers.region_code_for_country_code(
        number.country_code or 0
    )
    return {
        "country_code": ALPHA_3.get(region),
        "in_country_format": phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL),
        "international_format": phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL),
    }
