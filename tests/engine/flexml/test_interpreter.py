"""The interpreter: which document runs when, what each request carries, and what happens when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import pytest
from flexml.engine.dial import Dialled, DialRequest
from flexml.engine.errors import CallEnded, DocumentError, FetchError, FlexmlError, MediaError, PromptError
from flexml.engine.flexml import interpreter
from flexml.engine.flexml.fetch import Fetched
from flexml.engine.flexml.interpreter import Application, error_code
from flexml.engine.flexml.verb import Played, Prompt

from ..virtual_time import run
from .fakes import BASE, FakeCall, FakeFetcher

HOST = "http://app.example"
APPLICATION = Application(url=BASE)
WITH_FALLBACK = replace(APPLICATION, fallback_url=f"{HOST}/fallback")
Pages = Mapping[str, bytes | tuple[int, bytes] | Fetched]


def document(inside: str) -> bytes:
    return f"<Response>{inside}</Response>".encode()


def perform(
    pages: Pages | bytes, call: FakeCall | None = None, application: Application = APPLICATION
) -> tuple[FakeCall, FakeFetcher]:
    call = call or FakeCall()
    fetcher = FakeFetcher({BASE: pages} if isinstance(pages, bytes) else pages)
    run(interpreter.run(call, fetcher, application, call.facts))
    return call, fetcher


@pytest.mark.parametrize(
    ("inside", "done"),
    [
        ("<Say>Hi</Say>", ["answer", "play man: Hi", "silence", "hang up"]),
        ("", ["answer", "hang up"]),
        ("Hello!", ["answer", "hang up"]),
        ("<Hangup/><Say>Hi</Say>", ["answer", "hang up"]),
        ('<Reject reason="busy"/><Say>Hi</Say>', ["reject 600 Busy Everywhere"]),
        ("<Say>Hi</Say><Reject/>", ["answer", "play man: Hi", "silence", "hang up"]),
        ('<Store name="a">b</Store><Reject/>', ["reject 403 Forbidden"]),
        ("<Sms>Hi</Sms><Dial>1</Dial><Reject/>", ["reject 403 Forbidden"]),
        (
            "<PreAnswer><Say>Hi</Say></PreAnswer><Reject/>",
            ["early media", "play man: Hi", "silence", "reject 403 Forbidden"],
        ),
        (
            "<PreAnswer><Say>Hi</Say></PreAnswer><Dtmf>1</Dtmf>",
            ["early media", "play man: Hi", "silence", "answer", "send 1", "hang up"],
        ),
    ],
)
def test_verbs_run_in_order_and_the_first_that_needs_it_answers(inside: str, done: list[str]) -> None:
    call, _ = perform(document(inside))

    assert call.done == done


def test_control_passes_and_what_follows_is_ignored() -> None:
    call, fetcher = perform(
        {
            BASE: document('<Redirect method="GET">menu?a=1</Redirect><Say>No</Say>'),
            f"{HOST}/menu?a=1": document("<Redirect>/end</Redirect>"),
            f"{HOST}/end": document("<Hangup/>"),
        }
    )

    assert fetcher.asked == [f"POST {BASE}", f"GET {HOST}/menu?a=1", f"POST {HOST}/end"]
    assert [request.data["RequestUrl"] for request in fetcher.requests] == [BASE, BASE, f"{HOST}/menu?a=1"]
    assert call.done == ["answer", "hang up"]


def test_the_document_that_a_call_was_moved_from_is_the_one_that_ran() -> None:
    call = FakeCall(answered=True)
    call.running = f"{HOST}/before"
    _, fetcher = perform(document("<Redirect>/end</Redirect>"), call)

    assert [request.data["RequestUrl"] for request in fetcher.requests] == [f"{HOST}/before", BASE]


def test_relative_urls_start_where_redirects_ended() -> None:
    moved = Fetched(url="https://other.example/deep/start", status=200, body=document("<Redirect>next</Redirect>"))
    _, fetcher = perform({BASE: moved, "https://other.example/deep/next": document("<Reject/>")})

    assert fetcher.asked[1] == "POST https://other.example/deep/next"
    assert fetcher.requests[1].data["RequestUrl"] == "https://other.example/deep/start"


def test_who_asks_goes_with_relative_urls_and_is_told_to_nobody() -> None:
    inside = "http://us:p%40ss@app.example"
    pages = {
        f"{inside}/start": document('<Play action="next">http://me:too@cdn.example/a.wav</Play>'),
        f"{inside}/next": document("<Redirect>http://other.example/</Redirect>"),
        "http://other.example/": document(f"<Redirect>{inside}/gone</Redirect>"),
        f"{HOST}/fallback": document("<Reject/>"),
    }
    application = Application(url=f"{inside}/start", fallback_url=f"{HOST}/fallback")
    _, fetcher = perform(pages, FakeCall(audio={"http://me:too@cdn.example/a.wav": 1.0}), application)

    told = [request.data for request in fetcher.requests]
    assert [data["RequestUrl"] for data in told] == [
        f"{HOST}/start",
        f"{HOST}/start",
        f"{HOST}/next",
        "http://other.example/",
        "http://other.example/",
    ]
    assert (told[1]["PlaybackUrl"], told[-1]["ErrorUrl"]) == ("http://cdn.example/a.wav", f"{HOST}/gone")


def test_a_document_is_read_as_its_answer_says() -> None:
    latin = Fetched(
        url=BASE, status=200, body="<Response><Say>Grüß</Say></Response>".encode("latin-1"), charset="latin-1"
    )
    call, _ = perform({BASE: latin})

    assert call.done == ["answer", "play man: Grüß", "silence", "hang up"]


def test_action_data_and_storage_go_into_later_requests() -> None:
    body = '<Store name="a">b</Store><Gather numDigits="1" action="/digits"><Say>Press</Say></Gather>'
    later = {f"{HOST}/digits": document("<Redirect>/more</Redirect>"), f"{HOST}/more": document("")}
    _, fetcher = perform({BASE: document(body), **later}, FakeCall(keys=[(1, "7")]))

    first, digits, more = (request.data for request in fetcher.requests)
    assert "Storage_a" not in first
    assert (digits["Storage_a"], digits["Digits"], digits["FinishKey"]) == ("b", "7", None)
    assert more["Storage_a"] == "b"
    assert "Digits" not in more


def test_a_failed_play_goes_to_its_error_action() -> None:
    body = document('<Play errorAction="/sorry">missing.wav</Play><Say>No</Say>')
    call, fetcher = perform({BASE: body, f"{HOST}/sorry": document("")})

    assert fetcher.asked[1] == f"POST {HOST}/sorry"
    assert call.done == ["answer", "hang up"]


def test_notes_of_the_document_come_onto_the_timeline() -> None:
    call, _ = perform(document('<Say voice="female" mood="cheerful">Hi</Say>'))

    assert [note for note in call.notes if "unknown" in note] == [
        f"Say: unknown voice 'female'; allowed: man, woman or Polly.<Name>; man is used (line 1) url={BASE}",
        f"Say: unknown attribute mood is ignored (line 1) url={BASE}",
    ]


def test_a_document_with_an_error_status_runs_with_a_note() -> None:
    call, _ = perform({BASE: (500, document("<Say>Hi</Say>"))})

    assert "play man: Hi" in call.done
    assert any("status 500, but its body is a document" in note for note in call.notes)


NOT_THERE: list[Pages] = [
    {},
    {BASE: (404, b"")},
    {BASE: (500, b"<html><body>Oops</body></html>")},
    {BASE: (502, b"Bad <Gateway")},
    {BASE: b"<Response><Say>Never heard</Say><Gather numDigits='two'/></Response>"},
    {BASE: b"<Response><Redirect>/gone</Redirect></Response>"},
]


@pytest.mark.parametrize("pages", NOT_THERE)
@pytest.mark.parametrize(
    ("handler", "answered", "done"),
    [
        ("basic", False, ["answer", "error message", "hang up"]),
        ("basic", True, ["error message", "hang up"]),
        ("none", False, ["reject 503 Service Unavailable"]),
        ("none", True, ["hang up"]),
    ],
)
def test_an_application_error_is_handled_as_the_account_says(
    pages: Pages, handler: Literal["basic", "none"], answered: bool, done: list[str]
) -> None:
    call, _ = perform(pages, FakeCall(answered=answered), replace(APPLICATION, error_handler=handler))

    assert call.done == done
    assert any(note.startswith("application error") for note in call.notes)


@pytest.mark.parametrize(
    ("pages", "code", "url"),
    [
        (NOT_THERE[0], "no-answer", BASE),
        (NOT_THERE[1], "http-404", BASE),
        (NOT_THERE[2], "http-500", BASE),
        (NOT_THERE[3], "http-502", BASE),
        (NOT_THERE[4], "bad-document", BASE),
        (NOT_THERE[5], "no-answer", f"{HOST}/gone"),
    ],
)
def test_the_fallback_url_is_tried_first_and_told_why(pages: Pages, code: str, url: str) -> None:
    fallback = {f"{HOST}/fallback": document("<Say>Sorry</Say>")}
    call, fetcher = perform({**pages, **fallback}, application=WITH_FALLBACK)

    assert call.done == ["answer", "play man: Sorry", "silence", "hang up"]
    told = fetcher.requests[-1].data
    assert (told["ErrorCode"], told["ErrorUrl"]) == (code, url)


def test_a_fallback_that_fails_is_not_tried_again() -> None:
    call, fetcher = perform({}, application=WITH_FALLBACK)

    assert fetcher.asked == [f"POST {BASE}", f"POST {HOST}/fallback"]
    assert call.done == ["answer", "error message", "hang up"]


@pytest.mark.parametrize(
    "inside",
    [
        "<Redirect>start</Redirect>",
        '<Gather timeout="0" action="/x"/><Redirect>start</Redirect>',
        '<Play errorAction="start">missing.wav</Play>',
        "<Say>unspeakable</Say><Redirect>start</Redirect>",
        '<Sms action="start">Hi</Sms>',
        "<Sms>unsendable</Sms><Redirect>start</Redirect>",
    ],
)
def test_documents_in_a_circle_without_media_are_stopped(inside: str) -> None:
    call, fetcher = perform(document(inside))

    assert len(fetcher.requests) == 100
    assert any("more than 100 documents without media in between" in note for note in call.notes)
    assert call.done[-2:] == ["error message", "hang up"]


class Impatient(FakeCall):
    """Hangs up at the 300th second."""

    async def play(self, prompt: Prompt, **how: Any) -> Played:
        if asyncio.get_running_loop().time() >= 300:
            raise CallEnded("the caller hung up")
        return await super().play(prompt, **how)


def test_documents_in_a_circle_with_media_go_on_until_hang_up() -> None:
    call, fetcher = perform(
        document("<Say>Music</Say><Redirect>start</Redirect>"), Impatient(), replace(APPLICATION, max_documents=10)
    )

    assert len(fetcher.requests) == 101
    assert call.done[-1] == "silence"
    assert not any("error" in note for note in call.notes)


class Queue(FakeCall):
    """Nobody answers; hangs up instead of the 30th dial."""

    async def dial(self, request: DialRequest) -> Dialled:
        if len(self.dialled) == 29:
            raise CallEnded("the caller hung up")
        return await super().dial(request)


@pytest.mark.parametrize(("heard", "dials"), [(True, 29), (False, 10)])
def test_dials_that_failed_go_on_in_a_circle_where_they_were_heard(heard: bool, dials: int) -> None:
    call = Queue(answered=True)
    call.dial_result = Dialled(status="noanswer", heard=heard)
    perform(document('<Dial action="start">15550002001</Dial>'), call, replace(APPLICATION, max_documents=10))

    assert len(call.dialled) == dials
    assert any("error" in note for note in call.notes) == (not heard)


def test_hang_up_stops_a_verb_at_once() -> None:
    call = FakeCall()
    fetcher = FakeFetcher({BASE: document("<Say>Hi</Say><Say>No</Say>")})

    async def main() -> bool:
        running = asyncio.create_task(interpreter.run(call, fetcher, Application(url=BASE), call.facts))
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait({running})
        return running.cancelled()

    assert run(main())
    assert call.did[-1] == (1, "silence")


class Broken(FakeCall):
    """Nothing can be played, not even the error message."""

    async def play(self, prompt: Prompt, **how: Any) -> Played:
        raise MediaError("the worker is gone")

    async def play_error_message(self) -> None:
        raise PromptError("no such file")


def test_a_call_whose_media_fail_is_ended_all_the_same() -> None:
    call, _ = perform(document("<Say>Hi</Say><Say>No</Say>"), Broken())

    assert call.done == ["answer", "hang up"]
    assert "application error error=the worker is gone" in call.notes


def test_a_url_that_is_none_is_an_application_error() -> None:
    call, fetcher = perform({}, application=Application(url="http://[oops"))

    assert fetcher.requests == []
    assert call.done == ["answer", "error message", "hang up"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FetchError("refused", url=BASE), "no-answer"),
        (FetchError("status 404", url=BASE, status=404), "http-404"),
        (FetchError("more than 5 redirects", url=BASE, status=302), "http-302"),
        (FetchError("the body is longer than allowed", url=BASE, status=200), "bad-document"),
        (DocumentError("malformed XML"), "bad-document"),
        (MediaError("gone"), "internal"),
    ],
)
def test_errors_have_codes(error: FlexmlError, code: str) -> None:
    assert error_code(error) == code
