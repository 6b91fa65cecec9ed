"""What programs that tests start inherit from whoever started the tests: a shell's background, nohup."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Generator


@contextlib.contextmanager
def inherits(number: signal.Signals, are: signal.Handlers = signal.SIG_DFL) -> Generator[None]:
    """Let what is started inside begin with that signal handled as said."""
    before = signal.signal(number, are)
    try:
        yield
    finally:
        signal.signal(number, before)
