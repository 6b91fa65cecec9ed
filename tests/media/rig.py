"""A pipeline on a fake network, and the packets and files that tests feed it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from flexml.media import rtp
from flexml.media.events import Event
from flexml.media.pipeline import Pipeline
from flexml.media.protocol import Command, OpenLeg, SetRemote
from flexml.media.transport import Address, FakeNetwork
from numpy.typing import NDArray

Kind = TypeVar("Kind", bound=Event)

PEER = FakeNetwork.PEER
STRANGER: Address = ("203.0.113.9", 4000)
ULAW_SILENCE = b"\xff" * 160


class Rig:
    """A pipeline on a fake network, its clock and the events it emitted. Legs 1, 2, … have rows 0, 1, …"""

    def __init__(self, **options: Any) -> None:
        self.network = FakeNetwork()
        self.events: list[Event] = []
        self.now_s = 1000.0
        self.pipeline = Pipeline(
            8, self.network, self.events.append, randomness=random.Random(1), now_s=self.now_s, **options
        )

    def command(self, *messages: Command) -> None:
        for message in messages:
            self.pipeline.command(message)

    def leg(self, leg: int = 1, **remote: Any) -> None:
        self.command(
            OpenLeg(leg=leg, address="127.0.0.1", port=4000 + 2 * leg, ssrc=7, sequence=65_000, timestamp=2**32 - 800),
            self.remote(leg, **remote),
        )

    @staticmethod
    def remote(leg: int = 1, **remote: Any) -> SetRemote:
        given: dict[str, Any] = {
            "address": PEER[0],
            "port": PEER[1],
            "rtcp_port": 4001,
            "codec": "PCMU",
            "payload_type": 0,
            **remote,
        }
        return SetRemote(leg=leg, **given)

    def run(self, ticks: int) -> list[rtp.RtpBatch]:
        """Run and return what was sent meanwhile, a batch a tick."""
        batches: list[rtp.RtpBatch] = []
        for _ in range(ticks):
            before = len(self.network.sent)
            self.pipeline.tick(self.now_s)
            self.now_s += 0.02
            batches.append(parse([(row, packet) for _, row, packet in self.network.sent[before:]]))
        return batches

    def said(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.events if isinstance(event, kind)]


def parse(packets: Sequence[tuple[int, bytes]]) -> rtp.RtpBatch:
    data = np.zeros((len(packets), rtp.MAX_PACKET), np.uint8)
    for slot, (_, packet) in zip(data, packets, strict=True):
        slot[: len(packet)] = np.frombuffer(packet, np.uint8)
    lengths = np.array([len(packet) for _, packet in packets], np.int32)
    batch, good = rtp.parse_batch(data, lengths, np.array([row for row, _ in packets], np.intp))
    assert good.all()
    return batch


def payloads(batches: list[rtp.RtpBatch], row: int = 0) -> bytes:
    return b"".join(
        batch.data[index, start : start + length].tobytes()
        for batch in batches
        for index, at, start, length in zip(batch.index, batch.rows, batch.start, batch.length, strict=True)
        if at == row
    )


def packet(number: int, octets: bytes = ULAW_SILENCE, *, kind: int = 0, ssrc: int = 99, stamp: int = -1) -> bytes:
    payload = np.frombuffer(octets, np.uint8)[None, :]
    return rtp.build_batch(payload, kind, 0, number, number * 160 if stamp < 0 else stamp, ssrc).tobytes()


def noise_file(path: Path, seconds: float, seed: int = 1) -> NDArray[np.int16]:
    samples = np.random.default_rng(seed).integers(-32768, 32768, int(seconds * 8000)).astype(np.int16)
    path.write_bytes(samples.tobytes())
    return samples
