"""What the event loop says when it runs out of descriptors: one line now and again.

Until one is free again it says so, with a traceback, for each of a thousand connections that it would take at once.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from typing import Any, Final

log = logging.getLogger("flexml.app")

AGAIN_S: Final = 60.0
SHORT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Shortage:
    """A handler of the loop's exceptions, which leaves all others to the default one."""

    def __init__(self) -> None:
        self._said_at = -AGAIN_S

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Say what `context` tells of, but for what has just been said."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in SHORT and "socket" in context):
            loop.default_exception_handler(context)
        elif loop.time() - self._said_at >= AGAIN_S:
            self._said_at = loop.time()
            log.error("no connection to [http] can be taken (said once a minute): %s", error.strerror)
