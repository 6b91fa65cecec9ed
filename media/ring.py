"""Linux's io_uring by numpy: many system calls in one, prepared as rows of an array.

Only what `uring` needs: requests that never wait, each prepared once in a place of its own, submitted by the number
of that place. Whatever completes has done so when `submit` returns, so that memory given to the kernel is ours again.
See io_uring(7), io_uring_setup(2), io_uring_enter(2); the numbers are from linux/io_uring.h.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import socket
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]

SEND: Final = 26
RECEIVE: Final = 27
"""Operations: send(2) and recv(2)."""

QUIET: Final = 1 << 6
"""A flag of a request: nothing is said of it if it succeeds."""

REQUEST: Final = np.dtype(
    [
        ("operation", "u1"),
        ("flags", "u1"),
        ("priority", "u2"),
        ("descriptor", "i4"),
        ("offset", "u8"),
        ("address", "u8"),
        ("length", "u4"),
        ("options", "u4"),
        ("tag", "u8"),
        ("rest", "u8", 3),
    ]
)
ANSWER: Final = np.dtype([("tag", "i8"), ("result", "i4"), ("flags", "u4")])

_PARAMETERS: Final = np.dtype(
    [
        ("requests", "u4"),
        ("answers", "u4"),
        ("flags", "u4"),
        ("polling", "u4", 2),
        ("features", "u4"),
        ("rest", "u4", 4),
        ("request_at", "u4", 8),
        ("request_rest", "u8"),
        ("answer_at", "u4", 8),
        ("answer_rest", "u8"),
    ]
)
_HEAD, _TAIL, _MASK = 0, 1, 2
_REQUEST_NUMBERS, _ANSWERS = 6, 5
"""What the numbers in `request_at` and `answer_at` are the offsets of."""

_ANSWERS_WANTED: Final = 1 << 3
_GO_ON: Final = 1 << 7
_ONE_THREAD: Final = 1 << 12
"""IORING_SETUP_CQSIZE, _SUBMIT_ALL, and _SINGLE_ISSUER, which came last, with Linux 6.0."""

_ONE_MAPPING: Final = 1 << 0
_REQUESTS_MAPPING: Final = 0x10000000
_SETUP, _ENTER = 425, 426
_MACHINES: Final = ("x86_64", "aarch64")
"""Where the numbers of the calls are these."""

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_ENTER_CALL: Final = _LIBC["syscall"]
_ENTER_CALL.restype = ctypes.c_long
_ENTER_CALL.argtypes = [ctypes.c_long, *[ctypes.c_uint] * 4, ctypes.c_void_p, ctypes.c_size_t]


class Ring:
    """Room for `places` requests, at most all of them at once. To be used by the thread that made it.

    A request is tagged with its place, and does not wait (MSG_DONTWAIT).
    """

    def __init__(self, places: int) -> None:
        """Raise OSError where the kernel does not have it, or does not let us."""
        if platform.machine() not in _MACHINES:
            raise OSError(errno.ENOSYS, f"io_uring is not known on {platform.machine()}")
        parameters = np.zeros(1, _PARAMETERS)
        parameters["answers"] = 2 * _power_of_two(places)
        parameters["flags"] = _ANSWERS_WANTED | _GO_ON | _ONE_THREAD
        self._descriptor: int = _call(_SETUP, _power_of_two(places), ctypes.c_void_p(parameters.ctypes.data))
        set_up = parameters[0]
        if not set_up["features"] & _ONE_MAPPING:
            os.close(self._descriptor)
            raise OSError(errno.ENOSYS, "this io_uring is too old")
        at, answers_at = set_up["request_at"].tolist(), set_up["answer_at"].tolist()
        count, answers = int(set_up["requests"]), int(set_up["answers"])
        size = max(at[_REQUEST_NUMBERS] + 4 * count, answers_at[_ANSWERS] + ANSWER.itemsize * answers)
        ring = mmap.mmap(self._descriptor, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        self.requests: NDArray[Any] = np.frombuffer(
            mmap.mmap(
                self._descriptor,
                count * REQUEST.itemsize,
                flags=mmap.MAP_SHARED | mmap.MAP_POPULATE,
                offset=_REQUESTS_MAPPING,
            ),
            REQUEST,
        )
        self._request_numbers: NDArray[np.uint32] = np.frombuffer(ring, np.uint32, count, at[_REQUEST_NUMBERS])
        self._request_tail: NDArray[np.uint32] = np.frombuffer(ring, np.uint32, 1, at[_TAIL])
        self._answers: NDArray[Any] = np.frombuffer(ring, ANSWER, answers, answers_at[_ANSWERS])
        self._answer_head: NDArray[np.uint32] = np.frombuffer(ring, np.uint32, 1, answers_at[_HEAD])
        self._answer_tail: NDArray[np.uint32] = np.frombuffer(ring, np.uint32, 1, answers_at[_TAIL])
        self._mask: int = count - 1
        self._answer_mask: int = answers - 1
        self._results: NDArray[np.int32] = np.zeros(count, np.int32)
        self.requests["tag"] = np.arange(count)
        self.requests["options"] = socket.MSG_DONTWAIT

    def submit(self, places: Indices) -> None:
        """Carry out the requests at `places`, one after the other."""
        count = places.size
        tail = int(self._request_tail[0])
        first = tail & self._mask
        before_end = self._request_numbers.size - first
        self._request_numbers[first : first + count] = places[:before_end]
        if count > before_end:
            self._request_numbers[: count - before_end] = places[before_end:]
        self._request_tail[0] = (tail + count) & 0xFFFFFFFF
        while count > 0:
            try:
                count -= _enter(self._descriptor, count)
            except InterruptedError:
                continue

    def ask(self, places: Indices) -> NDArray[np.int32]:
        """Carry out the requests at `places`, and return the result of each: what the system call returns, or -errno.

        They are none that are QUIET.
        """
        self.submit(places)
        answers = self._said()
        self._results[answers["tag"]] = answers["result"]
        return self._results[places]

    def _said(self) -> NDArray[Any]:
        """Return what was said since the last time, ANSWER[n], to be read at once; by quiet requests if they failed."""
        head = int(self._answer_head[0])
        count = (int(self._answer_tail[0]) - head) & 0xFFFFFFFF
        first = head & self._answer_mask
        said = self._answers[first : first + count]
        if said.size < count:
            said = np.concatenate([said, self._answers[: count - said.size]])
        self._answer_head[0] = (head + count) & 0xFFFFFFFF
        return said

    def close(self) -> None:
        """Give the ring back to the kernel."""
        os.close(self._descriptor)


def addresses(array: NDArray[Any]) -> NDArray[np.uint64]:
    """Return where each row of `array` lies in memory, for requests."""
    return np.uint64(array.ctypes.data) + np.uint64(array.strides[0]) * np.arange(array.shape[0], dtype=np.uint64)


def address(array: NDArray[Any]) -> int:
    """Return where `array` lies in memory, which is contiguous and can be written to; faster than `ctypes.data`."""
    return ctypes.addressof(ctypes.c_char.from_buffer(array.data))


def _power_of_two(least: int) -> int:
    return 1 << max(0, least - 1).bit_length()


def _enter(descriptor: int, count: int) -> int:
    return _checked(_ENTER_CALL(_ENTER, descriptor, count, 0, 0, None, 0))


def _call(number: int, *arguments: Any) -> int:
    return _checked(_LIBC.syscall(number, *arguments))


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"io_uring: {os.strerror(code)}")
    return result
