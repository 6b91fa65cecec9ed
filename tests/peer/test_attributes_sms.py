"""The attributes of Sms on the wire: what the account's route is told, and where control goes."""

from attribute_table import Call, on_call, shows
from conftest import NUMBERS
from flexml_app import Received

CALLER = "15162065338"
OTHER = NUMBERS[-1]


def messages(call: Call) -> list[Received]:
    """What the route got of the call."""
    callback = call.line.final_status()
    told = call.line.application.requests("/messages")
    return [one for one in told if one.data["CallSid"] == callback.data["CallSid"]]


def between(call: Call) -> tuple[object, object]:
    """Who sends and who receives the one message."""
    (message,) = messages(call)
    return message.data["From"], message.data["To"]


@shows("Sms.action", "Sms")
@on_call('<Sms action="next">Grüße &amp; 🎉</Sms><Redirect>never</Redirect>')
def test_the_result_leads_to_the_action_and_what_follows_is_ignored(call: Call) -> None:
    asked = call.asked()
    (message,) = messages(call)
    assert (asked.method, asked.data["SmsStatus"]) == ("POST", "sent")
    assert (message.method, message.data["Text"]) == ("POST", "Grüße & 🎉")
    assert call.not_asked("never")


@shows("Sms.action")
@on_call("<Sms>Hi</Sms><Redirect>next</Redirect>")
def test_without_an_action_the_next_verb_runs_and_its_request_tells_the_result(call: Call) -> None:
    assert call.asked().data["SmsStatus"] == "sent"
    assert len(messages(call)) == 1


@shows("Sms.method")
@on_call('<Sms action="next" method="GET">Hi</Sms>')
def test_the_action_is_requested_by_get(call: Call) -> None:
    asked = call.asked()
    assert (asked.method, asked.data["SmsStatus"]) == ("GET", "sent")


@shows("Sms.from", "Sms.to")
@on_call("<Sms>Hi</Sms>")
def test_a_message_goes_from_who_calls_to_who_was_called(call: Call) -> None:
    assert call.ending
    assert between(call) == (CALLER, call.line.number)


@shows("Sms.from")
@on_call(f'<Sms from="+{OTHER}">Hi</Sms>')
def test_another_number_of_the_account_can_send(call: Call) -> None:
    assert call.ending
    assert between(call) == (OTHER, call.line.number)


@shows("Sms.from")
@on_call('<Sms from="15162065317" action="next">Hi</Sms>')
def test_a_number_that_is_not_the_accounts_cannot(call: Call) -> None:
    assert call.asked().data["SmsStatus"] == "failed"
    assert messages(call) == []


@shows("Sms.to")
@on_call('<Sms to="+1 (516) 206-5317">Hi</Sms>')
def test_anybody_can_receive(call: Call) -> None:
    assert call.ending
    assert between(call) == (CALLER, "15162065317")
