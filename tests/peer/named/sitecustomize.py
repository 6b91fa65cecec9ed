"""What an engine runs first (PYTHONPATH) to which every name below `.example` is this machine.

A name that a file in NAMED_HELD is called is not answered while that file is there.
"""

import os
import socket
import time
from pathlib import Path
from typing import Any

HELD = Path(os.environ["NAMED_HELD"])
ask = socket.getaddrinfo


def answer(host: Any, *arguments: Any, **options: Any) -> Any:
    if not str(host).endswith(".example"):
        return ask(host, *arguments, **options)
    while (HELD / str(host)).exists():
        time.sleep(0.05)
    return ask("127.0.0.1", *arguments, **options)


socket.getaddrinfo = answer  # type: ignore[assignment]
