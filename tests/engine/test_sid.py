"""SIDs: valid UUIDs, in the order of time, never the same twice; those that derive from one are the same each time."""

from __future__ import annotations

import time
import uuid

from flexml.engine.sid import derived_sid, new_sid


def test_a_sid_is_a_uuid_of_version_7_that_begins_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    sid = uuid.UUID(new_sid())
    after = time.time_ns() // 1_000_000
    assert (sid.version, sid.variant) == (7, uuid.RFC_4122)
    assert before <= sid.int >> 80 <= after


def test_a_sid_is_written_as_every_uuid_is() -> None:
    sid = new_sid()
    assert sid == str(uuid.UUID(sid))


def test_sids_of_the_same_moment_differ() -> None:
    assert len({new_sid() for _ in range(10_000)}) == 10_000


def test_every_bit_that_is_random_comes_up_both_ways() -> None:
    sids = [uuid.UUID(new_sid()).int for _ in range(400)]
    fixed = (0xF000 << 64) | (0xC000 << 48)
    ones, zeros = 0, 0
    for sid in sids:
        ones, zeros = ones | sid, zeros | ~sid
    assert ones & zeros & ((1 << 80) - 1) == ((1 << 80) - 1) & ~fixed


def test_a_derived_sid_is_the_same_each_time_and_of_the_same_age() -> None:
    sid = new_sid()
    derived = derived_sid(sid, "status callback")
    assert derived == derived_sid(sid, "status callback")
    assert uuid.UUID(derived).version == 8
    assert uuid.UUID(derived).variant == uuid.RFC_4122
    assert derived[:13] == sid[:13]


def test_derived_sids_differ_by_what_and_from_what_they_derive() -> None:
    one, other = new_sid(), new_sid()
    assert len({derived_sid(sid, what) for sid in (one, other) for what in ("status callback", "callback")}) == 4


def test_a_sid_of_an_earlier_version_has_derived_ones_too() -> None:
    random = str(uuid.uuid4())
    assert uuid.UUID(derived_sid(random, "callback")).version == 8
