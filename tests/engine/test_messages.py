"""Messages: by which route, between whom, what comes of them, and that they outlive who waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from flexml.engine.config import Trunk
from flexml.engine.errors import FetchError, SipError
from flexml.engine.flexml.fetch import Cookies, Fetched
from flexml.engine.messages import Message, Messages
from flexml.engine.sip.events import MessageAnswered

from .virtual_time import run

ROUTE = "http://messages.example/in"
HI = Message(
    text="Grüße 🎉",
    sender="+15550001000",
    recipient="(516) 206-5338",
    account="a",
    facts={"CallSid": "c1", "AccountSid": "", "EndpointSid": "a", "From": "no", "CallerName": "Ann"},
)
ACCEPTED = MessageAnswered(status=202, reason="Accepted", received=True)


@dataclass
class Carrier:
    """Implements `MessageAgent` and `Fetcher`: answers what it is given, after a second; nothing where that is None."""

    answer: MessageAnswered | Fetched | Exception | None = ACCEPTED
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    told: Callable[[MessageAnswered], None] = lambda _: None

    def send_message(
        self,
        target: str,
        *,
        text: str,
        from_uri: str,
        headers: Sequence[tuple[str, str]] = (),
        trunk: str,
        told: Callable[[MessageAnswered], None],
    ) -> None:
        self.asked.append({"target": target, "text": text, "from": from_uri, "headers": headers, "trunk": trunk})
        if isinstance(self.answer, SipError):
            raise self.answer
        self.told = told
        if isinstance(self.answer, MessageAnswered):
            asyncio.get_running_loop().call_later(1, told, self.answer)

    def cookies(self) -> Cookies:
        return object()

    async def fetch(
        self, url: str, method: str, data: Mapping[str, object], *, cookies: Cookies | None = None
    ) -> Fetched:
        self.asked.append({"url": url, "method": method, **data})
        await asyncio.sleep(1)
        if isinstance(self.answer, Exception):
            raise self.answer
        assert isinstance(self.answer, Fetched)
        return self.answer


class Scene:
    """Messages of account `a`, and what is noted."""

    def __init__(self, carrier: Carrier, route: str = "trunk:t", **trunk: Any) -> None:
        self.carrier, self.notes = carrier, list[str]()
        self.messages = Messages(
            agent=carrier,
            fetcher=carrier,
            trunks=[Trunk(name="t", uri="sip:carrier.example", **trunk)],
            route_of={"a": route, "none": ""}.__getitem__,
            region="US",
            host="192.0.2.1",
        )

    def note(self, what: str, **details: object) -> None:
        self.notes.append(" ".join([what, *(f"{name}={value}" for name, value in details.items())]))

    async def send(self, message: Message = HI) -> str:
        return await self.messages.send(message, self.note)


def sent(scene: Scene, message: Message = HI) -> tuple[str, float]:
    async def main() -> tuple[str, float]:
        return await scene.send(message), asyncio.get_running_loop().time()

    return run(main())


def test_a_message_goes_to_the_trunk_as_calls_do() -> None:
    scene = Scene(Carrier(), username="u", identity="pai")

    assert sent(scene) == ("sent", 1)
    assert scene.carrier.asked == [
        {
            "target": "sip:15162065338@carrier.example",
            "text": "Grüße 🎉",
            "from": "sip:15550001000@carrier.example",
            "headers": (("P-Asserted-Identity", "<sip:15550001000@carrier.example>"),),
            "trunk": "t",
        }
    ]
    assert scene.notes == [
        "> MESSAGE to=sip:15162065338@carrier.example from=sip:15550001000@carrier.example trunk=t octets=12",
        "message sent to=(516) 206-5338 status=202 took_ms=1000.0",
    ]


def test_a_trunk_that_always_shows_the_same_number_shows_it_here_too() -> None:
    scene = Scene(Carrier(), caller_id="15550009999")

    assert sent(scene)[0] == "sent"
    assert scene.carrier.asked[0]["from"] == "sip:15550009999@192.0.2.1"


def test_a_message_goes_to_a_url_with_what_identifies_the_call() -> None:
    scene = Scene(Carrier(Fetched(url=ROUTE, status=204, body=b"")), ROUTE)

    assert sent(scene) == ("sent", 1)
    assert scene.carrier.asked == [
        {
            "url": ROUTE, "method": "POST", "CallSid": "c1", "AccountSid": "", "EndpointSid": "a",
            "From": "15550001000", "To": "15162065338", "Text": "Grüße 🎉",
        }
    ]  # fmt: skip
    assert scene.notes == [
        f"> POST url={ROUTE} to=15162065338 from=15550001000",
        "message sent to=(516) 206-5338 status=204 took_ms=1000.0",
    ]


FAILURES = [
    (MessageAnswered(status=403, reason="Forbidden", received=True), "status=403 reason=Forbidden took_ms=1000.0"),
    (MessageAnswered(status=302, reason="Moved", received=True), "status=302 reason=Moved took_ms=1000.0"),
    (MessageAnswered(status=503, reason="Connection refused", received=False),
     "error=not sent: Connection refused took_ms=1000.0"),
    (SipError("MESSAGE sip:x: no"), "error=MESSAGE sip:x: no took_ms=0.0"),
    (None, "error=no answer within 10 s took_ms=10000.0"),
    (Fetched(url=ROUTE, status=500, body=b"sorry"), "status=500 took_ms=1000.0"),
    (Fetched(url=ROUTE, status=200, body=b"", method="GET"),
     f"status=200 error={ROUTE}: a redirect has lost the message took_ms=1000.0"),
    (FetchError("connection refused", url=ROUTE), f"error={ROUTE}: connection refused took_ms=1000.0"),
    (ZeroDivisionError(), "error=internal error took_ms=1000.0"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "why"), FAILURES)
def test_what_is_not_taken_has_failed_and_the_timeline_says_why(
    answer: MessageAnswered | Fetched | Exception | None, why: str
) -> None:
    by_sip = answer is None or isinstance(answer, MessageAnswered | SipError)
    scene = Scene(Carrier(answer), "trunk:t" if by_sip else ROUTE)

    assert sent(scene)[0] == "failed"
    assert scene.notes[1:] == [f"message failed to={HI.recipient} {why}"]
    assert len(scene.carrier.asked) == 1


def test_an_answer_that_comes_too_late_changes_nothing() -> None:
    scene = Scene(Carrier(None))

    assert sent(scene) == ("failed", 10)
    scene.carrier.told(ACCEPTED)
    assert [note.split()[0] for note in scene.notes] == [">", "message"]


REFUSED = [
    ({"account": "none"}, "error=the account has no sms_route"),
    ({"sender": "anonymous"}, "error=from: 'anonymous' is no telephone number"),
    ({"sender": ""}, "error=from: '' is no telephone number"),
    ({"recipient": "ann"}, "error=to: 'ann' is no telephone number"),
    ({"recipient": "12"}, "error=to: '12' is no telephone number"),
    ({"may_send": False}, "error=from: +15550001000 is neither a DID of the account nor in its caller_ids"),
    ({"text": ""}, "error=there is no text"),
    ({"text": "x" * 1601}, "error=the text has 1601 characters; allowed: 1600"),
]


@pytest.mark.parametrize("route", ["trunk:t", ROUTE])
@pytest.mark.parametrize(("change", "why"), REFUSED)
def test_what_cannot_be_sent_does_not_go_out(route: str, change: dict[str, Any], why: str) -> None:
    scene = Scene(Carrier(), route)
    message = replace(HI, **change)

    assert sent(scene, message) == ("failed", 0)
    assert scene.notes == [f"message failed to={message.recipient} {why} took_ms=0.0"]
    assert scene.carrier.asked == []


def test_a_route_by_a_trunk_that_is_gone_fails() -> None:
    scene = Scene(Carrier(), "trunk:other")

    assert sent(scene) == ("failed", 0)
    assert "error=there is no trunk 'other'" in scene.notes[0]


@pytest.mark.parametrize(
    ("number", "normal"), [("+49 30 901820", "4930901820"), ("72345", "72345"), ("+72345", "72345")]
)
def test_numbers_are_told_as_digits(number: str, normal: str) -> None:
    scene = Scene(Carrier())

    assert sent(scene, replace(HI, recipient=number))[0] == "sent"
    assert scene.carrier.asked[0]["target"] == f"sip:{normal}@carrier.example"


@pytest.mark.parametrize(
    ("text", "by"), [("x" * 500, ""), ("ж" * 250, ""), ("ж" * 251, ";transport=tcp"), ("x" * 1600, ";transport=tcp")]
)
def test_a_text_that_is_too_long_for_udp_goes_by_tcp(text: str, by: str) -> None:
    scene = Scene(Carrier())

    assert sent(scene, replace(HI, text=text))[0] == "sent"
    assert (scene.carrier.asked[0]["target"], scene.carrier.asked[0]["text"]) == (
        f"sip:15162065338@carrier.example{by}",
        text,
    )


Ending = Callable[[Scene, "asyncio.Task[str]"], Awaitable[None]]


async def cancelled(_: Scene, sending: asyncio.Task[str]) -> None:
    sending.cancel()
    await asyncio.wait({sending})
    assert sending.cancelled()
    await asyncio.sleep(2)


async def closed(scene: Scene, _: asyncio.Task[str]) -> None:
    await scene.messages.close()
    assert asyncio.get_running_loop().time() == 1


@pytest.mark.parametrize("route", ["trunk:t", ROUTE])
@pytest.mark.parametrize("end", [cancelled, closed])
def test_a_message_under_way_is_not_taken_back(route: str, end: Ending) -> None:
    async def main() -> None:
        scene = Scene(Carrier(ACCEPTED if route == "trunk:t" else Fetched(url=ROUTE, status=202, body=b"")), route)
        sending = asyncio.create_task(scene.send())
        await asyncio.sleep(0)
        await end(scene, sending)
        assert scene.notes[-1] == f"message sent to={HI.recipient} status=202 took_ms=1000.0"

    run(main())


def test_the_end_of_the_engine_waits_for_silent_carriers_for_3_seconds() -> None:
    async def main() -> None:
        scene = Scene(Carrier(None))
        sending = asyncio.create_task(scene.send())
        await asyncio.sleep(1)
        await scene.messages.close()
        assert asyncio.get_running_loop().time() == 4
        await asyncio.wait({sending})
        assert sending.cancelled()

    run(main())
