"""What a call places and sends of its own: calls of Dial and messages of Sms, and as whom.

Whose number is shown is the account's to say. What a dial has come to is told even where the call that dials ends
before: as a word left with whoever makes its requests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from .call_services import Services
from .dial import Dialled, DialRequest
from .dialling import Calling, Dialling
from .errors import CallEnded
from .exchange import Caller
from .flexml.verb import Goto, MessageStatus
from .messages import Message
from .recording import RecordingRequest
from .sip.events import Login


class Sending(Calling, Protocol):
    """The call that dials, or sends a message. It is handed over each time: the call holds its `Outward`."""

    account: str
    told: Callable[[], Mapping[str, object]]
    """What requests about it say."""
    results: dict[str, object]
    """What verbs have come to, for requests to say."""

    @property
    def over(self) -> bool:
        """True once it has ended."""
        ...

    def at_its_end(self, word: Callable[[], Awaitable[Goto | None]]) -> AbstractContextManager[None]:
        """Should it end within this, have what `word` gives then requested as a callback."""
        ...

    async def check_recording(self, request: RecordingRequest) -> None:
        """Raise StorageError, and tell, where a recording that begins later has no place to go to."""
        ...


class Outward:
    """As whom a call's own calls and messages go out."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.caller = Caller(number="")
        """Who calls, where the document names nobody else."""
        self.may_show: Callable[[str], bool] = lambda _: False
        """Whether the account may show that number on calls of its own."""

    def override_login(self, username: str, password: str) -> None:
        """Answer challenges with these credentials; what is empty stays as it was."""
        before = self.caller.login or Login(username="", password="")
        login = Login(username=username or before.username, password=password or before.password)
        self.caller = replace(self.caller, login=login)

    async def dial(self, call: Sending, request: DialRequest) -> Dialled:
        """Call others, and let the first to answer talk with the caller.

        Raises CallEnded where the caller has left, and StorageError where it is to be recorded into what does not
        exist; nobody is rung then.
        """
        failed = Dialled(status="failed", number=request.destinations[0].target)
        if self._services.exchange is None:
            call.note("no calls out are placed here")
            return failed
        if request.caller_id and not self.may_show(request.caller_id):
            call.note("callerId is neither a DID of the account nor in its caller_ids", caller_id=request.caller_id)
            return failed
        number, name = request.caller_id or self.caller.number, request.caller_name or self.caller.name
        caller = replace(self.caller, number=number, name=name)
        dialling = Dialling(call, self._services.exchange, request, caller, self._services.ringback)
        return await _dialled(call, dialling, request)

    async def send_message(self, call: Sending, text: str, *, sender: str, recipient: str) -> MessageStatus:
        """Send a text message; what came of it is in later requests too. One that is under way is not taken back.

        Where `sender` or `recipient` is empty, it is the call's.
        """
        told = call.told()
        message = Message(
            text=text,
            sender=sender or str(told.get("From", "")),
            recipient=recipient or str(told.get("To", "")),
            account=call.account,
            may_send=not sender or self.may_show(sender),
            facts=told,
        )
        call.results.pop("SmsStatus", None)
        status: MessageStatus = "failed"
        if self._services.messages is None:
            call.note("no messages are sent here")
        else:
            status = await self._services.messages.send(message, call.note)
        call.results["SmsStatus"] = status
        return status


async def _dialled(call: Sending, dialling: Dialling, request: DialRequest) -> Dialled:
    """What the dial comes to; where the call ends before, word of it is left. Raises CallEnded."""

    async def left() -> Goto | None:
        data = dialling.dialled.data()
        return Goto(url=request.action_url, method=request.action_method, data=data) if request.action_url else None

    with call.at_its_end(left):
        if request.recording is not None:
            await call.check_recording(request.recording)
        dialled = await dialling.run()
        if call.over:
            raise CallEnded("the caller has left")
    return dialled
