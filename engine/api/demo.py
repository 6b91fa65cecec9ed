"""The built-in demo: a small FlexML application, served by the engine to itself, to call before writing one's own.

It keeps no state between requests except its log: the last requests of the last calls, at /demo/log, where a
newcomer can see what the engine sends (reference section "FlexML Requests").
"""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import datetime
from html import escape
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from .music import music_wav

PREFIX: Final = "/demo"
_MAX_CALLS: Final = 50
_MAX_REQUESTS: Final = 20
_MAX_BODY: Final = 65536
_MENU: Final = (
    "Welcome to the FlexML demo. Press 1 to hear the time, press 2 for an echo of the digits you type, "
    "press 3 for some music, or hang up."
)
_AGAIN: Final = (
    "I did not hear a key. Press 1 to hear the time, press 2 to have your digits read back, or press 3 for some music."
)
_Fields = Mapping[str, object]


class RequestLog:
    """The last requests of the last calls, bounded in both."""

    def __init__(self, *, calls: int = _MAX_CALLS, requests: int = _MAX_REQUESTS) -> None:
        self._calls: OrderedDict[str, deque[dict[str, object]]] = OrderedDict()
        self._max_calls, self._max_requests = calls, requests

    def add(self, method: str, path: str, data: _Fields) -> None:
        """Keep one request under its CallSid."""
        call = str(data.get("CallSid", ""))
        requests = self._calls.setdefault(call, deque(maxlen=self._max_requests))
        requests.append({"method": method, "path": path, "data": dict(data)})
        self._calls.move_to_end(call)
        if len(self._calls) > self._max_calls:
            self._calls.popitem(last=False)

    def entries(self) -> list[dict[str, object]]:
        """All that is kept, the call heard from last at the end."""
        return [{"call_sid": call, "requests": list(requests)} for call, requests in self._calls.items()]


def demo_router(now: Callable[[], datetime]) -> APIRouter:
    """The demo under /demo/; `now` is the local time that it tells."""
    router = APIRouter(prefix=PREFIX)
    log = RequestLog()

    async def menu(request: Request) -> Response:
        data = await _take(request, log)
        return _response(_menu(last_try=data.get("attempt") == "2"))

    async def choice(request: Request) -> Response:
        data = await _take(request, log)
        return _response(_choice(str(data.get("Digits", "")), now()))

    async def digits(request: Request) -> Response:
        data = await _take(request, log)
        return _response(_say(f"You typed {', '.join(str(data.get('Digits', '')))}.") + _redirect())

    async def status(request: Request) -> Response:
        await _take(request, log)
        return Response(status_code=204)

    def music() -> Response:
        return Response(music_wav(), media_type="audio/wav", headers={"Cache-Control": "max-age=3600"})

    async def show_log() -> JSONResponse:
        return JSONResponse({"calls": log.entries()})

    for path, endpoint in (("/", menu), ("/choice", choice), ("/digits", digits), ("/status", status)):
        router.add_api_route(path, endpoint, methods=["GET", "POST"], include_in_schema=False)
    router.add_api_route("/music.wav", music, methods=["GET"], include_in_schema=False)
    summary = "Show what the demo application was asked"
    router.add_api_route("/log", show_log, methods=["GET"], summary=summary, operation_id="get-demo-log")
    return router


def _menu(*, last_try: bool) -> str:
    gather = (
        f'<Gather action="{PREFIX}/choice" numDigits="1" finishOnKey="_" timeout="5">'
        f"{_say(_AGAIN if last_try else _MENU)}</Gather>"
    )
    return gather + (_say("Goodbye.") + "<Hangup/>" if last_try else _redirect("?attempt=2"))


def _choice(key: str, now: datetime) -> str:
    """What a key of the menu leads to."""
    match key:
        case "1":
            return _say(f"It is {spoken_time(now)}") + _redirect()
        case "2":
            return (
                f'<Gather action="{PREFIX}/digits" finishOnKey="#" timeout="10">'
                f"{_say('Type some digits, then press the pound key.')}</Gather>" + _redirect()
            )
        case "3":
            return f"<Play>{PREFIX}/music.wav</Play>" + _redirect()
        case _:
            return _say(f"Sorry, {key or 'that'} is not on the menu.") + _redirect()


def spoken_time(now: datetime) -> str:
    """The time of day as a voice should read it: `3:07 p.m.`"""
    return f"{now.hour % 12 or 12}:{now.minute:02} {'a.m.' if now.hour < 12 else 'p.m.'}"


def _say(text: str) -> str:
    return f"<Say>{escape(text)}</Say>"


def _redirect(query: str = "") -> str:
    return f"<Redirect>{PREFIX}/{query}</Redirect>"


def _response(verbs: str) -> Response:
    return Response(f"<Response>{verbs}</Response>", media_type="application/xml")


async def _take(request: Request, log: RequestLog) -> _Fields:
    """The request's data, query and JSON body together, put on the log."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise HTTPException(413, f"body longer than {_MAX_BODY} octets")
    data = {**request.query_params, **_read_object(bytes(body))}
    log.add(request.method, request.url.path, data)
    return data


def _read_object(body: bytes) -> dict[str, object]:
    if not body:
        return {}
    try:
        found: object = json.loads(body)
    except ValueError:
        raise HTTPException(400, "cannot parse json. check json for validity") from None
    if not isinstance(found, dict):
        raise HTTPException(400, f"body is a JSON {type(found).__name__}, expected an object")
    return {str(name): value for name, value in found.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
