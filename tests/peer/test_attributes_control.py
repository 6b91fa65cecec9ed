"""The attributes on the wire of the verbs that neither speak nor listen for long, and the verbs that have none."""

import pytest
from attribute_table import Call, Scenario, on_call, shows
from flexml_app import Answer, Received
from hearing import between, level_at

REASONS = {
    "redirect": 302, "forbidden": 403, "rejected": 403, "not-found": 404, "busy-here": 486, "bad-gateway": 502,
    "unavailable": 503, "busy": 600, "decline": 603, "does-not-exist": 604, "unwanted": 607,
    "intermediary-rejected": 608, "": 403,
}  # fmt: skip


@shows("Reject.reason")
@pytest.mark.parametrize(
    ("call", "status"),
    [
        (Scenario(document=f'<Reject reason="{reason}">sip:us@127.0.0.1</Reject>' if reason else "<Reject/>"), status)
        for reason, status in REASONS.items()
    ],
    ids=list(REASONS),
    indirect=["call"],
)
def test_each_reason_has_its_status(call: Call, status: int) -> None:
    assert (call.ending.by, call.ending.status) == ("refused", status)
    (_, refusal) = call.phone.sip[-1]
    shown = {302: ("Contact", "<sip:us@127.0.0.1>"), 608: ("Call-Info", '"sip:us@127.0.0.1"')}
    for header, value in shown.values():
        assert refusal.header(header) == (value if (header, value) == shown.get(status) else "")


@shows("Redirect.method", "Redirect")
@on_call('<Redirect method="GET">next?a=1</Redirect><Say>Never heard</Say>')
def test_control_passes_by_get(call: Call) -> None:
    asked = call.asked()
    assert (asked.method, asked.data["a"], asked.data["To"]) == ("GET", "1", call.line.number)


def further(received: Received) -> str:
    """One document after another, up to the 25th."""
    count = int(str(received.data["n"]))
    return f'<Redirect method="GET">next?n={count + 1}</Redirect>' if count < 25 else "<Hangup/>"


@shows("Redirect.method")
@on_call('<Redirect method="GET">next?n=1</Redirect>', serve={"next": further})
def test_a_long_way_by_get_is_told_no_more_than_where_it_comes_from(call: Call) -> None:
    assert (call.ending.by, call.ending.status) == ("them", 200)
    here = call.line.application.url(call.line.path())
    told = [asked.data["RequestUrl"] for asked in call.line.requests("next")]
    assert told == [here, *(f"{here}next?n={count}" for count in range(1, 25))]


@shows("Redirect.method")
@on_call("<Redirect>next</Redirect>")
def test_control_passes_by_post_where_nothing_is_said(call: Call) -> None:
    assert call.asked().method == "POST"


@shows("Store.name")
@on_call(
    '<Store name="colour">dark blue</Store><Store name="size">9</Store><Redirect>next</Redirect>',
    serve={"next": '<Store name="size"></Store><Redirect>last</Redirect>', "last": "<Hangup/>"},
)
def test_what_is_stored_is_in_every_later_request(call: Call) -> None:
    asked, last, callback = call.asked(), call.asked("last"), call.line.final_status()
    assert (asked.data["Storage_colour"], asked.data["Storage_size"]) == ("dark blue", "9")
    assert [one.data["Storage_colour"] for one in (last, callback)] == ["dark blue"] * 2
    assert not [one for one in (last, callback) if "Storage_size" in one.data]


@shows("Override.statusCallbackUrl", "Override.statusCallbackMethod")
@on_call(
    '<Override statusCallbackUrl="other" statusCallbackMethod="GET"/><Hangup/>', serve={"other": Answer(status=204)}
)
def test_the_status_callback_goes_where_it_is_overridden_to(call: Call) -> None:
    asked = call.asked("other")
    assert (asked.method, asked.data["CallStatus"]) == ("GET", "completed")
    assert not call.line.requests("status")


@shows("Override.statusCallbackMethod")
@on_call('<Override statusCallbackMethod="GET"/><Hangup/>')
def test_the_method_alone_can_be_overridden(call: Call) -> None:
    assert call.asked("status").method == "GET"


@shows("Hangup")
@on_call("<Hangup/><Say>Never heard</Say>")
def test_hangup_answers_first(call: Call) -> None:
    assert (call.ending.by, call.ending.status) == ("them", 200)
    assert call.tones == []


@shows("Dtmf")
@on_call("<Dtmf>12*#,,90</Dtmf>")
def test_keys_are_pressed(call: Call) -> None:
    assert call.keys == "12*#90"
    gaps = [round(after - before, 1) for before, after in zip(call.marks, call.marks[1:], strict=False)]
    assert gaps == [0.2, 0.2, 0.2, 1.2, 0.2]


@shows("PreAnswer")
@on_call(
    '<PreAnswer><Play>/sounds/tone-600-1000.wav</Play><Pause length="1"/></PreAnswer>'
    "<Play>/sounds/tone-900-500.wav</Play>"
)
def test_media_flows_before_the_call_is_answered(call: Call) -> None:
    early, late = call.tones
    assert (early.hz, late.hz) == (600, 900)
    assert late.start - early.end == pytest.approx(1.0, abs=0.4)
    assert level_at(between(call.heard, early.start, early.end), 600) > -20
    ringing, answered = call.phone.at("SIP/2.0 183"), call.phone.at("SIP/2.0 200")
    assert answered - ringing == pytest.approx(2.0, abs=0.5)
