"""Running a call's documents: fetch, check, carry out, go where the verbs say.

The only loop. A document that cannot be had or executed is an application error (decisions, section 2):
the fallback URL is tried first, then the account's error handler decides. Hang-up cancels `run`; so does
the registry to move a live call to another document, and calls `run` again with that one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from ..errors import CallEnded, DocumentError, FetchError, FlexmlError
from .attributes import clean_url, resolve
from .document import MAX_BYTES, MAX_VERBS, Document, parse
from .fetch import Cookies, Fetched, Fetcher
from .request import CallFacts, request_data
from .verb import Call, End, Failed, Goto, Method, Outcome, Verb

_AUDIBLE_S: Final = 0.02
"""An audible verb that took at least one frame's time, and did not fail, has given media."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Application:
    """Where a call's documents come from, and what happens when they do not."""

    url: str
    method: Method = "POST"
    error_handler: Literal["basic", "none"] = "basic"
    fallback_url: str = ""
    fallback_method: Method = "POST"
    max_bytes: int = MAX_BYTES
    max_verbs: int = MAX_VERBS
    max_documents: int = 100
    """Documents that may follow each other without media in between."""


async def run(
    call: Call,
    fetcher: Fetcher,
    application: Application,
    facts: Callable[[], CallFacts],
    *,
    cookies: Cookies | None = None,
) -> None:
    """Carry out the call's documents to the end of the call; `facts` tells what each request is to carry."""
    session = _Session(call, fetcher, application, facts, cookies or fetcher.cookies())
    with suppress(CallEnded):
        try:
            await _with_fallback(session, application)
        except CallEnded:
            raise
        except FlexmlError as error:
            call.note("application error", error=str(error))
            await _give_up(call, application)


async def _with_fallback(session: _Session, application: Application) -> None:
    try:
        await session.follow(Goto(url=application.url, method=application.method))
    except CallEnded:
        raise
    except FlexmlError as error:
        if not application.fallback_url:
            raise
        session.call.note("application error, trying the fallback URL", error=str(error))
        failed = error.url if isinstance(error, FetchError | DocumentError) else ""
        data: dict[str, object] = {"ErrorCode": error_code(error), "ErrorUrl": failed or session.call.running}
        await session.follow(Goto(url=application.fallback_url, method=application.fallback_method, data=data))


def error_code(error: FlexmlError) -> str:
    """One word for the application error: what `ErrorCode` says."""
    if isinstance(error, FetchError) and not 200 <= error.status <= 299:
        return f"http-{error.status}" if error.status else "no-answer"
    if isinstance(error, _TooManyDocuments):
        return "too-many-documents"
    return "bad-document" if isinstance(error, FetchError | DocumentError) else "internal"


async def _give_up(call: Call, application: Application) -> None:
    """Do what the account's error handler says. Nothing that fails here may keep the call up."""
    try:
        if application.error_handler == "none" and not call.answered:
            await call.reject(503, reason="Service Unavailable")
            return
        if application.error_handler == "basic":
            await call.answer()
            await call.play_error_message()
    except CallEnded:
        raise
    except FlexmlError as error:
        call.note("error message not heard", error=str(error))
    await call.hang_up()


async def _end(call: Call) -> None:
    """End a call whose document has nothing more to say; one that was never answered is, first."""
    if not call.answered:
        await call.answer()
    await call.hang_up()


class _TooManyDocuments(DocumentError):
    """Documents lead to documents, and nobody hears anything."""


