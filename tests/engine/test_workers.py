"""Pools of processes: whoever gives up, and however, the pool stays whole."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from flexml.engine.workers import Workers


def request(spool: Path) -> dict[str, Any]:
    return {
        "spool": str(spool), "target": str(spool.with_suffix(".wav")), "channels": 1, "format": "wav", "trim": True,
        "detector": "energy",
    }  # fmt: skip


def test_a_request_that_is_cancelled_twice_gives_its_process_back(tmp_path: Path) -> None:
    blocks, empty = tmp_path / "blocks", tmp_path / "empty"
    os.mkfifo(blocks)
    empty.touch()

    async def main() -> None:
        workers = Workers("flexml.engine.encode", size=1)
        await workers.start()
        try:
            asking = asyncio.create_task(workers.run(**request(blocks)))
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.sleep(0)
            asking.cancel()  # while the process is being ended
            await asyncio.wait([asking])
            assert asking.cancelled()
            async with asyncio.timeout(20):
                assert await workers.run(**request(empty)) == {"samples": 0, "bytes": 0, "held": 0}
        finally:
            await workers.close()

    asyncio.run(main())
