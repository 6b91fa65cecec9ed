"""What an engine says of its trunks."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine_process import EngineProcess


class TrunkWatch:
    """Looks at the trunks of `process`."""

    def __init__(self, process: EngineProcess) -> None:
        self.process = process

    def trunk(self, name: str) -> dict[str, Any]:
        return next(trunk for trunk in json.loads(self.process.get("/trunks"))["trunks"] if trunk["name"] == name)

    def until(self, name: str, fits: Callable[[dict[str, Any]], bool], within_s: float = 20.0) -> dict[str, Any]:
        """The trunk's state once it `fits`; the wire has its own time, so this asks until then."""
        deadline = time.monotonic() + within_s
        while not fits(state := self.trunk(name)):
            assert time.monotonic() < deadline, (state, self.process.log()[-2000:])
            time.sleep(0.02)
        return state

    def shown(self) -> str:
        """What `flexml trunks` prints."""
        command = [Path(sys.executable).parent / "flexml", "trunks", "--config", self.process.config_path]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
