"""Both parties recorded for ten minutes over a bad network: as long as it took, and in step, to 20 ms.

The peers send bursts of noise at known times of their clocks, we play others at known times of ours; where they lie
in the recording is found by correlation. The network loses 5 % of the packets and holds each up for 20 to 50 ms.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from flexml.codecs import g711
from flexml.media import rtp
from flexml.media.events import Event, RecordingFinished
from flexml.media.pipeline import Pipeline
from flexml.media.protocol import OpenLeg, SetRemote, StartPlay, StartRecording, StopRecording
from flexml.media.transport import FakeNetwork
from numpy.typing import NDArray

SECONDS = 600
TICKS = SECONDS * 50
RATE = 8000
LOSS = 0.05
LEAST_S, MOST_S = 0.020, 0.050
EVERY_S = 10
BEGUN = 60
"""Ticks before the recording: the call is under way when it begins."""
DRIFT_PPM = (0, 100, -100)
IN_STEP_MS = 20.0

BURST = np.random.default_rng(9).integers(-12000, 12000, 1600).astype(np.int16)


def bursts(first_s: float, seconds: int = SECONDS + 10) -> NDArray[np.int16]:
    """Silence with a burst every 10 s from `first_s` on."""
    samples = np.zeros(seconds * RATE, np.int16)
    for at in bursts_at(first_s, seconds):
        samples[round(at * RATE) : round(at * RATE) + BURST.size] = BURST
    return samples


def bursts_at(first_s: float, seconds: int = SECONDS) -> NDArray[np.float64]:
    return np.arange(first_s, seconds - 1, EVERY_S)


def say(network: FakeNetwork, row: int, ppm: float) -> None:
    """Let a peer whose clock is so wrong talk for the whole time; its first packet leaves at 0.0077 s."""
    dice = np.random.default_rng(100 + row)
    octets = g711.encode_ulaw(bursts(3.0).astype(np.float32))
    for number in range(TICKS + 200):
        if dice.random() < LOSS:
            continue
        came_s = sent_s(number * 160, ppm) + dice.uniform(LEAST_S, MOST_S)
        payload = octets[None, number * 160 : number * 160 + 160]
        packet = rtp.build_batch(payload, 0, 0, number, number * 160, 99).tobytes()
        network.arrive(int(np.ceil(came_s * 50)), row, packet)


def sent_s(sample: float, ppm: float) -> float:
    """When a sample leaves the peer, by our clock."""
    return 0.0077 + sample / RATE / (1 + ppm * 1e-6)


def found_s(track: NDArray[np.float64], near_s: float) -> float:
    """Where in `track` the burst lies that should be near `near_s`."""
    first = max(0, round((near_s - 0.2) * RATE))
    piece = track[first : round((near_s + 0.2) * RATE) + BURST.size]
    return (first + int(np.argmax(np.correlate(piece, BURST.astype(float))))) / RATE


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[NDArray[np.int16]]:
    """The recordings, int16[samples, 2], of peers with the clocks of DRIFT_PPM."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "played").write_bytes(bursts(5.0).astype("<i2").tobytes())
    network, events = FakeNetwork(), list[Event]()
    pipeline = Pipeline(4, network, events.append, randomness=random.Random(1))
    legs = range(1, len(DRIFT_PPM) + 1)
    for leg in legs:
        say(network, leg - 1, DRIFT_PPM[leg - 1])
        pipeline.command(OpenLeg(leg=leg, address="127.0.0.1", port=4000 + 2 * leg))
        remote = SetRemote(leg=leg, address="192.0.2.1", port=4000, rtcp_port=4001, codec="PCMU", payload_type=0)
        pipeline.command(remote)
    for tick in range(BEGUN + TICKS):
        if tick == BEGUN:
            for leg in legs:
                pipeline.command(StartRecording(leg=leg, job=1, path=str(folder / str(leg)), sides="dual"))
                pipeline.command(StartPlay(leg=leg, job=2, path=str(folder / "played")))
        pipeline.tick(tick * 0.02)
        network.sent.clear()
    for leg in legs:
        pipeline.command(StopRecording(leg=leg, job=1))
    _wait(pipeline, events, len(legs))
    pipeline.close()
    return [np.frombuffer((folder / str(leg)).read_bytes(), "<i2").reshape(-1, 2) for leg in legs]


def _wait(pipeline: Pipeline, events: list[Event], count: int) -> None:
    """Tick until the writer's thread has written all."""
    for tick in range(1_000_000):
        pipeline.tick((BEGUN + TICKS + tick) * 0.02)
        if sum(isinstance(event, RecordingFinished) for event in events) == count:
            return
    pytest.fail("the recordings were not finished")


@pytest.mark.parametrize("peer", range(len(DRIFT_PPM)), ids=[f"{ppm} ppm" for ppm in DRIFT_PPM])
def test_both_parties_are_in_step_and_the_length_is_right(recorded: list[NDArray[np.int16]], peer: int) -> None:
    samples = recorded[peer]
    assert len(samples) == TICKS * 160
    heard, sent = samples[:, 0].astype(float), samples[:, 1].astype(float)
    begun_s = BEGUN * 0.02
    ours = np.array([found_s(sent, at) - at for at in bursts_at(5.0)])
    assert np.abs(ours).max() * 1000 <= 0.2
    theirs = np.array(
        [
            found_s(heard, expected) - expected
            for at in bursts_at(3.0)
            if (expected := sent_s(at * RATE, DRIFT_PPM[peer]) + LEAST_S - begun_s) > 0
        ]
    )
    assert theirs.size >= 59
    apart_ms = (theirs - ours.mean()) * 1000
    assert np.abs(apart_ms).max() <= IN_STEP_MS
