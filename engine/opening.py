"""Files are opened in a thread, because a disk may keep whoever asks waiting."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, BinaryIO, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

File = TypeVar("File", bound="BinaryIO | None")


async def opened(opens: Callable[[Path], File], path: Path) -> File:
    """What `opens` gives for `path`. Raises what it raises.

    Whoever is cancelled meanwhile leaves it closed, at once or when the thread is done with it.
    """
    opening = asyncio.get_running_loop().run_in_executor(None, opens, path)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise


def _close(opening: asyncio.Future[BinaryIO | None]) -> None:
    with contextlib.suppress(OSError):
        file = opening.result()
        if file is not None:
            file.close()
