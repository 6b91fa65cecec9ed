"""The API over a real socket, on a real database, in a thread of its own; a client for it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from flexml.engine.api.accounts import accounts_router
from flexml.engine.api.authentication import Authentication
from flexml.engine.api.bearer import BearerAuthentication
from flexml.engine.api.call_recordings import call_recordings_router
from flexml.engine.api.calls import calls_router
from flexml.engine.api.collection import Reader
from flexml.engine.api.core.containers import containers_router
from flexml.engine.api.core.dids import core_dids_router
from flexml.engine.api.core.endpoints import endpoints_router
from flexml.engine.api.core.files import storage_files_router
from flexml.engine.api.core.whoami import whoami_router
from flexml.engine.api.dids import dids_router
from flexml.engine.api.server import Health, create_app, run
from flexml.engine.changes import Changes
from flexml.engine.db import Database
from flexml.engine.directory import Directory
from flexml.engine.lives import Lives
from flexml.engine.outbound import Outbound
from flexml.engine.outbox import Outbox
from flexml.engine.provisioning import Named
from flexml.engine.records import AccountEntry, DidEntry
from flexml.engine.registry import Registry
from flexml.engine.storage.local import LocalStorage
from flexml.engine.timeline import Timeline
from flexml.engine.tokens import Token, Tokens
from flexml.engine.webhook import Webhook

from ..fakes_sip import FakeAgent, services

T = TypeVar("T")
HEALTHY = Health(version="1.2.3", uptime_s=5.5, live_calls=2, workers=1)
ACCOUNTS = [
    AccountEntry(login="flexml_user_123", password="qwerty123", name="John Smith", caller_ids=("15162065300",)),
    AccountEntry(login="other", password="secret", name="Other"),
]
DIDS = [
    DidEntry(phonenumber="15162065319", account="flexml_user_123", url="http://127.0.0.1:9/"),
    DidEntry(phonenumber="15162065399", account="other", url="http://127.0.0.1:9/"),
]
FILES_URL = "https://flexml.example"
API_URL = "https://flexml.example/flexml/v1"
NAMED = Named(logins=frozenset({"other"}), numbers=frozenset({"15162065399"}))
"""What this server takes for named in the configuration."""
NOW = 1_800_000_000.0


@dataclass(frozen=True)
class Reply:
    """What came back; `body` is the JSON of it, None where there is none."""

    status: int
    body: Any
    headers: dict[str, str]


class Client:
    """Asks as one account, or with a token, `written` as its requests bring it."""

    def __init__(
        self, address: tuple[str, int], login: str | None, prefix: str = "/flexml/v1", *, token: str | None = None
    ) -> None:
        self._address, self._login, self._prefix, self.written = address, login, prefix, token

    def ask(
        self, method: str, path: str, body: object = None, *, headers: dict[str, str] | None = None, **query: object
    ) -> Reply:
        sent = dict(headers or {})
        if self._login is not None:
            sent["Authorization"] = "Basic " + base64.b64encode(self._login.encode()).decode()
        if self.written is not None:
            sent["Authorization"] = f"Bearer {self.written}"
        if body is not None and not isinstance(body, bytes):
            body, sent = json.dumps(body).encode(), {"Content-Type": "application/json", **sent}
        where = path if path.startswith("http") else f"{self._prefix}{path}"
        parts = urlsplit(where)
        target = parts.path + (f"?{parts.query or urlencode(query)}" if parts.query or query else "")
        connection = http.client.HTTPConnection(*self._address, timeout=10)
        try:
            connection.request(method, target, body, sent)
            response = connection.getresponse()
            text = response.read()
            is_json = response.headers.get_content_type() == "application/json"
            return Reply(response.status, json.loads(text) if is_json else None, dict(response.headers))
        finally:
            connection.close()

    def get(self, path: str, **query: object) -> Reply:
        return self.ask("GET", path, None, headers=None, **query)

    def all_pages(self, path: str, **query: object) -> list[list[dict[str, Any]]]:
        """Every page from this one on, by `pagination.next`."""
        pages: list[list[dict[str, Any]]] = []
        reply = self.get(path, **query)
        while True:
            assert reply.status == 200, reply.body
            pages.append(reply.body["items"])
            if "next" not in reply.body["pagination"]:
                return pages
            reply = self.get(reply.body["pagination"]["next"])


class Served:
    """A served API: its parts, clients, and a way into its loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, database: Database, directory: Directory) -> None:
        self._loop, self.database, self.directory = loop, database, directory
        self.now = NOW
        self.tokens = Tokens(database, self.clock)
        self.lives: Lives | None = None
        self.storage = LocalStorage(database, Path(), clock=self.clock)
        self.address = ("", 0)
        self.me = self.other = self.nobody = Client(self.address, None)

    def clock(self) -> float:
        return self.now

    def listening(self, host: str, port: int) -> None:
        self.address = (host, port)
        self.me = Client(self.address, "flexml_user_123:qwerty123")
        self.other = Client(self.address, "other:secret")
        self.nobody = Client(self.address, None)

    def with_token(self, written: str) -> Client:
        """A client of `/core/v2`."""
        return Client(self.address, None, "/core/v2", token=written)

    def token(self, name: str, *, of: str | None = None, expires: float | None = None) -> tuple[Token, Client]:
        """A new token, the provider's or that of the account that logs in so, and a client with it."""
        account = None if of is None else self.directory.of_login(of)
        token, written = self.do(
            self.tokens.create(name, account=None if account is None else account.sid, expires=expires)
        )
        return token, self.with_token(written)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)


