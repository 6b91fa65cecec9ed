"""What must fit together in a configuration whose settings are each right by themselves.

A check yields (what is wrong, where): the place is a section, which of that name, and a key.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from .config import Config
from .errors import PromptError
from .speech.transcribe_engines import TranscriptionSettings, chosen
from .speech.voices import why_not

Finding = tuple[str, tuple[str, int, str]]

PORTS_PER_LEG: Final = 2
"""RTP and RTCP (RFC 3550 section 11)."""


def check(config: Config) -> Iterator[Finding]:
    """Everything that does not fit together."""
    for one in (
        _duplicates,
        _references,
        _tls,
        _certificates,
        _http,
        _addresses,
        _rtp_address,
        _ports,
        _trunks,
        _sms_routes,
        _voices,
        _transcription,
        _roots,
    ):
        yield from one(config)


def _duplicates(config: Config) -> Iterator[Finding]:
    names = {
        ("account", "login"): [account.login for account in config.accounts],
        ("did", "phonenumber"): [did.phonenumber for did in config.dids],
        ("trunk", "name"): [trunk.name for trunk in config.trunks],
    }
    for (section, key), values in names.items():
        for index, value in enumerate(values):
            if value in values[:index]:
                yield f'[[{section}]] {key}: "{value}" is there already; each can be there once', (section, index, key)


def _references(config: Config) -> Iterator[Finding]:
    urls = {account.login: account.url for account in config.accounts}
    allowed = ", ".join(urls) or "none, there is no [[account]]"
    for index, did in enumerate(config.dids):
        if did.account not in urls:
            yield f'[[did]] account: found "{did.account}"; allowed: {allowed}', ("did", index, "account")
        elif not did.url and not urls[did.account]:
            yield f'[[did]] needs url, as its account "{did.account}" has none', ("did", index, "url")


def _tls(config: Config) -> Iterator[Finding]:
    sip = config.sip
    if bool(sip.tls_certificate) != bool(sip.tls_private_key):
        missing = "tls_private_key" if sip.tls_certificate else "tls_certificate"
        yield f"[sip] tls_certificate and tls_private_key go together; {missing} is missing", ("sip", 0, missing)
    elif not sip.tls_certificate and any(listen.transport == "tls" for listen in sip.listen):
        yield "[sip] listen: tls needs tls_certificate and tls_private_key", ("sip", 0, "listen")


def _certificates(config: Config) -> Iterator[Finding]:
    """The SIP stack looks at these files when the first connection is made, and says nothing before."""
    sip = config.sip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if sip.tls_certificate and sip.tls_private_key:
        try:
            context.load_cert_chain(sip.tls_certificate, sip.tls_private_key, password=lambda: "")
        except OSError as error:
            why = _why(error, sip.tls_certificate, sip.tls_private_key)
            yield f"[sip] tls_certificate and tls_private_key cannot be used: {why}", ("sip", 0, "tls_certificate")
    if sip.tls_ca and not any(listen.transport == "tls" for listen in sip.listen):
        yield "[sip] tls_ca: is for connections by TLS, for which listen has no listener", ("sip", 0, "tls_ca")
    elif sip.tls_ca:
        try:
            context.load_verify_locations(sip.tls_ca)
        except OSError as error:
            yield f"[sip] tls_ca cannot be used: {_why(error, sip.tls_ca)}", ("sip", 0, "tls_ca")


def _why(error: OSError, *files: str) -> str:
    """What is wrong with the files; ssl does not say which of them is not there."""
    return next((f'there is no file "{file}"' for file in files if not Path(file).is_file()), str(error))


def _http(config: Config) -> Iterator[Finding]:
    """Passwords of the API and what callers say must not cross a network in the clear."""
    host = config.http.listen.host
    if host != "localhost" and not _is(host, "is_loopback"):
        yield (
            f'[http] listen: found "{host}"; allowed: a loopback address, with an HTTPS proxy before it '
            "for clients elsewhere",
            ("http", 0, "listen"),
        )


def _addresses(config: Config) -> Iterator[Finding]:
    if config.sip.public_address:
        return
    for section, key, hosts in (
        ("sip", "listen", [listen.host for listen in config.sip.listen]),
        ("rtp", "address", [config.rtp.address]),
    ):
        if any(_is(host, "is_unspecified") for host in hosts):
            yield f"[{section}] {key}: listening on all addresses needs [sip] public_address", (section, 0, key)


def _rtp_address(config: Config) -> Iterator[Finding]:
    """The media workers bind it for every call, and not before."""
    host = config.rtp.address
    with suppress(ValueError):
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind((host, 0))
        except OSError as error:
            yield (
                f'[rtp] address: found "{host}", which cannot be listened on: {error.strerror}; allowed: an address of '
                "this machine ([sip] public_address is what peers are told)",
                ("rtp", 0, "address"),
            )


def _ports(config: Config) -> Iterator[Finding]:
    first, last = config.rtp.ports
    room = (last - first + 1) // PORTS_PER_LEG
    needed = max(1, config.media.workers) * config.media.legs_per_worker
    if room < needed:
        yield (
            f"[rtp] ports: {first} to {last} has room for {room} calls, but the media workers take {needed}; "
            f"allowed: at least {needed * PORTS_PER_LEG} ports",
            ("rtp", 0, "ports"),
        )
    for listen in config.sip.listen:
        if listen.transport == "udp" and first <= listen.port <= last:
            yield f"[sip] listen: {listen} lies within [rtp] ports {first} to {last}", ("sip", 0, "listen")


def _trunks(config: Config) -> Iterator[Finding]:
    listening = {listen.transport for listen in config.sip.listen}
    for index, trunk in enumerate(config.trunks):
        if (transport := _transport(trunk.uri)) not in listening:
            yield (
                f"[[trunk]] uri: goes by {transport}, for which [sip] listen has no listener; "
                f"found {', '.join(sorted(listening))}",
                ("trunk", index, "uri"),
            )
        elif (version := _version(trunk.uri)) not in (None, *_versions(config, transport)):
            text = f"[[trunk]] uri: is an IPv{version} address, for which [sip] listen has no {transport} listener"
            yield text, ("trunk", index, "uri")
        if trunk.register and not trunk.username:
            yield "[[trunk]] register: needs username", ("trunk", index, "register")
        if bool(trunk.inbound_username) != bool(trunk.inbound_password):
            missing = "inbound_password" if trunk.inbound_username else "inbound_username"
            text = f"[[trunk]] inbound_username and inbound_password go together; {missing} is missing"
            yield text, ("trunk", index, missing)
        if trunk.inbound_username and trunk.inbound_username in [t.inbound_username for t in config.trunks[:index]]:
            text = f'[[trunk]] inbound_username: "{trunk.inbound_username}" is there already; each can be there once'
            yield text, ("trunk", index, "inbound_username")
    if config.sip.inbound == "trunks" and not any(t.addresses or t.inbound_username for t in config.trunks):
        yield (
            '[sip] inbound: with "trunks" nobody could call, as no [[trunk]] has addresses or inbound_username',
            ("sip", 0, "inbound"),
        )


def _sms_routes(config: Config) -> Iterator[Finding]:
    names = [trunk.name for trunk in config.trunks]
    allowed = ", ".join(names) or "none, there is no [[trunk]]"
    for index, account in enumerate(config.accounts):
        kind, _, name = account.sms_route.partition(":")
        if kind == "trunk" and name not in names:
            yield f'[[account]] sms_route: found trunk "{name}"; allowed: {allowed}', ("account", index, "sms_route")


def _transport(uri: str) -> str:
    """What a request to `uri` goes by: TLS to sips:, else what its parameter says, else UDP (RFC 3263 section 4.1)."""
    found = re.search(r";transport=([^;?]+)", uri, re.IGNORECASE)
    return "tls" if uri.startswith("sips:") else found[1].lower() if found else "udp"


def _versions(config: Config, transport: str) -> set[int]:
    """The IP that we speak by a transport."""
    return {6 if ":" in listen.host else 4 for listen in config.sip.listen if listen.transport == transport}


def _version(uri: str) -> int | None:
    """Which IP the place of `uri` is an address of; None for a host name."""
    found = re.search(r"[:@](\[|\d+(?:\.\d+){3}(?![^:;?]))", uri)
    return None if found is None else 6 if found[1] == "[" else 4


def _is(host: str, what: str) -> bool:
    """A property of an IP address; a host name has none of them."""
    try:
        return bool(getattr(ipaddress.ip_address(host), what))
    except ValueError:
        return False


def _voices(config: Config) -> Iterator[Finding]:
    speech = config.speech
    for word, choice in (("man", speech.man), ("woman", speech.woman)):
        if why := why_not(word, choice):
            yield f"[speech] {word}: {why}", ("speech", 0, word)
    if bool(speech.polly_access_key_id) != bool(speech.polly_secret_access_key):
        missing = "polly_secret_access_key" if speech.polly_access_key_id else "polly_access_key_id"
        text = f"[speech] polly_access_key_id and polly_secret_access_key go together; {missing} is missing"
        yield text, ("speech", 0, missing)


def _roots(config: Config) -> Iterator[Finding]:
    for root in config.prompts.roots:
        if not Path(root).is_dir():
            yield f'[prompts] roots: found "{root}"; allowed: directories that are there', ("prompts", 0, "roots")


def _transcription(config: Config) -> Iterator[Finding]:
    speech = config.speech
    if speech.whisper_model and speech.transcription_url:
        yield "[speech] whisper_model and transcription_url: one engine transcribes; name one", (
            "speech", 0, "transcription_url",
        )  # fmt: skip
    if speech.transcription_key and not speech.transcription_url:
        yield "[speech] transcription_key needs transcription_url", ("speech", 0, "transcription_key")
    if speech.whisper_model and not speech.transcription_url:
        try:
            chosen(TranscriptionSettings(whisper_model=speech.whisper_model))
        except PromptError as error:
            yield f"[speech] whisper_model: {error}", ("speech", 0, "whisper_model")
