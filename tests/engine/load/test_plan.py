"""What is asked for, and what is not understood of it."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from flexml.engine.errors import LoadError
from flexml.engine.load.plan import LoadPlan, Target, credential, header, keys, target
from flexml.engine.load.scenario import description, scenario

CALLED = Target(number="100", host="192.0.2.1")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sip:15550001000@192.0.2.1:5080", Target(number="15550001000", host="192.0.2.1", port=5080)),
        ("sip:+49@pbx.example.com", Target(number="+49", host="pbx.example.com", port=5060)),
        ("echo@192.0.2.1", Target(number="echo", host="192.0.2.1")),
    ],
)
def test_targets(text: str, found: Target) -> None:
    assert target(text) == found


@pytest.mark.parametrize("text", ["", "192.0.2.1", "sip:@192.0.2.1", "sips:1@192.0.2.1", "sip:1@h:99999", "sip:1@h:0"])
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(LoadError, match="expected sip:NUMBER@HOST"):
        target(text)


def test_headers() -> None:
    assert header("X-Test=a=b c") == ("X-Test", "a=b c")
    for wrong in ("X-Test", "=a", "X Test=a", "X-Test=a\r\nTo: b", "X-Test=]]>"):
        with pytest.raises(LoadError):
            header(wrong)


def test_keys_and_credentials() -> None:
    assert keys("09*#aD") == "09*#aD"
    assert credential("se-cret!") == "se-cret!"
    with pytest.raises(LoadError, match="'E'"):
        keys("12E")
    with pytest.raises(LoadError):
        credential("a]b")


def test_held_calls_outlast_what_counts_and_all_others_too() -> None:
    plan = LoadPlan(target=CALLED, calls=50, rate=25.0, duration_s=20.0)
    assert (plan.total_calls, plan.streams) == (50, 50)
    # The first is placed two seconds before the last, two seconds before it counts.
    assert plan.call_s == 2.0 + 2.0 + 20.0 + 1.0


def test_calls_that_come_and_go_have_ports_that_have_rested() -> None:
    plan = LoadPlan(target=CALLED, calls=30, rate=10.0, duration_s=60.0, hold_s=2.0)
    assert (plan.total_calls, plan.streams, plan.call_s) == (600, 76, 2.0)
    assert LoadPlan(target=CALLED, calls=30, rate=1.0, duration_s=5.0, hold_s=2.0).streams == 5


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_the_offer_is_one_codec_and_events(codec: str) -> None:
    plan = LoadPlan(target=CALLED, codec=codec)  # pyright: ignore[reportArgumentType]
    number = {"PCMU": 0, "PCMA": 8}[codec]
    assert f"m=audio [field0] RTP/AVP {number} 101\na=rtpmap:{number} {codec}/8000\n" in description(plan)


@pytest.mark.parametrize("user", ["", "alice"])
def test_scenarios_are_xml_with_their_labels_in_place(user: str) -> None:
    plan = LoadPlan(target=CALLED, headers=(("X-Test", "1 < 2"),), user=user, password="pw")
    tree = ElementTree.fromstring(scenario(plan))
    labels = [step.get("id") for step in tree.iter("label")]
    jumps = {step.get(name) for step in tree.iter() for name in ("next", "ontimeout")} - {None}
    assert len(set(labels)) == len(labels)
    assert jumps <= set(labels)
    assert ("[authentication username=alice password=pw]" in scenario(plan)) == bool(user)
    assert "X-Test: 1 < 2\n" in "".join(step.text or "" for step in tree.iter("send"))
