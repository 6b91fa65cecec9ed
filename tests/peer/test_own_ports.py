"""Ports for the tests' programs are nobody else's."""

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ports import FIRST, LAST, LAST_RTP, free_block, free_port, free_sip_port

KERNELS = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def test_no_port_is_given_out_twice() -> None:
    with ThreadPoolExecutor(8) as threads:
        blocks = list(threads.map(free_block, [4] * 200))
        singles = list(threads.map(free_port, [socket.SOCK_DGRAM] * 200))
    given = [port for block in blocks for port in range(block, block + 4)] + singles
    assert len(set(given)) == len(given)
    assert all(block % 2 == 0 for block in blocks)


def test_all_are_below_those_that_the_kernel_gives_out() -> None:
    assert FIRST < LAST < LAST_RTP < KERNELS
    assert FIRST <= free_sip_port() <= LAST


def test_one_that_somebody_has_is_passed_over() -> None:
    start = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", start + 2))
        block = free_block(2)
        assert not block <= start + 2 < block + 2
