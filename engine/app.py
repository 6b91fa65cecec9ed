"""The composition root: every service of the control process is made here, started in order, and stopped in reverse."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import signal
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, Protocol, TypeVar

from fastapi import APIRouter

from ..codecs.catalog import BY_NAME
from . import config_entries, retention
from .admission import Admission, LoopLag
from .api import server
from .api.accounts import accounts_router
from .api.authentication import Authentication
from .api.bearer import BearerAuthentication
from .api.call_recordings import call_recordings_router
from .api.calls import calls_router
from .api.collection import Reader
from .api.core.containers import containers_router
from .api.core.dids import core_dids_router
from .api.core.endpoints import endpoints_router
from .api.core.files import storage_files_router
from .api.core.whoami import whoami_router
from .api.demo import demo_router
from .api.dids import dids_router
from .api.files import files_router
from .api.server import Health
from .api.trunks import trunks_router
from .audio import Audio
from .call_services import Services
from .changes import Changes
from .config import Config
from .conversions import Conversions
from .db import Database
from .directory import Directory
from .exchange import Exchange
from .inbound import Inbound
from .leg import LegSettings
from .lives import Lives, close_orphans
from .media_client import MediaClient
from .messages import Messages
from .metrics import Metrics, Sources, WorkerFigures
from .outbound import Outbound
from .outbox import Backoff, Outbox
from .peers import Peers
from .ports import PortPool
from .prompts import PromptLimits, Prompts
from .recording_log import RecordingLog
from .recordings import Recordings
from .registry import Registry
from .sip.agent import Agent, AgentSettings
from .sip.trunks import Trunks
from .speech.polly_voices import PollySettings
from .speech.service import Speech, SpeechSettings
from .speech.transcribe import Transcriptions
from .speech.transcribe_engines import TranscriptionSettings
from .storage import incoming, lifecycle
from .storage.cloud import CloudSettings
from .storage.local import LocalStorage
from .supervisor import Supervisor, WorkerSettings, spare_cores
from .timeline import Timeline
from .tokens import Tokens
from .trunk_gate import guard
from .trunk_upkeep import TrunkUpkeep
from .uploads import LONGEST_WAIT_S, Uploads
from .webhook import Limits, Webhook

log = logging.getLogger("flexml.app")

DRAIN_TIMEOUT_S: Final = 10.0
NOBODY: Final = ""
"""Who owns what a version before engines had names has left."""
NEVER_S: Final = 1e9
BROKEN_OFF_S: Final = 3600.0
"""An upload of which nothing has come for so long is another engine's no more."""
RINGBACK: Final = {"US": "ringback-us", "CA": "ringback-us", "GB": "ringback-uk"}
"""The ringing tone by country; everywhere else it is that of most of Europe."""
GC_THRESHOLDS: Final = (5000, 20, 20)
"""Objects, then collections of the younger generation, after which a generation is collected."""
MAX_DIALOGS: Final = 4000
"""PJSUA_MAX_CALLS of scripts/config_site.h."""
SPARE_DIALOGS: Final = 256
"""For INVITEs that get no leg: they are refused, but need a place to be refused from."""


