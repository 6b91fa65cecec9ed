"""RTP port pairs."""

import pytest
from flexml.engine.errors import MediaError
from flexml.engine.ports import PortPool


def test_ports_are_even_and_leave_room_for_rtcp():
    pool = PortPool(42001, 42007)
    assert [pool.take() for _ in range(len(pool))] == [42002, 42004, 42006]


def test_the_port_returned_last_is_given_out_last():
    pool = PortPool(42000, 42006)
    first = pool.take()
    pool.give_back(first)
    assert [pool.take() for _ in range(len(pool))][-1] == first


def test_an_empty_pool_says_so():
    pool = PortPool(42000, 42001)
    pool.take()
    with pytest.raises(MediaError, match="no RTP port left in 42000 to 42001"):
        pool.take()
