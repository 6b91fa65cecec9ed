"""A real worker process that is killed, and its successor."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

from flexml.engine.media_client import MediaClient
from flexml.engine.supervisor import SILENT_S, Supervisor, WorkerSettings
from flexml.media.protocol import SetRemote, StartPlay

from .fakes_sip import Heard

PATIENCE_S = 20.0


def test_a_killed_worker_is_replaced_and_its_leg_goes_on(tmp_path: Path) -> None:
    tone = tmp_path / "tone"
    tone.write_bytes(b"\x10\x27" * 8000 * 60)

    async def main() -> None:
        client = MediaClient()
        supervisor = Supervisor(client, count=1, settings=WorkerSettings(capacity=2))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            peer.setblocking(False)
            supervisor.start()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await survive(client, supervisor, peer, tone)
            finally:
                await supervisor.stop()

    asyncio.run(main())


def test_a_worker_that_hangs_is_known_to_give_no_signs_until_it_does_again() -> None:
    async def main() -> None:
        client = MediaClient()
        supervisor = Supervisor(client, count=1, settings=WorkerSettings(capacity=2))
        supervisor.start()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await supervisor.ready()
                (link,) = client.workers
                os.kill(pid := worker_pid(), signal.SIGSTOP)
                while link.up:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                figures = link.figures()
                os.kill(pid, signal.SIGCONT)
                while not link.up:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        finally:
            await supervisor.stop()
        assert (figures.up, figures.beat_age_s >= SILENT_S) == (False, True)
        assert supervisor.restarts == 0

    asyncio.run(main())


async def survive(client: MediaClient, supervisor: Supervisor, peer: socket.socket, tone: Path) -> None:
    loop = asyncio.get_running_loop()
    leg = client.new_leg(Heard())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1] & ~1
    leg.begin_to_open("127.0.0.1", port, "name")
    await leg.opened()
    here = peer.getsockname()[1]
    leg.set_remote(SetRemote(address="127.0.0.1", port=here, rtcp_port=here, codec="PCMU", payload_type=0))
    playback = leg.start(StartPlay(path=str(tone)))
    first = [await rtp(loop, peer) for _ in range(20)]

    os.kill(worker_pid(), signal.SIGKILL)
    while supervisor.restarts == 0:  # noqa: ASYNC110
        await asyncio.sleep(0)
    while peer_has(peer):
        pass
    then = [await rtp(loop, peer) for _ in range(20)]

    assert {packet[8:12] for packet in first} == {packet[8:12] for packet in then}
    ahead = (int.from_bytes(then[0][2:4], "big") - int.from_bytes(first[-1][2:4], "big")) % 65536
    assert 0 < ahead < 200
    assert set(then[-1][12:]) == set(first[-1][12:]), "it plays on"
    assert not playback.finished.done()
    playback.stop()
    finished = await playback.finished
    assert finished.reason == "stopped"
    assert finished.position > 400
    assert (await leg.close()).packets_sent >= 20


def worker_pid() -> int:
    """The process id of our one worker, by the name it bears."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    (pid,) = (int(pid) for pid in children if b"flexml: worker 1" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return pid


async def rtp(loop: asyncio.AbstractEventLoop, peer: socket.socket) -> bytes:
    """The next packet that is not RTCP."""
    while True:
        packet = await loop.sock_recv(peer, 2048)
        if packet[1] & 127 < 64:
            return packet


def peer_has(peer: socket.socket) -> bool:
    """Take what has come; False where nothing has."""
    try:
        peer.recv(2048)
    except BlockingIOError:
        return False
    return True