@contextlib.asynccontextmanager
async def _serving(url: str, folder: Path) -> AsyncGenerator[Served]:
    database = Database(url)
    await database.start()
    directory = Directory("US")
    served = Served(asyncio.get_running_loop(), database, directory)
    await database.sync_config(ACCOUNTS, DIDS, now=NOW)
    reader, changes, who = (
        Reader(database, served.clock),
        Changes(database, directory, NAMED),
        Authentication(directory),
    )
    await changes.start()
    timeline = Timeline(database)
    await timeline.start()
    registry, agent, webhook = Registry(), FakeAgent(), Webhook(secret="", clock=served.clock)
    outbox = Outbox(database, webhook, clock=served.clock)
    lives = served.lives = Lives(
        registry=registry, agent=agent, fetcher=webhook, outbox=outbox, database=database, timeline=timeline
    )
    noting = services(agent)
    noting.note = timeline.note
    outbound = Outbound(lives=lives, directory=directory, services=noting, database=database, clock=served.clock)
    changes.gone = lives.end_account
    bearer, storage = BearerAuthentication(served.tokens), LocalStorage(database, folder, clock=served.clock)
    served.storage = storage
    routers = [
        accounts_router(reader, changes, who),
        calls_router(outbound, database, reader, who),
        call_recordings_router(reader, who),
        dids_router(reader, changes, who),
        whoami_router(bearer),
        core_dids_router(reader, changes, bearer),
        containers_router(reader, storage, directory, bearer),
        storage_files_router(reader, storage, directory, bearer, url=FILES_URL),
        endpoints_router(reader, changes, bearer, storage, served.clock, api_url=API_URL),
    ]
    app = create_app(health=lambda: HEALTHY, routers=routers)
    listening = asyncio.Event()

    def on_listening(host: str, port: int) -> None:
        served.listening(host, port)
        listening.set()

    server = asyncio.create_task(run(app, "127.0.0.1", 0, on_listening=on_listening))
    await listening.wait()
    try:
        yield served
    finally:
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)
        await timeline.close()
        await changes.close()
        await database.close()


@contextlib.contextmanager
def serving(url: str) -> Generator[Served]:
    """Serve what the database at `url` holds in a thread, until the end of the block."""
    ready, stop = threading.Event(), asyncio.Event()
    found: list[Served] = []
    failures: list[BaseException] = []

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with _serving(url, Path(folder)) as served:
                found.append(served)
                ready.set()
                await stop.wait()

    def work() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            failures.append(error)
            ready.set()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(20)
    try:
        assert found, failures
        yield found[0]
    finally:
        if found:
            found[0].do(_set(stop.set))
        thread.join(20)
        assert not failures, failures


async def _set(act: Callable[[], None]) -> None:
    act()
