"""What crosses between Python and pjsua2 everywhere: exceptions, errors and headers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import pjsua2 as pj

from ...errors import SipError
from ..address import one_line

log = logging.getLogger("flexml.sip")

P = ParamSpec("P")


def guarded(method: Callable[Concatenate[Any, P], None]) -> Callable[Concatenate[Any, P], None]:
    """Keep exceptions of a pjsua2 callback on the Python side."""

    @wraps(method)
    def call(self: Any, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception:
            log.exception("a SIP callback failed: %s", method.__name__)

    return call


def refused(action: str, error: pj.Error) -> SipError:
    """Make our error of pjsua2's."""
    return SipError(f"{action}: {error.reason}")


def add_headers(
    prm: pj.CallOpParam | pj.CallSendRequestParam | pj.SendInstantMessageParam, headers: Sequence[tuple[str, str]]
) -> None:
    """Add headers to what goes out; what would end one becomes a space."""
    if not headers:
        return
    vector = pj.SipHeaderVector()
    for name, value in headers:
        header = pj.SipHeader()
        header.hName, header.hValue = name, one_line(value)
        vector.append(header)
    prm.txOption.headers = vector