class _Session:
    """One call's way through its documents: how many of them went by in silence."""

    def __init__(
        self,
        call: Call,
        fetcher: Fetcher,
        application: Application,
        facts: Callable[[], CallFacts],
        cookies: Cookies,
    ) -> None:
        self.call = call
        call.running = call.running or application.url  # what ran before the call was moved leads here
        self._fetcher, self._application, self._facts, self._cookies = fetcher, application, facts, cookies
        self._silent = 0

    async def follow(self, goto: Goto) -> None:
        """Run documents until one ends the call. Raises FlexmlError."""
        self._silent = 0
        following: Goto | None = goto
        while following:
            self._count()
            document = await self._document(following)
            following = await self._carry_out(document)

    def _count(self) -> None:
        self._silent += 1
        most = self._application.max_documents
        if self._silent > most:
            raise _TooManyDocuments(f"more than {most} documents without media in between", url=self.call.running)

    async def _document(self, goto: Goto) -> Document:
        try:
            url = resolve(self.call.running, clean_url(goto.url))
        except ValueError as error:
            raise FetchError(f"not a URL: {error}", url=goto.url) from None
        data = request_data(self._facts(), request_url=self.call.running, data=goto.data)
        fetched = await self._ask(url, goto.method, data)
        document = self._read(fetched)
        self.call.running = fetched.url
        self.call.note("document", url=fetched.url, verbs=len(document.verbs))
        for note in document.notes:
            self.call.note(note, url=fetched.url)
        return document

    async def _ask(self, url: str, method: Method, data: Mapping[str, object]) -> Fetched:
        """Ask the application, and note how that went, or that nobody waited for it."""
        clock = asyncio.get_running_loop().time
        began = clock()
        noted: dict[str, object] = {"abandoned": True}
        try:
            fetched = await self._fetcher.fetch(url, method, data, cookies=self._cookies)
            noted = {"status": fetched.status, "first_ms": fetched.first_ms, "octets": len(fetched.body)}
            again = {"retries": fetched.retries, "redirects": fetched.redirects}
            noted |= {name: count for name, count in again.items() if count}
        except FetchError as error:
            noted = {"error": str(error)}
            raise
        finally:
            self.call.note(f"> {method}", url=url, **noted, total_ms=_ms(clock() - began))
        return fetched

    def _read(self, fetched: Fetched) -> Document:
        """An error status counts as an error unless there is a document in the body all the same."""
        limits = self._application
        error_status = not 200 <= fetched.status <= 299
        if error_status and not fetched.body.strip():
            raise _failed(fetched)
        try:
            document = parse(
                fetched.body,
                url=fetched.url,
                charset=fetched.charset,
                max_bytes=limits.max_bytes,
                max_verbs=limits.max_verbs,
            )
        except DocumentError:
            if error_status:
                raise _failed(fetched) from None
            raise
        if error_status:
            self.call.note(f"status {fetched.status}, but its body is a document, which runs", url=fetched.url)
        return document

    async def _carry_out(self, document: Document) -> Goto | None:
        """Run the verbs; where to go next, or None when the call is over."""
        for verb in document.verbs:
            if verb.answers and not self.call.answered:
                await self.call.answer()
            outcome = await self._verb(verb)
            if isinstance(outcome, Goto):
                return outcome
            if isinstance(outcome, End):
                return None
        await _end(self.call)
        return None

    async def _verb(self, verb: Verb) -> Goto | End | None:
        clock = asyncio.get_running_loop().time
        self.call.note("verb", name=verb.name, line=verb.line)
        began, how = clock(), "cut off"
        try:
            outcome: Outcome = await verb.run(self.call)
            how = _how(outcome)
        except FlexmlError as error:
            how = str(error)
            raise
        finally:
            self.call.note("verb ended", name=verb.name, line=verb.line, took_ms=_ms(clock() - began), how=how)
        failed = isinstance(outcome, Failed)
        if outcome.heard if failed else verb.audible and clock() - began >= _AUDIBLE_S:
            self._silent = 0
        return outcome.then if failed else outcome


def _failed(fetched: Fetched) -> FetchError:
    return FetchError(f"status {fetched.status}, expected 2xx", url=fetched.url, status=fetched.status)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _how(outcome: Outcome) -> str:
    """How a verb ended, in the timeline's words."""
    match outcome:
        case Goto():
            return f"go to {outcome.url}"
        case End():
            return "end of the call"
        case Failed(then=None):
            return "failed, next verb"
        case Failed(then=Goto(url=url)):
            return f"failed, go to {url}"
        case _:
            return "next verb"
