"""The composition root: the services of the control process are connected here, started in order, and stopped in
reverse.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import FastAPI

from . import assembly, config_entries, http_side, lost_calls, retention
from .admission import Admission, LoopLag
from .alone import alone
from .api import server
from .api.files import files_router
from .api.trunks import trunks_router
from .assembly import Sounds
from .call_services import Services
from .changes import Changes
from .config import Config
from .conversions import Conversions
from .db import Database
from .directory import Directory
from .exchange import Exchange
from .greeting import greet
from .inbound import Inbound
from .lives import Lives, close_orphans
from .media_client import MediaClient
from .messages import Messages
from .outbound import Outbound
from .outbox import Backoff, Outbox
from .peers import Peers
from .ports import PortPool
from .recording_log import RecordingLog
from .registry import Registry
from .running import begin, beside
from .shortage import Shortage
from .sip.agent import Agent
from .sip.trunks import Trunks
from .storage import incoming, lifecycle
from .storage.local import LocalStorage
from .supervisor import Supervisor
from .timeline import Timeline
from .trunk_gate import guard
from .trunk_upkeep import TrunkUpkeep
from .webhook import Webhook

log = logging.getLogger("flexml.app")

DRAIN_TIMEOUT_S: Final = 10.0
NOBODY: Final = ""
"""Who owns what a version before engines had names has left."""
BROKEN_OFF_S: Final = 3600.0
"""An upload of which nothing has come for so long is another engine's no more."""
GC_THRESHOLDS: Final = (50_000, 20, 20)
"""Objects, then collections of the younger generation, after which a generation is collected.

What calls leave behind is freed without. What is alive is looked through each time, and nothing else happens meanwhile:
15,000 objects where 250 calls come and go a second, which take 10 to 25 ms. So they must come and go without reaching
this.
"""


@dataclass(frozen=True, slots=True)
class Records:
    """What is kept, and who is told of it."""

    database: Database
    peers: Peers
    timeline: Timeline
    webhook: Webhook
    outbox: Outbox


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls that are live, and what they go through."""

    registry: Registry
    agent: Agent
    trunks: Trunks
    messages: Messages
    services: Services
    lives: Lives


async def serve(config: Config) -> None:
    """Run the engine until SIGINT, SIGTERM or SIGHUP. Raises FlexmlError or OSError where it cannot start."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(Shortage())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup wants it ignored
            loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        stack.enter_context(alone(config))
        media = MediaClient()
        supervisor = Supervisor(media, count=assembly.workers(config), settings=assembly.worker_settings(config))
        supervisor.start()
        stack.push_async_callback(supervisor.stop)
        lives = await _start(config, stack, media)
        await supervisor.ready()
        settle_memory()
        greet(config)
        await stop.wait()
        supervisor.wind_down()
        log.info("stopping: %d live calls", len(lives))
        await lives.drain(DRAIN_TIMEOUT_S)


async def _start(config: Config, stack: AsyncExitStack, media: MediaClient) -> Lives:
    """Start everything but the media workers."""
    records = await _open_records(config, stack)
    directory = Directory(config.sip.default_region)
    changes = await begin(stack, Changes(records.database, directory, config_entries.named(config)))
    sounds = await _open_sounds(config, stack, records, directory)
    calls = _connect_calls(config, stack, media, records, sounds, directory)
    changes.gone = calls.lives.end_account
    lag = await begin(stack, LoopLag())
    agent, lives = calls.agent, calls.lives
    admission = Admission(media, max_load=config.media.max_load / 100, lag=lambda: max(lag.usual_s, agent.behind_s))
    calls.registry.admit = admission.before(calls.registry.admit)
    outbound = Outbound(
        lives=lives,
        directory=directory,
        services=calls.services,
        database=records.database,
        clock=time.time,
        ring_timeout_s=config.sip.ring_timeout_s,
        has_room=admission.has_room,
        peers=records.peers,
    )
    records.peers.asked = outbound.asked
    started = time.monotonic()
    routers = [
        files_router(sounds.storage, sounds.conversions),
        trunks_router(calls.trunks.states),
        *http_side.api_routes(config, outbound, records.database, directory, changes, sounds.storage, time.time),
    ]
    app = http_side.application(
        lives,
        agent,
        media,
        admission,
        lag,
        records.database,
        uptime_s=lambda: time.monotonic() - started,
        routers=routers,
    )
    await _serve_http(config, stack, app)
    agent.start()
    stack.push_async_callback(agent.close)
    stack.push_async_callback(calls.messages.close)
    await begin(stack, TrunkUpkeep(calls.trunks, agent, clock=time.time, spread=random.random))
    await begin(stack, outbound)
    beside(stack, lost_calls.keep(lives, records.database, time.time))
    return lives


