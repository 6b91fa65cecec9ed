"""`flexml load`: calls against any SIP server, many at once, and what they were like (docs/load.md).

Exit status: 0 the run was clean, 1 it was not or could not be made, 2 it was asked for wrongly.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from .errors import FlexmlError, LoadError
from .load.figures import Figures, Sample
from .load.plan import SOUNDS, LoadPlan, Target, credential, header, keys, target
from .load.sipp import program

Read = TypeVar("Read")

FILES_BESIDE = 100
"""Descriptors that are no RTP ports."""


class CodecName(StrEnum):
    """What may be offered."""

    PCMU = "PCMU"
    PCMA = "PCMA"


class Transport(StrEnum):
    """What SIP goes over."""

    UDP = "udp"
    TCP = "tcp"


def load(
    server: Annotated[str, typer.Argument(metavar="sip:NUMBER@HOST:PORT", help="Whom to call")],
    *,
    calls: Annotated[int, typer.Option(min=1, max=10000, help="Calls held at once (with --hold: at most)")] = 10,
    rate: Annotated[float, typer.Option(min=0.1, max=2000, help="New calls a second")] = 10.0,
    hold: Annotated[
        float | None, typer.Option(min=0.1, help="Let calls come and go, each lasting so many seconds")
    ] = None,
    duration: Annotated[float, typer.Option(min=1, help="Seconds to measure; with --hold, to place calls for")] = 30.0,
    codec: Annotated[CodecName, typer.Option(help="The codec to offer", case_sensitive=False)] = CodecName.PCMU,
    send: Annotated[str, typer.Option(help=f"What callers send: {', '.join(SOUNDS)}, or an audio file")] = "silence",
    digits: Annotated[str, typer.Option(help="Keys that every call presses over and over, one a second")] = "",
    echo: Annotated[bool, typer.Option("--echo", help="The server plays keys back: tell how many are lost")] = False,
    from_port: Annotated[
        int,
        typer.Option(min=1024, max=65534, help="First of our RTP ports; not among those of a server on this machine"),
    ] = 34000,
    header_option: Annotated[
        list[str] | None, typer.Option("--header", help="NAME=VALUE, a header of the INVITE; repeatable")
    ] = None,
    user: Annotated[str, typer.Option(help="User to authenticate as, where the server asks")] = "",
    password: Annotated[str, typer.Option(help="Password of that user", envvar="FLEXML_LOAD_PASSWORD")] = "",
    transport: Annotated[Transport, typer.Option(help="What SIP goes over")] = Transport.UDP,
    address: Annotated[str, typer.Option(help="Our own IP address; by default the one on the way to the server")] = "",
    core: Annotated[int | None, typer.Option(min=0, help="Run generator and SIPp on this core only")] = None,
    server_pid: Annotated[
        list[int] | None, typer.Option(help="A local process of the server, to tell its cost; repeatable")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="File to write all figures to")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="File to write a page with plots to")] = None,
) -> None:
    """Hold many calls against a SIP server, and tell what they were like. Needs SIPp."""
    called = _read(target, server, "SERVER")
    for option, file in (("--json", json_file), ("--html", html_file)):
        if file is not None and (file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK)):
            raise typer.BadParameter(f"{file} cannot be written", param_hint=option)
    plan = LoadPlan(
        target=called,
        calls=calls,
        rate=rate,
        hold_s=hold,
        duration_s=duration,
        codec=codec.value,
        sends=_sound(send),
        digits=_read(keys, digits, "--digits"),
        echo=echo,
        first_port=from_port & ~1,
        headers=tuple(_read(header, one, "--header") for one in header_option or []),
        user=_read(credential, user, "--user"),
        password=_read(credential, password, "--password"),
        transport=transport.value,
        address=address or _own_address(called),
        core=core,
        server_pids=tuple(server_pid or ()),
    )
    _check(plan)
    console = Console(highlight=False)
    try:
        program()
        figures = asyncio.run(_run(plan, console))
    except FlexmlError as error:
        Console(stderr=True, highlight=False).print(f"The run was not made: {error}", style="red", markup=False)
        raise typer.Exit(1) from None
    raise typer.Exit(_report(figures, console, json_file, html_file))


async def _run(plan: LoadPlan, console: Console) -> Figures:
    from .load.run import run

    with Live(console=console, refresh_per_second=4, transient=True) as live:
        return await run(plan, lambda sample: live.update(_line(sample)))


def _line(sample: Sample) -> Text:
    """How it goes, in one line."""
    server = f", server {sum(sample.server_cpu.values()):.0f} %" if sample.server_cpu else ""
    return Text(
        f"{sample.at_s:.0f} s: {sample.live} calls, {sample.received} packets came, {sample.lost} lost, "
        f"p99 deviation {sample.deviation_p99_ms:.2f} ms; CPU: generator {sample.streams_cpu:.0f} %, "
        f"SIPp {sample.sipp_cpu:.0f} %{server}",
        no_wrap=True,
        overflow="ellipsis",
    )


def _report(figures: Figures, console: Console, json_file: Path | None, html_file: Path | None) -> int:
    """Show the figures, and write them where they are wanted; the exit status."""
    from .load.page import page
    from .load.record import as_json
    from .load.table import show
    from .load.verdict import judge

    show(figures, console)
    try:
        if json_file is not None:
            json_file.write_bytes(as_json(figures))
        if html_file is not None:
            html_file.write_text(page(figures), encoding="utf-8")
    except OSError as error:
        console.print(f"cannot be written: {error}", style="red", markup=False)
        return 1
    return 0 if judge(figures).clean else 1


def _read(read: Callable[[str], Read], text: str, option: str) -> Read:
    """Read an argument, or say what is wrong with it."""
    try:
        return read(text)
    except LoadError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _sound(name: str) -> str:
    if name not in SOUNDS and not Path(name).is_file():
        raise typer.BadParameter(f"found {name!r}, expected {', '.join(SOUNDS)}, or a file", param_hint="--send")
    return name


def _own_address(called: Target) -> str:
    """Our address on the way to the server."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((called.host, called.port))
            return probe.getsockname()[0]
    except OSError as error:
        raise typer.BadParameter(f"{called.host} cannot be reached: {error}", param_hint="SERVER") from None


def _check(plan: LoadPlan) -> None:
    """Take the cores and the files that it needs, or say that they are not to be had."""
    if plan.echo and not plan.digits:
        raise typer.BadParameter("needs --digits", param_hint="--echo")
    for pid in plan.server_pids:
        if not Path(f"/proc/{pid}").exists():
            raise typer.BadParameter(f"there is no process {pid}", param_hint="--server-pid")
    if plan.core is not None:
        try:
            os.sched_setaffinity(0, {plan.core})
        except OSError:
            raise typer.BadParameter(f"there is no core {plan.core} to run on", param_hint="--core") from None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = plan.streams + FILES_BESIDE
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise typer.BadParameter(f"{needed} files are needed, {hard} are allowed (ulimit -n)", param_hint="--calls")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed) if soft >= 0 else soft, hard))
