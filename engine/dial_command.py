"""`flexml dial`: have the running engine place a call, and watch it. The API does the same by HTTP (docs/calls.md)."""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from .command_database import fail

DEFAULT_CONFIG: Final = Path("config/engine.toml")
TIMEOUT_S: Final = 10.0
LOOK_S: Final = 0.3
PATH: Final = "/flexml/v1/calls"


def dial(
    number: Annotated[str, typer.Argument(help="Whom to call: a number, or a SIP URI")],
    *,
    caller: Annotated[str, typer.Option("--from", help="As whom: a DID; by default the account's first")] = "",
    url: Annotated[str, typer.Option(help="The document that runs on answer; by default the DID's")] = "",
    account: Annotated[str, typer.Option(help="Login of the account; by default the first of the file")] = "",
    name: Annotated[str, typer.Option(help="The name shown to who is called")] = "",
    header: Annotated[list[str] | None, typer.Option(help="X-NAME=VALUE, a header of the INVITE; repeatable")] = None,
    delay: Annotated[float, typer.Option(min=0, help="Seconds until the call is placed")] = 0.0,
    watch: Annotated[bool, typer.Option(help="Show what happens until the call is over")] = True,
    config: Annotated[Path, typer.Option("--config", help="The configuration file of the engine")] = DEFAULT_CONFIG,
) -> None:
    """Have the running engine call a number; who answers hears the document. Exit status 1 where nobody answers."""
    engine = _Engine(config, account)
    order = {
        "called_did": number,
        "calling_did": caller or engine.did,
        "url": url or None,
        "delay": delay,
        "attributes": _attributes(name, header or []),
    }
    call = engine.ask("POST", PATH, order)
    console = Console(highlight=False)
    console.print(f"call {call['call_sid']} to {call['called_did']} from {call['calling_did']}", soft_wrap=True)
    if watch and not _watch(console, engine, str(call["call_sid"])):
        raise typer.Exit(1)


def _attributes(name: str, headers: list[str]) -> dict[str, str]:
    attributes = {"cnam": name} if name else {}
    for header in headers:
        key, equals, value = header.partition("=")
        if not equals:
            raise typer.BadParameter(f"found {header!r}, expected X-NAME=VALUE", param_hint="--header")
        attributes[f"sip_header_{key}"] = value
    return attributes


def _watch(console: Console, engine: _Engine, sid: str) -> bool:
    """Print the timeline as it comes, to the end; whether the call was answered."""
    from rich.text import Text

    shown = 0
    while True:
        items: list[dict[str, Any]] = engine.ask("GET", f"{PATH}/{sid}/timeline")["items"]
        for item in items[shown:]:
            details = " ".join(f"{key}={value}" for key, value in item["details"].items())
            console.print(Text(f"{item['at'][11:23]}  {item['what']}  {details}".rstrip()), soft_wrap=True)
        shown = len(items)
        if over := [item for item in items if item["what"] == "call over"]:
            return over[0]["details"]["status"] == "completed"
        time.sleep(LOOK_S)


class _Engine:
    """The running engine, as the account of the file that asks it."""

    def __init__(self, file: Path, login: str) -> None:
        from .config_file import load
        from .errors import ConfigError

        try:
            config = load(file, os.environ)
        except ConfigError as error:
            fail("\n".join(error.problems), status=2)
        account = next((one for one in config.accounts if login in ("", one.login)), None)
        if account is None:
            fail(f"{file} has no account {login!r}" if login else f"{file} has no [[account]]", status=2)
        self._file = file
        self.did = next((did.phonenumber for did in config.dids if did.account == account.login), "")
        self._login = account.login
        self._base = f"http://{config.http.listen}"
        basic = base64.b64encode(f"{account.login}:{account.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """One request; what goes wrong ends the command."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data=data, method=method, headers=self._headers)
        try:
            with self._open(request, timeout=TIMEOUT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                said = _said(error)
            if error.code == HTTPStatus.UNAUTHORIZED:
                said = f"the engine at {self._base} has no account {self._login!r} with that password"
            fail(f"{error.code}: {said} (asked as account {self._login!r} of {self._file})", status=1)
        except (OSError, ValueError) as error:
            fail(f"no engine answers at {self._base}: {getattr(error, 'reason', error)}", status=1)


def _said(error: urllib.error.HTTPError) -> str:
    """What the engine says is wrong."""
    try:
        said = json.load(error)
        return "; ".join(f"{one['field']}: {one['message']}" for one in said["errors"])
    except (ValueError, KeyError, TypeError):
        return error.reason
