"""Sms: send a text message while the call goes on (reference, section Sms)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..attributes import attr, http_method, text, url
from ..verb import Call, Failed, Method, Outcome
from .base import Verb, goto


@dataclass(frozen=True, kw_only=True)
class Sms(Verb):
    """Send the text as a message; the caller notices nothing of it."""

    name: ClassVar[str] = "Sms"

    action: str | None = attr(
        url(),
        says="The document that follows, whether the message could be sent or not. Without it the next verb runs, "
        "and later requests carry the result.",
    )
    method: Method = attr(http_method(), default="POST", says="How `action` is requested.")
    from_: str | None = attr(
        text(),
        says="Who sends: a number in E.164 form, a DID of the account or one of its `caller_ids`, else nothing is "
        "sent. Without it, who is calling.",
    )
    to: str | None = attr(text(), says="Who receives: a number in E.164 form; without it, who was called.")

    @property
    def answers(self) -> bool:
        """Nothing is to be heard."""
        return False

    @property
    def audible(self) -> bool:
        """Else a document that leads to itself would send messages for ever."""
        return False

    async def run(self, call: Call) -> Outcome:
        """Send, wait until it is known what came of it, and tell `action`."""
        status = await call.send_message(self.text, sender=self.from_ or "", recipient=self.to or "")
        following = goto(self.action, self.method, {"SmsStatus": status})
        return following if status == "sent" else Failed(then=following)
