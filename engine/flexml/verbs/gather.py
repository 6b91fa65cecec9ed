"""Gather: collect keys (reference, section Gather; decisions, section 5).

One reader takes the keys in the order they were pressed, typed-ahead ones first, while the prompt plays
beside it. The first key that counts stops the prompt. From the prompt's end, or from that key, `timeout`
runs, anew after each key that counts; a key that does not count changes nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from ..attributes import KEYS, attr, http_method, integer, keys, seconds, url
from ..verb import Call, Method, Outcome
from .base import PROMPTS, Verb, goto

_VALID = "1234567890#*abcdABCD"


@dataclass(frozen=True, kw_only=True)
class Gather(Verb):
    """Collect keys and take them to `action`; with none, or without `action`, the next verb runs."""

    name: ClassVar[str] = "Gather"
    reads_text: ClassVar[bool] = False
    nests: ClassVar[tuple[str, ...]] = PROMPTS

    action: str | None = attr(url(), says="Where the keys go. Without it they are dropped and the next verb runs.")
    method: Method = attr(http_method(), default="POST", says="How `action` is requested.")
    finish_on_key: str = attr(
        keys(KEYS, off="_"),
        default="#",
        says="Each of these keys ends the input and is not part of it; it is told as `FinishKey`. `_` makes `#` "
        "and `*` keys like the others.",
    )
    num_digits: int | None = attr(
        integer(1),
        says="The input ends at so many keys, a start digit included. Without it only a finish key or the "
        "timeout ends it.",
    )
    timeout: int = attr(
        seconds(),
        default=5,
        says="The longest time between two keys, and before the first one. It begins when the prompt is over, or "
        "was stopped by a key.",
    )
    start_digits: str = attr(
        keys(KEYS),
        default="",
        says="Until one of these is pressed, all keys are ignored and the prompt goes on. It becomes the first "
        "of the digits.",
    )
    valid_digits: str = attr(
        keys(_VALID),
        default=_VALID,
        says="Other keys are ignored; they neither stop the prompt nor start the timeout anew. A finish key or "
        "start digit need not be among them.",
    )

    @property
    def blank(self) -> bool:
        """Nothing to be heard and nobody to be told. With `action` it collects keys in silence."""
        return not (self.children or self.action)

    async def run(self, call: Call) -> Outcome:
        """Collect; ending early, by hang-up too, stops the prompt."""
        prompt = asyncio.create_task(self._prompt(call))
        try:
            digits, finish = await self._collect(call, prompt)
        finally:
            prompt.cancel()
            await asyncio.gather(prompt, return_exceptions=True)
        if not digits:
            return None
        return goto(self.action, self.method, {"Digits": digits, "FinishKey": finish})

    async def _prompt(self, call: Call) -> None:
        for child in self.children:
            if isinstance(child, Verb):
                await child.prompt(call)

    async def _collect(self, call: Call, prompt: asyncio.Task[None]) -> tuple[str, str | None]:
        """The digits, and the finish key if one ended them."""
        clock = asyncio.get_running_loop().time
        digits, until = "", None
        while len(digits) != self.num_digits:
            if until is None and prompt.done():
                prompt.result()
                until = clock() + self.timeout
            key = await (_key_during(prompt, call) if until is None else call.digit(max(until - clock(), 0)))
            if key is None and until is not None:
                break
            if key is None or not self._counts(key, first=not digits):
                continue
            prompt.cancel()
            if key in self.finish_on_key and (digits or not self.start_digits):
                return digits, key
            digits += key
            until = clock() + self.timeout
        return digits, None

    def _counts(self, key: str, *, first: bool) -> bool:
        """A start digit need not be valid, and neither need a finish key; before the start nothing else counts."""
        if first and self.start_digits:
            return key in self.start_digits
        return key in self.finish_on_key or key.lower() in self.valid_digits.lower()


async def _key_during(prompt: asyncio.Task[None], call: Call) -> str | None:
    """The next key; None when the prompt is over before one is pressed."""
    key = asyncio.ensure_future(call.digit())
    try:
        await asyncio.wait({key, prompt}, return_when=asyncio.FIRST_COMPLETED)
        return key.result() if key.done() else None
    finally:
        key.cancel()
