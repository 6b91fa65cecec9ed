"""Request data: the reference's fields, and what real clients read beside them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flexml.engine.flexml.request import CallFacts, Ending, request_data, status_callback_data, told_headers

URL = "https://app.example/start"
FACTS = CallFacts(
    sid="2f367eb5-adc6-4413-b603-533e2a8f0804",
    direction="inbound",
    from_="15550001000",
    to="15550002000",
    original_from="+15550001000",
    original_to="15550002000",
    caller_name="Bob",
    partner_sid="p",
    endpoint_sid="e",
)


def test_the_fields_of_every_request() -> None:
    assert request_data(FACTS, request_url=URL) == {
        "AccountSid": "",
        "ApiVersion": "2.0",
        "CallerName": "Bob",
        "CallSid": "2f367eb5-adc6-4413-b603-533e2a8f0804",
        "CallStatus": "completed",
        "Direction": "inbound",
        "EndpointSid": "e",
        "From": "15550001000",
        "OriginalFrom": "+15550001000",
        "OriginalTo": "15550002000",
        "PartnerSid": "p",
        "RequestUrl": URL,
        "To": "15550002000",
    }


def test_the_partner_is_the_one_that_the_provisioning_side_names() -> None:
    facts = CallFacts(sid="s", direction="inbound", from_="1", to="2", original_from="1", original_to="2")

    assert request_data(facts, request_url=URL)["PartnerSid"] == "00000000-0000-0000-0000-000000000000"


def test_forwarded_from_is_there_only_if_known() -> None:
    told = request_data(replace(FACTS, forwarded_from="15550003000"), request_url=URL)

    assert told["ForwardedFrom"] == "15550003000"


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ([("X-Customer", "42")], {"SipHeader_X-Customer": "42"}),
        ([("x-queue", "gold"), ("X-Queue", "silver")], {"SipHeader_x-queue": "gold, silver"}),
        (
            [("Call-ID", "a@b"), ("Contact", "<sip:b@c>")],
            {"SipHeader_Call-ID": "a@b", "SipHeader_Contact": "<sip:b@c>"},
        ),
        ([("i", "a@b"), ("m", "<sip:b@c>")], {"SipHeader_Call-ID": "a@b", "SipHeader_Contact": "<sip:b@c>"}),
        ([("User-Agent", "phone"), ("Authorization", "secret")], {}),
    ],
)
def test_which_sip_headers_are_told(headers: list[tuple[str, str]], told: dict[str, str]) -> None:
    data = request_data(replace(FACTS, sip_headers=told_headers(headers)), request_url=URL)

    assert {name: value for name, value in data.items() if name.startswith("SipHeader_")} == told


def test_storage_results_and_the_verbs_own_data_are_added() -> None:
    facts = replace(FACTS, storage={"campaign": "spring 24"}, results={"AMDStatus": "HUMAN"})
    told = request_data(facts, request_url=URL, data={"Digits": "12", "CallStatus": "busy"})

    assert told["Storage_campaign"] == "spring 24"
    assert (told["AMDStatus"], told["Digits"], told["CallStatus"]) == ("HUMAN", "12", "busy")


def test_the_status_callback_adds_how_the_call_ended() -> None:
    ending = Ending(status="completed", duration_s=8, playback_url="https://app.example/a.mp3", play_offset_ms=37999)
    told = status_callback_data(FACTS, ending, request_url=URL, request_method="GET")

    assert (
        told.items()
        >= {
            "CallDuration": 8,
            "CallStatus": "completed",
            "PlaybackUrl": "https://app.example/a.mp3",
            "PlayOffset": 37,
            "RequestMethod": "GET",
            "RequestUrl": URL,
        }.items()
    )


def test_nothing_played_nothing_told() -> None:
    told = status_callback_data(FACTS, Ending(status="cancel", duration_s=0), request_url=URL, request_method="POST")

    assert "PlayOffset" not in told
    assert "PlaybackUrl" not in told
    assert told["CallDuration"] == 0


@pytest.mark.parametrize("spelled", ["noanswer", "no-answer"])
def test_old_clients_may_have_the_hyphen(spelled: str) -> None:
    facts = replace(FACTS, no_answer=spelled)
    ending = Ending(status="noanswer", duration_s=0)
    told = status_callback_data(facts, ending, request_url=URL, request_method="POST")
    dialled = request_data(facts, request_url=URL, data={"CallStatus": "noanswer"})

    assert (told["CallStatus"], dialled["CallStatus"]) == (spelled, spelled)
