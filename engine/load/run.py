"""A load run from its beginning to its figures.

Held calls have a timetable that no slowness of the server moves: they are placed at the rate asked for, SETTLE_S after
the last of them it begins to count, for the duration, and then they end. Where calls come and go, it counts from the
first to the last of them.
"""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...media.load import messages
from ..errors import LoadError
from .costs import Costs, Moment, Used
from .figures import Calls, Figures, Generator, Sample, Server, times
from .plan import SETTLE_S, SOUNDS, LoadPlan
from .scenario import EVENT_TYPE, scenario
from .sipp import Files, Statistics, command, ports_csv, statistics
from .sound import samples
from .streams import Streams
from .switchboard import Pipe, Switchboard

SIPP_MEDIA_PORTS = 4
"""RTP and RTCP, for audio and for video: what SIPp binds and never has media on."""
SIPP_FAILED = (255, 254, 99)
"""Exit statuses of a SIPp that could not do its work at all."""


async def run(plan: LoadPlan, watch: Callable[[Sample], None] = lambda _: None) -> Figures:
    """Carry out `plan`; `watch` is shown every second. Raises LoadError where it cannot be carried out."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flexml-load-")))
        return await Run(plan, Files(folder), watch, stack).go()


class Run:
    """One run."""

    def __init__(self, plan: LoadPlan, files: Files, watch: Callable[[Sample], None], stack: AsyncExitStack) -> None:
        self._plan, self._files, self._watch, self._stack = plan, files, watch, stack
        self._loop = asyncio.get_running_loop()
        self._streams = Streams(self._second)
        self._samples: list[Sample] = []
        self._began = datetime.now(UTC)
        self._began_s = 0.0
        self._costs = Costs(server=(), streams=0, sipp=0, cores=1)
        self._before: Moment = self._costs.look(0.0)
        self._statistics = Statistics()
        self._ringed = True
        self._sipp_ended: asyncio.Future[int] = self._loop.create_future()

    async def go(self) -> Figures:
        """See `run`."""
        bound = await self._start_streams()
        self._ringed = bound.batched
        board = Switchboard(bound.ports, self._streams.say)
        self._files.ports.write_text(ports_csv(bound.ports))
        self._files.scenario.write_text(scenario(self._plan))
        pipes = [Pipe(self._files.log, board.log), Pipe(self._files.errors, board.errors)]
        costs = Costs(server=self._plan.server_pids, streams=self._streams.pid, sipp=0, cores=os.cpu_count() or 1)
        memory_before = costs.memory_kb()
        sipp = await self._start_sipp()
        self._began, self._began_s = datetime.now(UTC), self._loop.time()
        self._costs = Costs(server=costs.server, streams=costs.streams, sipp=sipp.pid, cores=costs.cores)
        self._before = self._costs.look(self._began_s)
        self._sipp_ended = asyncio.ensure_future(sipp.wait())
        used, held, memory = await (self._churn(board) if self._plan.churns else self._hold(board))
        await self._end(board, pipes)
        self._streams.say(messages.Finish())
        media = await self._streams.result()
        return self._figures(board, media, used, held, (memory_before, memory))

    async def _start_streams(self) -> messages.Bound:
        plan = self._plan
        path, send = "", plan.sends
        if send not in SOUNDS or send == "speech":
            path, send = str(await samples(send, self._files.folder)), "file"
        self._stack.push_async_callback(self._streams.close)
        return await self._streams.start(
            messages.Plan(
                address=plan.address,
                first_port=plan.first_port,
                streams=plan.streams,
                codec=plan.codec,
                send=send,  # pyright: ignore[reportArgumentType]  # one of SOUNDS
                path=path,
                digits=plan.digits,
                hold_s=plan.call_s,
                event_type=EVENT_TYPE,
            )
        )

    async def _start_sipp(self) -> asyncio.subprocess.Process:
        arguments = command(self._plan, self._files, free_ports(self._plan.address, SIPP_MEDIA_PORTS))
        with (self._files.folder / "sipp.out").open("wb") as out:
            sipp = await asyncio.create_subprocess_exec(
                *arguments, cwd=self._files.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        self._stack.push_async_callback(_kill, sipp)
        return sipp

    async def _hold(self, board: Switchboard) -> tuple[Used, float, int | None]:
        """Wait until all should be up, and count for the duration."""
        plan = self._plan
        await self._until(plan.ramp_s + SETTLE_S)
        self._streams.say(messages.Measure(on=True))
        before = self._costs.look(self._loop.time())
        first = board.live
        await self._until(self._planned_s)
        after = self._costs.look(self._loop.time())
        self._streams.say(messages.Measure(on=False))
        return self._costs.used(before, after), (first + board.live) / 2, self._costs.memory_kb()

    async def _churn(self, board: Switchboard) -> tuple[Used, float, int | None]:
        """Count from the first call to the last."""
        self._streams.say(messages.Measure(on=True))
        before = self._costs.look(self._loop.time())
        await self._until(self._planned_s)
        after = self._costs.look(self._loop.time())
        memory = self._costs.memory_kb()
        live = [sample.live for sample in self._samples] or [board.live]
        return self._costs.used(before, after), sum(live) / len(live), memory

    @property
    def _planned_s(self) -> float:
        """When no call is counted any more, and SIPp may end."""
        return self._plan.duration_s + (0.0 if self._plan.churns else self._plan.ramp_s + SETTLE_S)

    async def _until(self, at_s: float) -> None:
        """Wait to `at_s` after the beginning, or until SIPp has ended."""
        await asyncio.wait({self._sipp_ended}, timeout=max(0.0, self._began_s + at_s - self._loop.time()))

    async def _end(self, board: Switchboard, pipes: list[Pipe]) -> None:
        """Wait until the last call is over, and read what SIPp leaves behind. Raises LoadError where there is none."""
        status = await self._sipp_ended
        for pipe in pipes:
            pipe.close()
        left = board.finish()
        if left and self._loop.time() < self._began_s + self._planned_s:
            raise LoadError(f"SIPp ended too early (exit status {status}); calls that it left to the server: {left}")
        text = self._files.statistics.read_text(errors="replace") if self._files.statistics.exists() else ""
        self._statistics = statistics(text)
        if status in SIPP_FAILED or not self._statistics.created:
            said = (self._files.folder / "sipp.out").read_text(errors="replace").strip().splitlines()
            raise LoadError(f"SIPp placed no call (exit status {status}): {' '.join(said[-4:])}")

    def _second(self, second: messages.Second) -> None:
        """Take what the streams say of a second; costs are looked at in the same rhythm."""
        if not self._began_s:
            return
        now = self._costs.look(self._loop.time())
        used = self._costs.used(self._before, now)
        self._before = now
        sample = Sample(
            at_s=round(now.at_s - self._began_s, 2),
            live=second.live,
            received=second.received,
            lost=second.lost,
            deviation_p99_ms=second.deviation_p99_ms,
            deviation_max_ms=second.deviation_max_ms,
            send_late_max_ms=second.send_late_max_ms,
            server_cpu={f"{share.name} ({share.pid})": share.cpu_percent for share in used.server},
            streams_cpu=used.streams,
            sipp_cpu=used.sipp,
        )
        self._samples.append(sample)
        self._watch(sample)

    def _figures(
        self,
        board: Switchboard,
        media: messages.Result,
        used: Used,
        held: float,
        memory_kb: tuple[int | None, int | None],
    ) -> Figures:
        plan, counts = self._plan, self._statistics
        began_ns = self._began.timestamp() * 1e9
        placed_s = plan.duration_s if plan.churns else max(plan.ramp_s, 1.0)
        return Figures(
            target=str(plan.target),
            date=self._began.isoformat(timespec="seconds"),
            machine=machine(),
            options=options(plan),
            measured_s=round(used.seconds, 2),
            calls=Calls(
                placed=counts.created,
                answered=len(board.answers),
                failed=counts.failed,
                cut_short=board.cut_short,
                held=round(held, 1),
                rate=round(counts.created / placed_s, 2),
                reasons=dict(sorted(board.reasons.items(), key=lambda reason: -reason[1])),
            ),
            answer=times([took_ms for _, took_ms in board.answers]),
            answers=[(round((at_ns - began_ns) / 1e9, 3), round(took, 3)) for at_ns, took in board.answers],
            media=media,
            server=self._server(used, held, memory_kb),
            generator=Generator(
                streams_cpu_percent=used.streams,
                sipp_cpu_percent=used.sipp,
                retransmissions=counts.retransmissions,
                stolen_percent=used.steal,
                batched=self._ringed,
                core=plan.core,
                rate_asked=plan.rate,
            ),
            seconds=self._samples,
        )

    def _server(self, used: Used, held: float, memory_kb: tuple[int | None, int | None]) -> Server | None:
        if not self._plan.server_pids:
            return None
        before, after = memory_kb
        grown = None if before is None or after is None or not held else round((after - before) / held, 1)
        percent = used.server_percent
        placed = self._statistics.created
        return Server(
            cpu_percent=round(percent, 2),
            cpu_percent_per_call=round(percent / held, 4) if held else 0.0,
            cpu_ms_per_call_placed=round(percent * 10 * used.seconds / placed, 3) if placed else 0.0,
            processes=sorted(used.server, key=lambda share: -share.cpu_percent),
            memory_before_kb=before,
            memory_with_calls_kb=after,
            memory_kb_per_call=grown,
        )


def machine() -> dict[str, str]:
    """Return what this runs on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {"processor": names[0] if names else platform.machine(), "cores": str(os.cpu_count() or 1),
            "kernel": platform.release()}  # fmt: skip


def options(plan: LoadPlan) -> dict[str, Any]:
    """Return what decides the load, for whoever compares."""
    return {
        "calls": plan.calls, "rate": plan.rate, "hold": plan.hold_s, "duration": plan.duration_s,
        "codec": plan.codec, "send": plan.sends, "digits": plan.digits, "echo": plan.echo,
        "transport": plan.transport, "core": plan.core,
    }  # fmt: skip


def free_ports(address: str, count: int) -> int:
    """Return an even port from which on `count` are free now for UDP. Raises LoadError."""
    for _ in range(100):
        with ExitStack() as probes, suppress(OSError, OverflowError):
            with _bound(address, 0) as probe:
                base = probe.getsockname()[1] & ~1
            for port in range(base, base + count):
                probes.enter_context(_bound(address, port))
            return base
    raise LoadError(f"no {count} free ports in a row on {address}; fewer --calls, or another --from-port")


def _bound(address: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.bind((address, port))
    except BaseException:
        bound.close()
        raise
    return bound


async def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()
