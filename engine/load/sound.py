"""What callers say, as the samples that the process of the streams reads: a text spoken by eSpeak NG, or a file."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from ..errors import PromptError
from ..prompts import Prompts
from ..speech.service import Speech

RATE_HZ: Final = 8000
TEXT: Final = (
    "Hello, this is a caller who talks and talks, so that whoever listens has something to do. "
    "One, two, three, four, five, six, seven, eight, nine, ten. Then I take a breath, and begin again."
)


async def samples(sends: str, folder: Path) -> Path:
    """Return a file of 16-bit samples of 8 kHz: of TEXT for `speech`, else of the audio file `sends`.

    It lies below `folder`. Raises FlexmlError where there is no such sound.
    """
    async with AsyncExitStack() as stack:
        if sends == "speech":
            speech = Speech(folder / "speech")
            await speech.start()
            stack.push_async_callback(speech.close)
            return Path((await speech.whole(TEXT, "woman", RATE_HZ)).path)
        source = await asyncio.to_thread(Path(sends).resolve)
        prompts = Prompts(folder / "prompts", roots=[source.parent])
        await prompts.start()
        stack.push_async_callback(prompts.close)
        prompt = await prompts.fetch(str(source), RATE_HZ)
        while prompt.growth and not prompt.growth.complete:
            await prompt.growth.changed()
        if prompt.growth and prompt.growth.error:
            raise PromptError(f"{sends}: {prompt.growth.error}")
        return Path(prompt.path)
