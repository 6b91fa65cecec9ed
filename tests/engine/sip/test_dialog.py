"""What a dialog makes of states and messages."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flexml.engine.sip.dialog import Dialog, State, invited
from flexml.engine.sip.events import Accepted, Acknowledged, Ended, Event, Progressed
from flexml.engine.sip.message import Message, parse

BODY = "v=0\no=- 1 1 IN IP4 127.0.0.1\n"
BYE = parse('BYE sip:a@127.0.0.1 SIP/2.0\r\nCSeq: 2 BYE\r\nReason: Q.850;cause=16;text="bye"\r\n\r\n')


def response(start: str, *headers: str, body: str = "") -> Message:
    described = ["Content-Type: application/sdp"] if body else []
    return parse("\r\n".join([f"SIP/2.0 {start}", "CSeq: 1 INVITE", *headers, *described, "", body]))


def outbound(**said: object) -> Dialog:
    return replace(Dialog(number=7, inbound=False), **said)


def inbound(**said: object) -> Dialog:
    return replace(Dialog(number=7, inbound=True), **said)


REPORTS: list[tuple[Dialog, State, Message | None, Event | None]] = [
    (outbound(), "calling", response("100 Trying"), None),
    (outbound(), "calling", None, None),
    (outbound(), "early", response("180 Ringing"), Progressed(dialog=7, status=180, sdp=None)),
    (outbound(), "early", response("183 P", body=BODY), Progressed(dialog=7, status=180, sdp=BODY)),
    (outbound(), "connecting", response("200 OK", body=BODY), Accepted(dialog=7, sdp=BODY)),
    (outbound(), "confirmed", response("200 OK"), Accepted(dialog=7, sdp=None)),
    (outbound(confirmed=True), "confirmed", response("200 OK", body=BODY), None),
    (inbound(), "early", None, None),
    (inbound(), "confirmed", parse("ACK sip:a@b SIP/2.0\r\n\r\n"), Acknowledged(dialog=7, sdp=None)),
    (inbound(), "confirmed", None, Acknowledged(dialog=7, sdp=None)),
    (inbound(confirmed=True), "confirmed", parse("ACK sip:a@b SIP/2.0\r\n\r\n"), None),
]


@pytest.mark.parametrize(("dialog", "state", "received", "event"), REPORTS)
def test_a_state_gives_its_event(dialog: Dialog, state: State, received: Message | None, event: Event | None) -> None:
    assert dialog.changed(state, 180, "Ringing", received) == event


def test_a_2xx_without_sdp_has_that_of_the_provisional_response_with_its_tag() -> None:
    dialog = outbound()
    dialog.changed("early", 183, "", response("183 P", "To: <sip:b>;tag=1", body=BODY))
    dialog.changed("early", 183, "", response("183 P", "To: <sip:b>;tag=2", body="v=0\n"))
    event = dialog.changed("connecting", 200, "OK", response("200 OK", "To: <sip:b>;tag=1"))
    assert event == Accepted(dialog=7, sdp=BODY)


BUSY = response("486 Busy Here")
MOVED = response("302 Moved", "Contact: <sip:c@127.0.0.1>")
ENDS = [
    (outbound(confirmed=True, ended_by_us=True), 200, None, (200, "OK", "local", "")),
    (outbound(confirmed=True), 200, BYE, (200, 'Q.850;cause=16;text="bye"', "remote", "")),
    (outbound(confirmed=True), 408, None, (408, "OK", "stack", "")),
    (outbound(), 486, BUSY, (486, "OK", "remote", "")),
    (outbound(redirection=MOVED), 487, None, (302, "Moved", "stack", "<sip:c@127.0.0.1>")),
    (outbound(), 503, None, (503, "OK", "stack", "")),
    (inbound(), 487, None, (487, "OK", "remote", "")),
    (inbound(ended_by_us=True), 603, None, (603, "OK", "local", "")),
]


@pytest.mark.parametrize(("dialog", "status", "received", "end"), ENDS)
def test_who_ended_a_dialog_and_how(
    dialog: Dialog, status: int, received: Message | None, end: tuple[int, str, str, str]
) -> None:
    event = dialog.changed("disconnected", status, "OK", received)
    assert isinstance(event, Ended)
    assert (event.status, event.reason, event.by, event.contact) == end


@pytest.mark.parametrize("first", ["401 Unauthorized", "407 Proxy Authentication Required", "422 Too Small"])
def test_a_refusal_after_which_the_stack_asks_again_is_not_how_the_call_ended(first: str) -> None:
    dialog = outbound()
    assert dialog.response_received(response(first)) is None
    assert dialog.heard
    event = dialog.changed("disconnected", 486, "Busy Here", BUSY)
    assert event == Ended(dialog=7, status=486, reason="Busy Here", by="remote")


def test_only_what_answers_the_first_invite_leads_elsewhere() -> None:
    dialog = outbound(confirmed=True)
    dialog.response_received(MOVED)
    assert dialog.redirection is None


@pytest.mark.parametrize(
    ("said", "answer", "offering"),
    [
        (response("180 Ringing", body=BODY), None, True),
        (response("200 OK", body=BODY), BODY, False),
        (response("200 OK"), None, False),
        (response("488 Not Acceptable Here", body=BODY), None, False),
    ],
)
def test_a_final_response_settles_an_offer_of_ours(said: Message, answer: str | None, offering: bool) -> None:
    dialog = outbound(confirmed=True, offering=True)
    assert dialog.response_received(said) == answer
    assert dialog.offering is offering
    assert outbound(confirmed=True).response_received(said) is None


@pytest.mark.parametrize(("method", "answer"), [("ACK", BODY), ("PRACK", BODY), ("ACK", None), ("INFO", None)])
def test_a_request_answers_an_offer_in_a_response_of_ours_once(method: str, answer: str | None) -> None:
    body = "" if method == "ACK" and answer is None else BODY
    said = parse(f"{method} sip:100@127.0.0.1 SIP/2.0\r\nContent-Type: application/sdp\r\n\r\n{body}")
    dialog = inbound(asked=True)
    assert dialog.request_received(said) == answer
    assert dialog.request_received(said) is None
    assert dialog.asked is (answer is None)


def test_an_invite_is_announced_with_what_it_says() -> None:
    text = (
        "INVITE sip:b@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5090\r\nf: <sip:a>\r\nt: <sip:b>\r\ni: 1\r\n\r\n"
    )
    event = invited(7, text, "127.0.0.1:5090")
    assert (event.dialog, event.request_uri, event.transport) == (7, "sip:b@127.0.0.1", "tcp")
    assert (event.from_uri, event.to_uri, event.call_id, event.offer) == ("<sip:a>", "<sip:b>", "1", None)