async def serve(config: Config) -> None:
    """Run the engine until SIGINT or SIGTERM. Raises FlexmlError or OSError where it cannot start."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        media = MediaClient()
        supervisor = Supervisor(media, count=_workers(config), settings=_worker_settings(config))
        supervisor.start()
        stack.push_async_callback(supervisor.stop)
        lives = await _start(config, stack, media)
        await supervisor.ready()
        settle_memory()
        print(_greeting(config), flush=True)
        await stop.wait()
        supervisor.wind_down()
        log.info("stopping: %d live calls", len(lives))
        await lives.drain(DRAIN_TIMEOUT_S)


async def _start(config: Config, stack: AsyncExitStack, media: MediaClient) -> Lives:
    database = await stack.enter_async_context(_running(Database(config.database.url, owner=_engine_name(config))))
    peers = await stack.enter_async_context(_running(Peers(database, clock=time.monotonic)))
    await database.sync_config(config_entries.accounts(config), config_entries.dids(config), now=time.time())
    timeline = await stack.enter_async_context(_running(Timeline(database)))
    purging = asyncio.ensure_future(retention.keep(database, config.database.keep_days, time.time))
    stack.push_async_callback(_cancel, purging)
    orphans = [call for name in (database.owner, NOBODY) for call in await database.adopt(name)]
    webhook = await stack.enter_async_context(_running(_webhook(config)))
    backoff = Backoff(total_s=config.webhook.callback_retry_s)
    outbox = Outbox(database, webhook, clock=time.time, backoff=backoff, note=timeline.note)
    await stack.enter_async_context(_running(outbox))
    if orphans:
        log.warning("%d calls had been live when the last run ended; their applications are told", len(orphans))
        await close_orphans(database, outbox, orphans, time.time())

    async def take_over(engine: str) -> None:
        await close_orphans(database, outbox, await database.adopt(engine), time.time())
        await outbox.take_up()

    peers.dead = take_over
    peers.watch()
    prompts = await stack.enter_async_context(_running(_prompts(config)))
    speech = await stack.enter_async_context(_running(_speech(config)))
    storage = LocalStorage(database, Path(config.storage.path), clock=time.time)
    await asyncio.to_thread(incoming.forget, storage, time.time() - BROKEN_OFF_S)
    conversions = Conversions(Path(config.storage.path), max_bytes=config.storage.converted_mb * 2**20)
    await stack.enter_async_context(_running(conversions))
    directory = Directory(config.sip.default_region)
    changes = await stack.enter_async_context(_running(Changes(database, directory, config_entries.named(config))))
    uploads = _uploads(config, timeline)
    transcriptions = await stack.enter_async_context(_running(_transcriptions(config, outbox, timeline)))
    recordings = await stack.enter_async_context(
        _running(
            _recordings(config, storage, outbox, uploads, directory, transcriptions, RecordingLog(database, time.time))
        )
    )
    if left := await recordings.recover():
        log.warning("%d recordings had been left unfinished when the last run ended; finishing them", left)
    if left := await transcriptions.recover():
        log.warning("%d recordings had not been transcribed when the last run ended; going on", left)
    sweeping = asyncio.ensure_future(lifecycle.keep(storage, time.time))
    stack.push_async_callback(_cancel, sweeping)
    registry = Registry()
    agent = registry.agent = Agent(_agent_settings(config), registry)
    trunks, settings = Trunks(config.trunks), _leg_settings(config)
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
    messages = Messages(
        agent=agent,
        fetcher=webhook,
        trunks=config.trunks,
        route_of=directory.sms_route,
        region=config.sip.default_region,
        host=settings.advertised,
    )
    services = Services(
        agent=agent,
        speak=speech.say,
        fallback_reason=speech.fallback_reason,
        audio=Audio(prompts, storage, url=_files_url(config)),
        recordings=recordings,
        note=timeline.note,
        exchange=exchange,
        messages=messages,
        ringback=RINGBACK.get(config.sip.default_region, "ringback-eu"),
        music_url=f"{_http_url(config)}/demo/music.wav",
    )
    lives = Lives(
        registry=registry,
        agent=agent,
        fetcher=webhook,
        outbox=outbox,
        database=database,
        timeline=timeline,
        max_document_bytes=config.webhook.max_document_bytes,
    )
    changes.gone = lives.end_account
    inbound = Inbound(
        lives=lives, directory=directory, services=services, leg_settings=settings, ports=ports, media=media
    )
    inbound.trunk_of = trunks.carrier_of
    inbound.known_as = trunks.known_as
    guard(registry, trunks, anybody=config.sip.inbound == "any", clock=time.time)
    lag = await stack.enter_async_context(_running(LoopLag()))
    admission = Admission(media, max_load=config.media.max_load / 100, lag=lambda: max(lag.usual_s, agent.behind_s))
    registry.admit = admission.before(registry.admit)
    outbound = Outbound(
        lives=lives,
        directory=directory,
        services=services,
        database=database,
        clock=time.time,
        ring_timeout_s=config.sip.ring_timeout_s,
        has_room=admission.has_room,
        peers=peers,
    )
    peers.asked = outbound.asked
    routers = [
        files_router(storage, conversions),
        trunks_router(trunks.states),
        *_api(config, outbound, database, directory, changes, storage),
    ]
    await _start_http(config, stack, lives, agent, media, admission, lag, routers)
    agent.start()
    stack.push_async_callback(agent.close)
    stack.push_async_callback(messages.close)
    await stack.enter_async_context(_running(TrunkUpkeep(trunks, agent, clock=time.time, spread=random.random)))
    await stack.enter_async_context(_running(outbound))
    return lives


def _api(
    config: Config,
    outbound: Outbound,
    database: Database,
    directory: Directory,
    changes: Changes,
    storage: LocalStorage,
) -> list[APIRouter]:
    """The routes of `/flexml/v1` and `/core/v2`."""
    authentication, reader = Authentication(directory), Reader(database, time.time)
    bearer = BearerAuthentication(Tokens(database, time.time))
    return [
        accounts_router(reader, changes, authentication),
        calls_router(outbound, database, reader, authentication),
        call_recordings_router(reader, authentication),
        dids_router(reader, changes, authentication),
        whoami_router(bearer),
        core_dids_router(reader, changes, bearer),
        containers_router(reader, storage, directory, bearer),
        storage_files_router(reader, storage, directory, bearer, url=_files_url(config)),
        endpoints_router(
            reader,
            changes,
            bearer,
            storage,
            time.time,
            api_url=f"{_files_url(config).rstrip('/')}/flexml/v1",
            detector=config.media.detector,
        ),
    ]


def _webhook(config: Config) -> Webhook:
    settings = config.webhook
    limits = Limits(timeout_s=settings.timeout_s, retries=settings.retries, max_body=settings.max_document_bytes)
    return Webhook(secret=settings.signing_key, clock=time.time, limits=limits)


def _prompts(config: Config) -> Prompts:
    settings = config.prompts
    limits = PromptLimits(cache_bytes=settings.size_mb * 2**20)
    return Prompts(Path(settings.path), roots=[Path(root) for root in settings.roots], limits=limits)


def _speech(config: Config) -> Speech:
    settings = config.speech
    polly = PollySettings(
        region=settings.polly_region,
        access_key_id=settings.polly_access_key_id,
        secret_access_key=settings.polly_secret_access_key,
        endpoint=settings.polly_endpoint,
        engine=settings.polly_engine,
    )
    speech = SpeechSettings(man=settings.man, woman=settings.woman, processes=settings.processes, polly=polly)
    return Speech(Path(config.prompts.path) / "speech", speech)


def _uploads(config: Config, timeline: Timeline) -> Uploads:
    storage = config.storage
    settings = CloudSettings(
        s3_endpoint=storage.s3_endpoint,
        s3_region=storage.s3_region,
        gcs_endpoint=storage.gcs_endpoint,
        gcs_token_url=storage.gcs_token_url,
        azure_endpoint=storage.azure_endpoint,
    )
    backoff = Backoff(total_s=storage.upload_retry_s, longest_s=LONGEST_WAIT_S)
    return Uploads(settings, clock=time.time, backoff=backoff, note=timeline.note)


def _transcriptions(config: Config, outbox: Outbox, timeline: Timeline) -> Transcriptions:
    speech = config.speech
    settings = TranscriptionSettings(
        processes=speech.transcription_processes,
        longest_s=speech.transcription_longest_s,
        timeout_s=speech.transcription_timeout_s,
        whisper_model=speech.whisper_model,
        url=speech.transcription_url,
        key=speech.transcription_key,
    )
    return Transcriptions(Path(config.storage.path), outbox, settings, clock=time.time, note=timeline.note)


def _recordings(
    config: Config,
    storage: LocalStorage,
    outbox: Outbox,
    uploads: Uploads,
    directory: Directory,
    transcriptions: Transcriptions,
    kept: RecordingLog,
) -> Recordings:
    def detector(sid: str) -> str:
        account = directory.account(sid)
        return (account.detector if account is not None else "") or config.media.detector

    return Recordings(
        Path(config.storage.path),
        storage,
        outbox,
        uploads,
        url=_files_url(config),
        detector=detector,
        transcriber=transcriptions,
        kept=kept,
    )


def _engine_name(config: Config) -> str:
    return config.database.engine or f"{socket.gethostname()}:{config.http.listen.port}"


def _files_url(config: Config) -> str:
    return config.storage.public_url or _http_url(config)


def _http_url(config: Config) -> str:
    return f"http://{config.http.listen.host}:{config.http.listen.port}"


def _leg_settings(config: Config) -> LegSettings:
    address = config.rtp.address or config.sip.listen[0].host
    return LegSettings(
        address=address,
        advertised=config.sip.public_address or address,
        codecs=tuple(BY_NAME[name] for name in config.sip.codecs),
        dtmf=config.sip.dtmf,
        srtp=config.sip.srtp,
    )


def _worker_settings(config: Config) -> WorkerSettings:
    return WorkerSettings(
        capacity=config.media.legs_per_worker,
        jitter_ms=config.rtp.jitter_ms,
        silent_after_s=config.rtp.silence_timeout_s or NEVER_S,
        io_uring=config.media.io_uring,
    )


def _workers(config: Config) -> int:
    return config.media.workers or spare_cores()


def _agent_settings(config: Config) -> AgentSettings:
    sip = config.sip
    return AgentSettings(
        listen=tuple(str(listen) for listen in sip.listen),
        public_address=sip.public_address,
        user_agent=sip.user_agent,
        max_calls=min(MAX_DIALOGS, _workers(config) * config.media.legs_per_worker + SPARE_DIALOGS),
        hundred_rel=sip.hundred_rel,
        session_timer=sip.session_timer,
        tls_certificate=sip.tls_certificate,
        tls_key=sip.tls_private_key,
        tls_ca=sip.tls_ca,
        log_level=4 if config.log.level == "debug" else 1,
    )


async def _start_http(
    config: Config,
    stack: AsyncExitStack,
    lives: Lives,
    agent: Agent,
    media: MediaClient,
    admission: Admission,
    lag: LoopLag,
    routers: list[APIRouter],
) -> None:
    """Serve HTTP beside everything else, from when it listens until the engine stops."""
    started = time.monotonic()

    def workers() -> list[WorkerFigures]:
        return [worker.figures() for worker in media.workers]

    def health() -> Health:
        return Health(
            version=version("flexml-engine"),
            uptime_s=round(time.monotonic() - started, 1),
            live_calls=len(lives),
            dialogs=len(lives.registry),
            ending=max(0, agent.dialogs - len(lives.registry)),
            workers=sum(worker.connected for worker in media.workers),
            refused=admission.refused,
            loop_lag_ms=round(lag.worst_s * 1000),
            media=workers(),
        )

    sources = Sources(
        live_calls=lambda: len(lives),
        ended=lambda: lives.ended,
        refused=lambda: admission.refused,
        lag_s=lambda: lag.worst_s,
        workers=workers,
    )
    demo = demo_router(lambda: datetime.now().astimezone())
    app = server.create_app(health=health, metrics=Metrics(sources).text, routers=[demo, *routers])
    listening: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_listening(_host: str, _port: int) -> None:
        listening.set_result(None)

    listen = config.http.listen
    serving = asyncio.ensure_future(server.run(app, listen.host, listen.port, on_listening=on_listening))
    stack.push_async_callback(_cancel, serving)
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


async def _cancel(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _greeting(config: Config) -> str:
    """What the operator sees once calls are taken."""
    sip, http = config.sip.listen[0], config.http.listen
    lines = [
        f"FlexML engine {version('flexml-engine')} is ready.",
        f"  SIP   {', '.join(str(listen) for listen in config.sip.listen)}",
        f"  HTTP  http://{http.host}:{http.port} (try /health)",
    ]
    if config.dids:
        number = config.dids[0].phonenumber
        lines += [
            "Call it, with any softphone or with",
            f'  .venv/bin/flexml call sip:{number}@{sip.host}:{sip.port} --dtmf ",,1" --record heard.wav --for 20',
        ]
    else:
        lines.append("No [[did]] is configured: every call will get 404.")
    return "\n".join(lines)


class _Service(Protocol):
    async def start(self) -> None: ...

    async def close(self) -> None: ...


Service = TypeVar("Service", bound=_Service)


@asynccontextmanager
async def _running(service: Service) -> AsyncGenerator[Service]:
    """Start a service, and close it when everything started after it has been closed."""
    await service.start()
    try:
        yield service
    finally:
        await service.close()
