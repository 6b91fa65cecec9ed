"""The command `flexml`. Each command imports what it needs when it runs, so that --help and check-config stay quick.

Exit status: 0 all well, 1 what was asked for failed, 2 it was asked for wrongly (arguments, configuration).
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from .config import Config
from .config_file import load
from .errors import ConfigError, FlexmlError
from .log import logging_to, standard_error

DEFAULT_CONFIG: Final = Path("config/engine.toml")

app = typer.Typer(
    help="FlexML engine: a SIP media server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line."""
    _open_standard()
    if sys.argv[1:2] not in (["serve"], ["check-config"]):
        add_call()
        add_dial()
        add_load()
        add_provisioning()
        add_timeline()
        add_trunks()
    app()


def add_call() -> None:
    """Add the softphone, whose speech and decoding neither the server nor a check has to load."""
    from .call_command import call

    app.command()(call)


def add_dial() -> None:
    """Add what has the running engine call."""
    from .dial_command import dial

    app.command()(dial)


def add_provisioning() -> None:
    """Add what works on the database, whether the engine runs or not."""
    from .account_command import accounts
    from .token_command import tokens

    app.add_typer(accounts, name="account")
    app.add_typer(tokens, name="token")


def add_load() -> None:
    """Add what loads a server with calls."""
    from .load_command import load

    app.command()(load)


def add_timeline() -> None:
    """Add what reads the database."""
    from .timeline_command import timeline

    app.command()(timeline)


def add_trunks() -> None:
    """Add what asks the running engine."""
    from .trunk_command import trunks

    app.command()(trunks)


@app.command("check-config")
def check_config(file: Annotated[Path, typer.Argument(help="The configuration file.")] = DEFAULT_CONFIG) -> None:
    """Check a configuration file and the FLEXML_ variables, and say everything that is wrong with them."""
    config = _load(file, status=1)
    typer.echo(
        f"{file}: OK. SIP on {', '.join(map(str, config.sip.listen))}; HTTP on {config.http.listen}; "
        f"{_count(config.accounts, 'account')}, {_count(config.dids, 'number')}, {_count(config.trunks, 'trunk')}."
    )


@app.command()
def serve(
    config: Annotated[Path, typer.Option("--config", help="The configuration file.")] = DEFAULT_CONFIG,
) -> None:
    """Start the server; it runs until SIGINT, SIGTERM or SIGHUP."""
    import asyncio

    import setproctitle

    settings = _load(config, status=2)
    from sqlalchemy.exc import DBAPIError

    from .app import serve as run
    from .sql import is_damaged, said

    setproctitle.setproctitle("flexml: control")
    _raise_file_limit()
    with logging_to(standard_error(), level=settings.log.level, style=settings.log.format):
        try:
            asyncio.run(run(settings))
        except FlexmlError as error:
            _fail(f"flexml: cannot serve: {error}", status=1)
        except OSError as error:
            what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
            _fail(f"flexml: cannot serve: {what}", status=1)
        except DBAPIError as error:
            if not is_damaged(error):
                raise
            _fail(f"flexml: cannot serve: the database is damaged, put a copy in its place: {said(error)}", status=1)


def _load(file: Path, *, status: int) -> Config:
    try:
        return load(file, os.environ)
    except ConfigError as error:
        _fail("\n".join(error.problems), status=status)


def _fail(message: str, *, status: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(status)


def _count(items: tuple[object, ...], noun: str) -> str:
    return f"{len(items)} {noun}" if len(items) == 1 else f"{len(items)} {noun}s"


def _open_standard() -> None:
    """Open to nowhere what we were started without: other files would get its number, worker processes nothing."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # has that number: it is the lowest that is free
            os.set_inheritable(nowhere, True)
            setattr(sys, name, os.fdopen(nowhere, "w" if number else "r"))


def _raise_file_limit() -> None:
    """Every call takes sockets and files; the soft limit is a habit of the shell, the hard one is the machine's."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
