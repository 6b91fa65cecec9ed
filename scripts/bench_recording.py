"""Record both parties over a bad network for minutes, on the wire: how long the recording is, how far they are apart.

    scripts/bench_recording.py [--seconds 600] [--loss 0.05] [--jitter-ms 30]

A real media worker and three peers of our own on UDP, whose clocks are right, 100 ppm fast and 100 ppm slow. Each
side says a burst of noise every 10 s. The peer notes when its bursts left and when ours came; the recording says
where both lie. `apart_ms` is by how much the distance in the recording differs from that in time.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from flexml.codecs.g711 import decode_ulaw, encode_ulaw
from flexml.media import channel, rtp
from flexml.media.events import LegHeard, LegOpened, RecordingFinished
from flexml.media.protocol import CloseLeg, OpenLeg, SetRemote, StartPlay, StartRecording, StopRecording

HERE = "127.0.0.1"
RATE_HZ = 8000
EVERY_S = 10
LEAST_S = 0.020
DRIFT_PPM = (0, 100, -100)
BURST = np.random.default_rng(9).integers(-12000, 12000, 1600).astype(np.int16)


def bursts(first_s: float, seconds: int) -> np.ndarray:
    """Silence with a burst every 10 s from `first_s` on."""
    samples = np.zeros(seconds * RATE_HZ, np.int16)
    for at in range(round(first_s * RATE_HZ), samples.size - BURST.size, EVERY_S * RATE_HZ):
        samples[at : at + BURST.size] = BURST
    return samples


class Peer:
    """A socket, what it is to send and when, and what came and when."""

    def __init__(self, ppm: float) -> None:
        self.ppm = ppm
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HERE, 0))
        self.socket.setblocking(False)
        self.port = int(self.socket.getsockname()[1])
        self.came: list[tuple[float, bytes]] = []

    def left_s(self, samples: np.ndarray) -> np.ndarray:
        """When samples leave, in seconds since the beginning."""
        return samples / RATE_HZ / (1 + self.ppm * 1e-6)


class Worker:
    """A media worker and control's end of its channel."""

    def __init__(self) -> None:
        self.control, theirs = channel.pair()
        command = [sys.executable, "-m", "flexml.media.worker", "--fd", str(theirs.fileno()), "--capacity", "8"]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        self.events: list = []

    def until(self, kind: type, count: int) -> list:
        """Wait for so many events of a kind, and return them."""
        while len(found := [event for event in self.events if isinstance(event, kind)]) < count:
            select.select([self.control], [], [], 1.0)
            self.events += self.control.receive()
        return found


def talk(peers: list[Peer], ports: list[int], seconds: int, loss: float, jitter_s: float, began: float) -> None:
    """Send what the peers say, each packet at its time and held up by the network, and note what comes."""
    random = np.random.default_rng(4)
    said = encode_ulaw(bursts(3.0, seconds).astype(np.float32))
    numbers = np.arange(seconds * 50)
    plan: list[tuple[float, int, int]] = []
    for which, peer in enumerate(peers):
        kept = numbers[random.random(numbers.size) >= loss]
        at = peer.left_s(kept * 160) + LEAST_S + random.uniform(0, jitter_s, kept.size) + 0.003 * which
        plan += zip(at.tolist(), [which] * kept.size, kept.tolist(), strict=True)
    for at, which, number in sorted(plan):
        while (left := began + at - time.monotonic()) > 0:
            hear(peers, left)
        payload = said[None, number * 160 : number * 160 + 160]
        packet = rtp.build_batch(payload, 0, 0, number, number * 160, 99).tobytes()
        peers[which].socket.sendto(packet, (HERE, ports[which]))


def hear(peers: list[Peer], wait_s: float) -> None:
    """Take what comes within `wait_s`."""
    ready, _, _ = select.select([peer.socket for peer in peers], [], [], wait_s)
    for peer in peers:
        if peer.socket in ready:
            peer.came.append((time.monotonic(), peer.socket.recv(2048)))


def found_s(track: np.ndarray, near_s: float) -> float:
    """Where the burst lies that should be near `near_s`."""
    first = max(0, round((near_s - 0.3) * RATE_HZ))
    piece = track[first : round((near_s + 0.3) * RATE_HZ) + BURST.size].astype(float)
    return (first + int(np.argmax(np.correlate(piece, BURST.astype(float))))) / RATE_HZ


