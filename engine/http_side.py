"""What the engine answers by HTTP: the routes of its APIs, and how it does, for /health and /metrics."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version

from fastapi import APIRouter, FastAPI

from . import assembly
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
from .api.server import Health
from .assembly import Clock
from .changes import Changes
from .config import Config
from .db import Database
from .directory import Directory
from .lives import Lives
from .media_client import MediaClient
from .metrics import Metrics, Sources, WorkerFigures
from .outbound import Outbound
from .sip.agent import Agent
from .storage.local import LocalStorage
from .tokens import Tokens


def api_routes(
    config: Config,
    outbound: Outbound,
    database: Database,
    directory: Directory,
    changes: Changes,
    storage: LocalStorage,
    clock: Clock,
) -> list[APIRouter]:
    """Return the routes of `/flexml/v1` and `/core/v2`."""
    authentication, reader = Authentication(directory), Reader(database, clock)
    bearer, files_url = BearerAuthentication(Tokens(database, clock)), assembly.files_url(config)
    return [
        accounts_router(reader, changes, authentication),
        calls_router(outbound, database, reader, authentication),
        call_recordings_router(reader, authentication),
        dids_router(reader, changes, authentication),
        whoami_router(bearer),
        core_dids_router(reader, changes, bearer),
        containers_router(reader, storage, directory, bearer),
        storage_files_router(reader, storage, directory, bearer, url=files_url),
        endpoints_router(
            reader,
            changes,
            bearer,
            storage,
            clock,
            api_url=f"{files_url.rstrip('/')}/flexml/v1",
            detector=config.media.detector,
        ),
    ]


def application(
    lives: Lives,
    agent: Agent,
    media: MediaClient,
    admission: Admission,
    lag: LoopLag,
    database: Database,
    *,
    uptime_s: Callable[[], float],
    routers: list[APIRouter],
) -> FastAPI:
    """Return the application: /health, /metrics, the demo, and `routers`."""

    def workers() -> list[WorkerFigures]:
        return [worker.figures() for worker in media.workers]

    def health() -> Health:
        return Health(
            version=version("flexml-engine"),
            uptime_s=round(uptime_s(), 1),
            live_calls=len(lives),
            dialogs=len(lives.registry),
            ending=max(0, agent.dialogs - len(lives.registry)),
            workers=sum(worker.connected for worker in media.workers),
            refused=admission.refused,
            loop_lag_ms=round(lag.worst_s * 1000),
            database=database.state,
            database_ms=round(database.latency.worst_s * 1000),
            media=workers(),
        )

    sources = Sources(
        live_calls=lambda: len(lives),
        ended=lambda: lives.ended,
        refused=lambda: admission.refused,
        lag_s=lambda: lag.worst_s,
        workers=workers,
        database_up=lambda: database.state == "answers",
        database_s=lambda: database.latency.worst_s,
    )
    demo = demo_router(lambda: datetime.now().astimezone())
    return server.create_app(health=health, metrics=Metrics(sources).text, routers=[demo, *routers])
