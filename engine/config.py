"""The configuration as the engine sees it: frozen, complete and checked.

Each setting is declared once: its kind (what is allowed), its default, its type. `config_file.load`
fills these classes from a TOML file and the environment; docs/configuration.md explains every setting
in words. A setting without a default is required. Relative paths have been resolved by then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from . import config_kinds as kinds
from .config_kinds import Kind, Listen

T = TypeVar("T")
Method = Literal["POST", "GET"]
Dtmf = Literal["auto", "rfc4733", "inband", "info"]
Detector = Literal["energy", "webrtc"]
Srtp = Literal["off", "optional", "required"]
Identity = Literal["none", "pai", "rpid"]
Refer = Literal["refuse", "follow"]

KIND: Final = "kind"
"""The key of a field's metadata that holds its Kind."""

MEDIA_CODECS: Final = ("PCMU", "PCMA", "G722", "OPUS", "L16", "L16/8000")
"""The codecs of `codecs.catalog` by the names it has for them."""

CODECS: Final = kinds.many(kinds.choice(*MEDIA_CODECS), least=1)
METHOD: Final[Kind[Method]] = kinds.choice("POST", "GET")
DTMF: Final[Kind[Dtmf]] = kinds.choice("auto", "rfc4733", "inband", "info")
DETECTOR: Final[Kind[Detector]] = kinds.choice("energy", "webrtc")
SRTP: Final[Kind[Srtp]] = kinds.choice("off", "optional", "required")
IDENTITY: Final[Kind[Identity]] = kinds.choice("none", "pai", "rpid")
REFER: Final[Kind[Refer]] = kinds.choice("refuse", "follow")
TRUNK_SRTP: Final[Kind[Literal["", Srtp]]] = kinds.choice("", "off", "optional", "required")
REQUIRED: Final = object()


