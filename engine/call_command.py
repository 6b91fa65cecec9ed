"""`flexml call`: the softphone on the command line."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..codecs.catalog import BY_NAME, PCMA, PCMU, Codec
from .errors import FlexmlError
from .flexml.attributes import TONES
from .flexml.verb import Prompt
from .sip.address import SIP_SCHEMES, parse_address, target_of

if TYPE_CHECKING:
    from .softphone import Report


def call(
    target: Annotated[str, typer.Argument(help="Whom to call, e.g. sip:15550001000@127.0.0.1:5060")],
    *,
    dtmf: Annotated[str, typer.Option(help="Keys to send once answered; , and w wait 0.5 s, W 1 s")] = "",
    say: Annotated[str, typer.Option(help="Text to speak once answered")] = "",
    play: Annotated[Path | None, typer.Option(help="Audio file to play once answered (after --say)")] = None,
    record: Annotated[Path | None, typer.Option(help="WAV file to write what is heard to")] = None,
    duration: Annotated[float, typer.Option("--for", min=0, help="Seconds to stay in the call")] = 30.0,
    caller: Annotated[str, typer.Option("--from", help="SIP URI to call from")] = "sip:flexml@127.0.0.1",
    name: Annotated[str, typer.Option(help="Display name to call with")] = "",
    codec: Annotated[
        str, typer.Option(help=f"The only codec to offer, one of {', '.join(BY_NAME)}; by default PCMU and PCMA")
    ] = "",
    address: Annotated[str, typer.Option(help="Local address for SIP and RTP")] = "127.0.0.1",
) -> None:
    """Place a call, with real SIP and RTP. The exit status is 1 where the call failed."""
    console = Console()
    codecs = _codecs(codec)
    target, caller = _uri(target, "TARGET"), _uri(caller, "--from")
    if wrong := set(dtmf) - set(TONES):
        raise typer.BadParameter(f"found {min(wrong)!r}, expected 0 to 9, *, #, A to D, or , w W", param_hint="--dtmf")
    if play is not None and not play.is_file():
        raise typer.BadParameter(f"there is no file {play}", param_hint="--play")
    if record is not None and not record.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {record.parent}", param_hint="--record")
    if record is not None and (record.is_dir() or not os.access(record if record.exists() else record.parent, os.W_OK)):
        raise typer.BadParameter(f"{record} cannot be written", param_hint="--record")
    try:
        report = asyncio.run(
            _call(console, target, dtmf, say, play, record, duration, caller, name, codecs, address),
        )
    except FlexmlError as error:
        console.print(f"The call was not placed: {error}", style="red", markup=False)
        raise typer.Exit(1) from None
    console.print(report.line(), markup=False, soft_wrap=True)
    if record is not None and report.recorded_s:
        console.print(f"heard {report.recorded_s:.1f} s, written to {record}", markup=False, soft_wrap=True)
    for problem in report.problems:
        console.print(problem, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(0 if report.ok else 1)


async def _call(
    console: Console,
    target: str,
    dtmf: str,
    say: str,
    play: Path | None,
    record: Path | None,
    duration: float,
    caller: str,
    name: str,
    codecs: tuple[Codec, ...],
    address: str,
) -> Report:
    from .softphone import CallPlan, place_call

    async with AsyncExitStack() as stack:
        plan = CallPlan(
            target=target,
            from_uri=caller,
            display_name=name,
            address=address,
            codecs=codecs,
            digits=dtmf,
            prompts=await _prompts(stack, say, play, codecs[0].rate_hz),
            record=record,
            duration_s=duration,
        )
        live = stack.enter_context(Live(console=console, refresh_per_second=4, transient=True))
        return await place_call(
            plan, lambda report: live.update(Text(report.line(), no_wrap=True, overflow="ellipsis"))
        )


def _uri(text: str, option: str) -> str:
    """Return the SIP URI, which may lack its `sip:`."""
    uri = f"sip:{text}" if "@" in text and not text.lower().startswith(SIP_SCHEMES) else text
    address = parse_address(uri) if target_of(uri) else None
    if address is None or not address.host:
        raise typer.BadParameter(f"found {text!r}, expected a SIP URI: sip:15550001000@127.0.0.1", param_hint=option)
    if address.scheme == "sips" or address.params.get("transport", "udp").lower() != "udp":
        raise typer.BadParameter(f"found {text!r}, but this phone speaks UDP only", param_hint=option)
    return uri


def _codecs(name: str) -> tuple[Codec, ...]:
    """Return what to offer."""
    if not name:
        return PCMU, PCMA
    codec = BY_NAME.get(name.upper())
    if codec is None:
        raise typer.BadParameter(f"found {name!r}, expected one of {', '.join(BY_NAME)}", param_hint="--codec")
    return (codec,)


async def _prompts(stack: AsyncExitStack, say: str, play: Path | None, rate_hz: int) -> tuple[Prompt, ...]:
    """Speak and decode what is to be played, before the call."""
    from .prompts import Prompts
    from .speech.service import Speech

    cache = Path.home() / ".cache" / "flexml" / "softphone"
    prompts: list[Prompt] = []
    if say:
        speech = Speech(cache / "speech")
        await speech.start()
        stack.push_async_callback(speech.close)
        prompts.append(await speech.whole(say, "woman", rate_hz))
    if play is not None:
        source = await asyncio.to_thread(play.resolve)
        fetcher = Prompts(cache / "prompts", roots=[source.parent])
        await fetcher.start()
        stack.push_async_callback(fetcher.close)
        prompts.append(await fetcher.fetch(str(source), rate_hz))
    return tuple(prompts)
