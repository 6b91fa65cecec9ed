"""The services of the control process, each as the configuration wants it. Nothing is started here: `app` does that."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..codecs.catalog import BY_NAME
from .audio import Audio
from .call_services import Services
from .config import Config
from .conversions import Conversions
from .directory import Directory
from .exchange import Exchange
from .leg import LegSettings
from .messages import Messages
from .outbox import Backoff, Outbox
from .prompts import PromptLimits, Prompts
from .recording_log import RecordingLog
from .recordings import Recordings
from .sip.agent import Agent
from .sip.settings import AgentSettings
from .speech.polly_voices import PollySettings
from .speech.service import Speech, SpeechSettings
from .speech.transcribe import Transcriptions
from .speech.transcribe_engines import TranscriptionSettings
from .sql import sqlite_file
from .storage.cloud import CloudSettings
from .storage.local import LocalStorage
from .supervisor import WorkerSettings, spare_cores
from .timeline import Timeline
from .uploads import LONGEST_WAIT_S, Uploads
from .webhook import Limits, Webhook

Clock = Callable[[], float]

NEVER_S: Final = 1e9
RINGBACK: Final = {"US": "ringback-us", "CA": "ringback-us", "GB": "ringback-uk"}
"""The ringing tone by country; everywhere else it is that of most of Europe."""
MAX_DIALOGS: Final = 4000
"""PJSUA_MAX_CALLS of scripts/config_site.h."""
SPARE_DIALOGS: Final = 256
"""For INVITEs that get no leg: they are refused, but need a place to be refused from."""


@dataclass(frozen=True, slots=True)
class Sounds:
    """What is played, spoken and recorded, and where that lies."""

    prompts: Prompts
    speech: Speech
    storage: LocalStorage
    conversions: Conversions
    recordings: Recordings


def engine_name(config: Config) -> str:
    """What tells this engine from others on the same database."""
    return config.database.engine or f"{socket.gethostname()}:{config.http.listen.port}"


def sharing_engine(config: Config) -> str:
    """The same where others may share its folder, as they may a PostgreSQL; else nothing."""
    return "" if sqlite_file(config.database.url) else engine_name(config)


def http_url(config: Config) -> str:
    """Where we answer HTTP."""
    return f"http://{config.http.listen.host}:{config.http.listen.port}"


def files_url(config: Config) -> str:
    """Where others reach our files."""
    return config.storage.public_url or http_url(config)


def workers(config: Config) -> int:
    """How many media workers there are."""
    return config.media.workers or spare_cores()


def worker_settings(config: Config) -> WorkerSettings:
    """What a media worker is told."""
    return WorkerSettings(
        capacity=config.media.legs_per_worker,
        jitter_ms=config.rtp.jitter_ms,
        silent_after_s=config.rtp.silence_timeout_s or NEVER_S,
        io_uring=config.media.io_uring,
    )


def agent_settings(config: Config) -> AgentSettings:
    """What the SIP stack is told."""
    sip = config.sip
    return AgentSettings(
        listen=tuple(str(listen) for listen in sip.listen),
        public_address=sip.public_address,
        user_agent=sip.user_agent,
        max_calls=min(MAX_DIALOGS, workers(config) * config.media.legs_per_worker + SPARE_DIALOGS),
        hundred_rel=sip.hundred_rel,
        session_timer=sip.session_timer,
        tls_certificate=sip.tls_certificate,
        tls_key=sip.tls_private_key,
        tls_ca=sip.tls_ca,
        log_level=4 if config.log.level == "debug" else 1,
    )


def leg_settings(config: Config) -> LegSettings:
    """What all legs have in common."""
    address = config.rtp.address or config.sip.listen[0].host
    return LegSettings(
        address=address,
        advertised=config.sip.public_address or address,
        codecs=tuple(BY_NAME[name] for name in config.sip.codecs),
        dtmf=config.sip.dtmf,
        srtp=config.sip.srtp,
    )


def webhook(config: Config, clock: Clock) -> Webhook:
    """Fetches documents and tells callbacks."""
    settings = config.webhook
    limits = Limits(timeout_s=settings.timeout_s, retries=settings.retries, max_body=settings.max_document_bytes)
    return Webhook(secret=settings.signing_key, clock=clock, limits=limits)


def prompts(config: Config) -> Prompts:
    """Fetches what Play names."""
    settings = config.prompts
    limits = PromptLimits(cache_bytes=settings.size_mb * 2**20)
    return Prompts(Path(settings.path), roots=[Path(root) for root in settings.roots], limits=limits)


def speech(config: Config) -> Speech:
    """Speaks what Say says."""
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


def uploads(config: Config, timeline: Timeline, clock: Clock) -> Uploads:
    """Takes recordings to clouds."""
    storage = config.storage
    settings = CloudSettings(
        s3_endpoint=storage.s3_endpoint,
        s3_region=storage.s3_region,
        gcs_endpoint=storage.gcs_endpoint,
        gcs_token_url=storage.gcs_token_url,
        azure_endpoint=storage.azure_endpoint,
    )
    backoff = Backoff(total_s=storage.upload_retry_s, longest_s=LONGEST_WAIT_S)
    return Uploads(settings, clock=clock, backoff=backoff, note=timeline.note)


def transcriptions(config: Config, outbox: Outbox, timeline: Timeline, clock: Clock) -> Transcriptions:
    """Writes down what recordings say."""
    speech = config.speech
    settings = TranscriptionSettings(
        processes=speech.transcription_processes,
        longest_s=speech.transcription_longest_s,
        timeout_s=speech.transcription_timeout_s,
        whisper_model=speech.whisper_model,
        url=speech.transcription_url,
        key=speech.transcription_key,
    )
    return Transcriptions(
        Path(config.storage.path),
        outbox,
        settings,
        clock=clock,
        note=timeline.note,
        engine=sharing_engine(config),
    )


def recordings(
    config: Config,
    storage: LocalStorage,
    outbox: Outbox,
    uploads: Uploads,
    directory: Directory,
    transcriber: Transcriptions,
    kept: RecordingLog,
) -> Recordings:
    """Makes files of what is recorded."""

    def detector(sid: str) -> str:
        account = directory.account(sid)
        return (account.detector if account is not None else "") or config.media.detector

    return Recordings(
        Path(config.storage.path),
        storage,
        outbox,
        uploads,
        url=files_url(config),
        detector=detector,
        transcriber=transcriber,
        kept=kept,
        engine=sharing_engine(config),
    )


def messages(config: Config, agent: Agent, fetcher: Webhook, directory: Directory) -> Messages:
    """Sends what Sms says."""
    return Messages(
        agent=agent,
        fetcher=fetcher,
        trunks=config.trunks,
        route_of=directory.sms_route,
        region=config.sip.default_region,
        host=leg_settings(config).advertised,
    )


def services(
    config: Config, agent: Agent, sounds: Sounds, timeline: Timeline, exchange: Exchange, messages: Messages
) -> Services:
    """What calls use of all that."""
    return Services(
        agent=agent,
        speak=sounds.speech.say,
        fallback_reason=sounds.speech.fallback_reason,
        audio=Audio(sounds.prompts, sounds.storage, url=files_url(config)),
        recordings=sounds.recordings,
        note=timeline.note,
        exchange=exchange,
        messages=messages,
        ringback=RINGBACK.get(config.sip.default_region, "ringback-eu"),
        music_url=f"{http_url(config)}/demo/music.wav",
    )