def heard_by(peer: Peer, began: float) -> tuple[np.ndarray, np.ndarray]:
    """What came as one track by RTP time, and when each packet's first sample came, in seconds since the beginning."""
    stamps = np.array([int.from_bytes(packet[4:8], "big") for _, packet in peer.came], np.int64)
    first = (stamps - stamps[0] + 2**31) % 2**32 - 2**31
    track = np.zeros(int(first.max()) + 160, np.int16)
    for at, (_, packet) in zip(first.tolist(), peer.came, strict=True):
        if at >= 0:
            track[at : at + 160] = decode_ulaw(np.frombuffer(packet[12:172], np.uint8))
    came = np.full(track.size // 160, np.inf)
    for at, (when, _) in zip(first.tolist(), peer.came, strict=True):
        if at >= 0:
            came[at // 160] = when - began
    return track, came


def begin_s(track: np.ndarray, came: np.ndarray, sent: np.ndarray) -> float:
    """When the recording began, as our bursts tell: where in it they are, and when they came to the peer."""
    places = [found_s(sent, at) for at in np.arange(5.0, sent.size / RATE_HZ - 2, EVERY_S).tolist()]
    first = np.correlate(track[: 20 * RATE_HZ].astype(float), BURST.astype(float))
    shift = int(np.argmax(first)) - round(places[0] * RATE_HZ)
    samples = [round(place * RATE_HZ) + shift for place in places]
    begins = [came[at // 160] + at % 160 / RATE_HZ - place for at, place in zip(samples, places, strict=True)]
    return float(np.median(begins))


def apart_ms(peer: Peer, recording: np.ndarray, began: float, delay_s: float) -> list[float]:
    """How far the parties are apart, at each burst of the peer."""
    begin = begin_s(*heard_by(peer, began), recording[:, 1])
    said = np.arange(3.0, recording.shape[0] / RATE_HZ + begin - 2, EVERY_S) * RATE_HZ
    arrived = peer.left_s(said) + LEAST_S + delay_s - begin
    return [(found_s(recording[:, 0], at) - at) * 1000 for at in arrived.tolist() if at > 0.5]


def main() -> int:
    """Record, and print the figures; the exit status is 0 where both are right to 20 ms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--loss", type=float, default=0.05)
    parser.add_argument("--jitter-ms", type=float, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = record(Path(folder), options.seconds, options.loss, options.jitter_ms / 1000)
    print(json.dumps(results, indent=2))
    return 0 if all(abs(r["length_off_ms"]) <= 20 and r["apart_ms"]["most"] <= 20 for r in results) else 1


def record(folder: Path, seconds: int, loss: float, jitter_s: float) -> list[dict]:
    """Carry it out."""
    played = folder / "played"
    played.write_bytes(bursts(5.0, seconds).astype("<i2").tobytes())
    worker, peers = Worker(), [Peer(ppm) for ppm in DRIFT_PPM]
    ports = [40000 + 10 * number for number in range(len(peers))]
    for leg, (peer, port) in enumerate(zip(peers, ports, strict=True), 1):
        worker.control.send(OpenLeg(leg=leg, address=HERE, port=port))
        remote = SetRemote(leg=leg, address=HERE, port=peer.port, rtcp_port=peer.port + 1, codec="PCMU", payload_type=0)
        worker.control.send(remote)
    worker.until(LegOpened, len(peers))
    began = time.monotonic()
    talking = threading.Thread(target=talk, args=(peers, ports, seconds + 5, loss, jitter_s, began))
    talking.start()
    worker.until(LegHeard, len(peers))
    for leg in range(1, len(peers) + 1):
        worker.control.send(StartRecording(leg=leg, job=1, path=str(folder / str(leg)), sides="dual"))
        worker.control.send(StartPlay(leg=leg, job=2, path=str(played)))
    started = time.monotonic()
    while time.monotonic() < started + seconds:
        select.select([worker.control], [], [], min(1.0, max(0.0, started + seconds - time.monotonic())))
        worker.control.receive()
    for leg in range(1, len(peers) + 1):
        worker.control.send(StopRecording(leg=leg, job=1))
    took_ms = (time.monotonic() - started) * 1000
    worker.until(RecordingFinished, len(peers))
    for leg in range(1, len(peers) + 1):
        worker.control.send(CloseLeg(leg=leg))
    talking.join()
    worker.control.close()
    worker.process.wait()
    results: list[dict] = []
    for which, peer in enumerate(peers):
        recording = np.frombuffer((folder / str(which + 1)).read_bytes(), "<i2").reshape(-1, 2)
        apart = apart_ms(peer, recording, began, 0.003 * which)
        results.append(
            {
                "clock_ppm": peer.ppm,
                "seconds": recording.shape[0] / RATE_HZ,
                "length_off_ms": round(recording.shape[0] / RATE_HZ * 1000 - took_ms, 1),
                "bursts": len(apart),
                "apart_ms": {
                    "from": round(min(apart), 1), "to": round(max(apart), 1), "most": round(max(map(abs, apart)), 1),
                },
            }
        )  # fmt: skip
    return results


if __name__ == "__main__":
    sys.exit(main())
