"""RTP port pairs."""

import resource
import socket
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

import pytest
from flexml.engine.errors import MediaError
from flexml.engine.load.run import free_ports
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


HERE = "127.0.0.1"


@contextmanager
def taken(*ports: int) -> Generator[None]:
    """Another program has them."""
    with ExitStack() as sockets:
        for port in ports:
            sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind((HERE, port))
        yield


def test_a_pair_of_which_another_program_has_one_is_passed_over_until_it_is_free() -> None:
    first = free_ports(HERE, 8)
    pool = PortPool(first, first + 7, HERE)
    with taken(first, first + 3):
        assert [pool.take(), pool.take()] == [first + 4, first + 6]
        with pytest.raises(MediaError, match="no RTP port left in"):
            pool.take()
    assert {pool.take(), pool.take()} == {first, first + 2}


def test_a_pair_that_has_been_used_is_passed_over_once_another_program_has_it() -> None:
    first = free_ports(HERE, 4)
    pool = PortPool(first, first + 3, HERE)
    for port in (pool.take(), pool.take()):
        pool.give_back(port)
    with taken(first):
        assert pool.take() == first + 2
        with pytest.raises(MediaError):
            pool.take()


def test_a_pair_that_cannot_be_tried_is_not_lost() -> None:
    first = free_ports(HERE, 4)
    pool = PortPool(first, first + 3, HERE)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(MediaError, match="no RTP port can be tried: Too many open files"):
            pool.take()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [pool.take(), pool.take()] == [first, first + 2]


def test_an_address_that_is_not_ours_is_for_others_to_find_out() -> None:
    assert PortPool(42120, 42121, "192.0.2.1").take() == 42120
