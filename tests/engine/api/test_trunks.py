"""GET /trunks, over a real socket."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from flexml.engine.api.server import Health, create_app, run
from flexml.engine.api.trunks import trunks_router
from flexml.engine.config import Trunk
from flexml.engine.sip.trunks import Trunks


def ask(headers: dict[str, str] | None = None) -> tuple[int, object]:
    trunks = Trunks([Trunk(name="carrier", uri="sip:c", password="hush", max_calls=3, options_s=9)])
    trunks.take("carrier", 1)
    trunks.failed("carrier", "OPTIONS: 503 Busy", 1000.5)
    app = create_app(
        health=lambda: Health(version="1", uptime_s=0, live_calls=0, workers=1), routers=[trunks_router(trunks.states)]
    )

    async def main() -> tuple[int, object]:
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        server = asyncio.create_task(
            run(app, "127.0.0.1", 0, on_listening=lambda host, port: listening.set_result(f"http://{host}:{port}"))
        )
        async with aiohttp.ClientSession(await listening) as client, client.get("/trunks", headers=headers) as response:
            found = response.status, await response.json()
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)
        return found

    return asyncio.run(main())


def test_it_tells_how_every_trunk_is_and_no_password() -> None:
    state = {
        "name": "carrier", "uri": "sip:c", "register": False, "registered_until": None, "reachable": True,
        "calls": 1, "max_calls": 3, "failure": "OPTIONS: 503 Busy", "failed": 1000.5,
    }  # fmt: skip
    assert ask() == (200, {"trunks": [state]})


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "Via"])
def test_it_is_not_there_for_clients_of_a_proxy(header: str) -> None:
    assert ask({header: "1.1 proxy"})[0] == 404