def setting(kind: Kind[T], default: object = REQUIRED, *, secret: bool = False) -> T:
    """Declare a setting: `default` is written as in the file; a secret does not appear in any repr."""
    options: dict[str, Any] = {"metadata": {KIND: kind}, "repr": not secret}
    if default is not REQUIRED:
        options["default"] = kind.read(default)
    return field(**options)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sip:
    """[sip]: where calls come in, and what is offered."""

    listen: tuple[Listen, ...] = setting(kinds.many(kinds.SIP_LISTEN, least=1), ["udp:127.0.0.1:5060"])
    public_address: str = setting(kinds.optional(kinds.HOST), "")
    user_agent: str = setting(kinds.NAME, "FlexML engine")
    session_timer: str = setting(kinds.choice("off", "optional", "required"), "optional")
    hundred_rel: str = setting(kinds.choice("off", "optional", "required"), "optional")
    srtp: Srtp = setting(SRTP, "optional")
    codecs: tuple[str, ...] = setting(CODECS, ["PCMU", "PCMA", "G722", "OPUS", "L16"])
    dtmf: Dtmf = setting(DTMF, "auto")
    default_region: str = setting(kinds.REGION, "US")
    inbound: str = setting(kinds.choice("any", "trunks"), "any")
    ring_timeout_s: int = setting(kinds.integer(5, 600), 60)
    refer: Refer = setting(REFER, "refuse")
    tls_certificate: str = setting(kinds.optional(kinds.PATH), "")
    tls_private_key: str = setting(kinds.optional(kinds.PATH), "")
    tls_ca: str = setting(kinds.optional(kinds.PATH), "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rtp:
    """[rtp]: audio sockets. Each call takes an even port and the odd one after it."""

    address: str = setting(kinds.optional(kinds.HOST), "")
    ports: tuple[int, int] = setting(kinds.PORT_RANGE, [42000, 46000])
    jitter_ms: int = setting(kinds.integer(20, 200), 40)
    silence_timeout_s: int = setting(kinds.integer(0, 86400), 60)


@dataclass(frozen=True, kw_only=True, slots=True)
class Http:
    """[http]: the REST API, stored files and the demo application. Plain HTTP, so on loopback only."""

    listen: Listen = setting(kinds.LISTEN, "127.0.0.1:8080")


@dataclass(frozen=True, kw_only=True, slots=True)
class Database:
    """[database]: accounts, calls, timelines, pending callbacks."""

    url: str = setting(kinds.DATABASE, "sqlite:///var/flexml.db", secret=True)
    keep_days: int = setting(kinds.integer(0, 36500), 30)
    engine: str = setting(kinds.optional(kinds.NAME), "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Storage:
    """[storage]: recordings and uploaded files."""

    path: str = setting(kinds.PATH, "var/files")
    public_url: str = setting(kinds.optional(kinds.URL), "")
    s3_endpoint: str = setting(kinds.optional(kinds.URL), "")
    s3_region: str = setting(kinds.NAME, "us-east-1")
    gcs_endpoint: str = setting(kinds.optional(kinds.URL), "")
    gcs_token_url: str = setting(kinds.optional(kinds.URL), "")
    azure_endpoint: str = setting(kinds.optional(kinds.URL), "")
    upload_retry_s: int = setting(kinds.integer(0, 30 * 86400), 86400)
    converted_mb: int = setting(kinds.integer(1, 10_000_000), 1024)


@dataclass(frozen=True, kw_only=True, slots=True)
class Media:
    """[media]: the worker processes. No workers means one per core but one."""

    workers: int = setting(kinds.integer(0, 256), 0)
    legs_per_worker: int = setting(kinds.integer(1, 2000), 600)
    max_load: int = setting(kinds.integer(10, 100), 80)
    io_uring: bool = setting(kinds.FLAG, True)
    detector: Detector = setting(DETECTOR, "energy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhook:
    """[webhook]: requests to applications."""

    timeout_s: int = setting(kinds.integer(1, 120), 10)
    retries: int = setting(kinds.integer(0, 10), 1)
    max_document_bytes: int = setting(kinds.integer(1024, 16 * 2**20), 65536)
    callback_retry_s: int = setting(kinds.integer(0, 86400), 300)
    signing_key: str = setting(kinds.TEXT, "", secret=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Speech:
    """[speech]: synthesis, and texts of recordings, in processes of their own."""

    processes: int = setting(kinds.integer(1, 64), 1)
    man: str = setting(kinds.choice("auto", "espeak", "piper"), "auto")
    woman: str = setting(kinds.choice("auto", "espeak", "hibari"), "auto")
    polly_region: str = setting(kinds.TEXT, "")
    polly_engine: str = setting(kinds.choice("auto", "neural", "standard"), "auto")
    polly_access_key_id: str = setting(kinds.TEXT, "")
    polly_secret_access_key: str = setting(kinds.TEXT, "", secret=True)
    polly_endpoint: str = setting(kinds.optional(kinds.URL), "")
    transcription_processes: int = setting(kinds.integer(1, 64), 1)
    transcription_longest_s: int = setting(kinds.integer(1, 86400), 3600)
    transcription_timeout_s: int = setting(kinds.integer(1, 604800), 3600)
    whisper_model: str = setting(kinds.optional(kinds.PATH), "")
    transcription_url: str = setting(kinds.optional(kinds.URL), "")
    transcription_key: str = setting(kinds.TEXT, "", secret=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompts:
    """[prompts]: the cache of decoded audio, and directories that Play may name files of."""

    path: str = setting(kinds.PATH, "var/prompts")
    size_mb: int = setting(kinds.integer(16, 2**20), 1024)
    roots: tuple[str, ...] = setting(kinds.many(kinds.PATH), [])


@dataclass(frozen=True, kw_only=True, slots=True)
class Log:
    """[log]: one line a record, on standard error."""

    level: str = setting(kinds.choice("debug", "info", "warning", "error"), "info")
    format: str = setting(kinds.choice("plain", "json"), "plain")


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """[[account]]: who uses the API, and what applies where a DID says nothing."""

    login: str = setting(kinds.NAME)
    password: str = setting(kinds.NAME, secret=True)
    name: str = setting(kinds.TEXT, "")
    url: str = setting(kinds.optional(kinds.URL), "")
    method: Method = setting(METHOD, "POST")
    error_handler: str = setting(kinds.choice("basic", "none"), "basic")
    fallback_url: str = setting(kinds.optional(kinds.URL), "")
    caller_ids: tuple[str, ...] = setting(kinds.many(kinds.NUMBER), [])
    detector: str = setting(kinds.optional(kinds.choice("energy", "webrtc")), "")
    no_answer: str = setting(kinds.choice("noanswer", "no-answer"), "noanswer")
    sms_route: str = setting(kinds.optional(kinds.SMS_ROUTE), "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Did:
    """[[did]]: a number that can be called, and the application that answers it."""

    phonenumber: str = setting(kinds.NUMBER)
    account: str = setting(kinds.NAME)
    url: str = setting(kinds.optional(kinds.URL), "")
    method: Method = setting(METHOD, "POST")
    status_callback_url: str = setting(kinds.optional(kinds.URL), "")
    status_callback_method: Method = setting(METHOD, "POST")
    fallback_url: str = setting(kinds.optional(kinds.URL), "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trunk:
    """[[trunk]]: a carrier, for calls out and in; the longest prefix that fits the number wins."""

    name: str = setting(kinds.NAME)
    uri: str = setting(kinds.SIP_ADDRESS)
    username: str = setting(kinds.TEXT, "")
    password: str = setting(kinds.TEXT, "", secret=True)
    register: bool = setting(kinds.FLAG, False)
    expires_s: int = setting(kinds.integer(60, 86400), 300)
    prefixes: tuple[str, ...] = setting(kinds.many(kinds.DIGITS), [])
    max_calls: int = setting(kinds.integer(0, 100000), 0)
    options_s: int = setting(kinds.integer(0, 3600), 0)
    answer_s: int = setting(kinds.integer(1, 30), 5)
    caller_id: str = setting(kinds.CALLER_ID, "as_is")
    identity: Identity = setting(IDENTITY, "none")
    dtmf: Dtmf = setting(DTMF, "auto")
    codecs: tuple[str, ...] = setting(CODECS, ["PCMU", "PCMA"])
    srtp: Literal["", Srtp] = setting(TRUNK_SRTP, "")
    addresses: tuple[str, ...] = setting(kinds.many(kinds.NETWORK), [])
    inbound_username: str = setting(kinds.TEXT, "")
    inbound_password: str = setting(kinds.TEXT, "", secret=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Everything. `source` names the file for messages; it is empty where there was none."""

    sip: Sip = Sip()
    rtp: Rtp = Rtp()
    http: Http = Http()
    database: Database = Database()
    storage: Storage = Storage()
    media: Media = Media()
    webhook: Webhook = Webhook()
    speech: Speech = Speech()
    prompts: Prompts = Prompts()
    log: Log = Log()
    accounts: tuple[Account, ...] = ()
    dids: tuple[Did, ...] = ()
    trunks: tuple[Trunk, ...] = ()
    source: str = ""


SECTIONS: Final[dict[str, type[Any]]] = {
    "sip": Sip,
    "rtp": Rtp,
    "http": Http,
    "database": Database,
    "storage": Storage,
    "media": Media,
    "webhook": Webhook,
    "speech": Speech,
    "prompts": Prompts,
    "log": Log,
}
"""[section] of the file, which is also the name of Config's field."""

LISTS: Final[dict[str, tuple[str, type[Any]]]] = {
    "account": ("accounts", Account),
    "did": ("dids", Did),
    "trunk": ("trunks", Trunk),
}
"""[[section]] of the file: Config's field, and what it is a tuple of."""