def _connect_calls(
    config: Config, stack: AsyncExitStack, media: MediaClient, records: Records, sounds: Sounds, directory: Directory
) -> Calls:
    """Connect the SIP stack, which is started later, with all that calls use."""
    registry, trunks = Registry(), Trunks(config.trunks)
    agent = registry.agent = Agent(assembly.agent_settings(config), registry)
    settings = assembly.leg_settings(config)
    ports = PortPool(*config.rtp.ports, settings.address)
    exchange = Exchange(
        agent=agent,
        dialogs=registry,
        settings=settings,
        ports=ports,
        media=media,
        trunks=trunks,
        region=config.sip.default_region,
        clock=time.time,
        follows_refer=config.sip.refer == "follow",
    )
    stack.push_async_callback(exchange.close)
    messages = assembly.messages(config, agent, records.webhook, directory)
    services = assembly.services(config, agent, sounds, records.timeline, exchange, messages)
    lives = Lives(
        registry=registry,
        agent=agent,
        fetcher=records.webhook,
        outbox=records.outbox,
        database=records.database,
        timeline=records.timeline,
        max_document_bytes=config.webhook.max_document_bytes,
    )
    inbound = Inbound(
        lives=lives, directory=directory, services=services, leg_settings=settings, ports=ports, media=media
    )
    inbound.trunk_of = trunks.carrier_of
    inbound.known_as = trunks.known_as
    guard(registry, trunks, anybody=config.sip.inbound == "any", clock=time.time)
    return Calls(registry, agent, trunks, messages, services, lives)


async def _open_records(config: Config, stack: AsyncExitStack) -> Records:
    """Open the database; end there, and tell of, what an engine that is no more has left."""
    database = await begin(stack, Database(config.database.url, owner=assembly.engine_name(config)))
    peers = await begin(stack, Peers(database, clock=time.monotonic))
    await database.sync_config(config_entries.accounts(config), config_entries.dids(config), now=time.time())
    timeline = await begin(stack, Timeline(database))
    beside(stack, retention.keep(database, config.database.keep_days, time.time))
    names = (database.owner, NOBODY) if database.is_shared else (database.owner,)
    orphans = [call for name in names for call in await database.adopt(name)]
    webhook = await begin(stack, assembly.webhook(config, time.time))
    backoff = Backoff(total_s=config.webhook.callback_retry_s)
    outbox = await begin(stack, Outbox(database, webhook, clock=time.time, backoff=backoff, note=timeline.note))
    if orphans:
        log.warning("%d calls had been live when the last run ended; their applications are told", len(orphans))
        await close_orphans(database, outbox, timeline, orphans, time.time())

    async def take_over(engine: str) -> None:
        await close_orphans(database, outbox, timeline, await database.adopt(engine), time.time())
        await outbox.take_up()

    peers.dead = take_over
    peers.watch()
    return Records(database, peers, timeline, webhook, outbox)


async def _open_sounds(config: Config, stack: AsyncExitStack, records: Records, directory: Directory) -> Sounds:
    """Open caches and storage, and go on with recordings that the last run has left."""
    prompts = await begin(stack, assembly.prompts(config))
    speech = await begin(stack, assembly.speech(config))
    folder = Path(config.storage.path)
    storage = LocalStorage(records.database, folder, clock=time.time)
    await asyncio.to_thread(incoming.forget, storage, time.time() - BROKEN_OFF_S)
    conversions = await begin(stack, Conversions(folder, max_bytes=config.storage.converted_mb * 2**20))
    transcriptions = await begin(stack, assembly.transcriptions(config, records.outbox, records.timeline, time.time))
    recordings = await begin(
        stack,
        assembly.recordings(
            config,
            storage,
            records.outbox,
            assembly.uploads(config, records.timeline, time.time),
            directory,
            transcriptions,
            RecordingLog(records.database, time.time),
        ),
    )
    if left := await recordings.recover():
        log.warning("%d recordings had been left unfinished when the last run ended; finishing them", left)
    if left := await transcriptions.recover():
        log.warning("%d recordings had not been transcribed when the last run ended; going on", left)
    beside(stack, lifecycle.keep(storage, time.time))
    return Sounds(prompts, speech, storage, conversions, recordings)


async def _serve_http(config: Config, stack: AsyncExitStack, app: FastAPI) -> None:
    """Serve HTTP beside everything else, from when it listens until the engine stops."""
    listening: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_listening(_host: str, _port: int) -> None:
        listening.set_result(None)

    listen = config.http.listen
    serving = beside(stack, server.run(app, listen.host, listen.port, on_listening=on_listening))
    await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()


def settle_memory() -> None:
    """Keep what is there from the start out of every later collection, which would hold the loop up for it.

    What calls leave behind is collected as ever, but a generation only after many more objects have come.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
