"""What the resolver of names and the stack have in common by agreement only."""

from __future__ import annotations

import re
from pathlib import Path

from flexml.engine.sip.stack import resolver

SITE = Path(__file__).parents[3] / "scripts/config_site.h"


def test_the_stack_has_been_built_for_as_many_addresses_as_it_is_given_room_for() -> None:
    """It copies all of them, used or not: with fewer it would read what is not its own."""
    defined = re.search(r"^#define PJSIP_MAX_RESOLVED_ADDRESSES +(\d+)$", SITE.read_text(), re.MULTILINE)
    assert defined is not None
    assert int(defined[1]) == resolver.MOST
