"""What pjsua2 says becomes ours."""

from __future__ import annotations

import pjsua2 as pj
from flexml.engine.sip.stack.binding import refused


def test_an_error_says_what_was_tried_and_why_not_and_nothing_of_the_source() -> None:
    error = pj.Error(120101, "pjsua_call_make_call(id)", "Network is unreachable", "../src/pjsua2/call.cpp", 756)
    assert str(refused("INVITE sip:1@192.0.2.7", error)) == "INVITE sip:1@192.0.2.7: Network is unreachable"
