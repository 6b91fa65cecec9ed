"""What the operator sees once calls are taken."""

from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import version
from pathlib import Path

from .config import Config

log = logging.getLogger("flexml.app")


def greet(config: Config) -> None:
    """Say that calls are taken; an output that is closed or full is no reason not to."""
    try:
        print(_greeting(config), flush=True)
    except OSError as error:
        log.warning("the greeting cannot be written: %s", error.strerror)
        with Path(os.devnull).open("wb") as nowhere:  # where what is still in the buffer goes at the end
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _greeting(config: Config) -> str:
    """The lines of it."""
    sip, http = config.sip.listen[0], config.http.listen
    lines = [
        f"FlexML engine {version('flexml-engine')} is ready.",
        f"  SIP   {', '.join(str(listen) for listen in config.sip.listen)}",
        f"  HTTP  http://{http.place} (/docs shows the API, /health how it is)",
    ]
    if config.dids:
        number = config.dids[0].phonenumber
        lines += [
            "Call it, with any softphone or with",
            f'  .venv/bin/flexml call sip:{number}@{sip.place} --dtmf ",,1" --record heard.wav --for 20',
        ]
    else:
        lines.append("No [[did]] is configured: every call will get 404.")
    return "\n".join(lines)
