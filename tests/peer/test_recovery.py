"""A media worker is killed under a call; another one goes on with it."""

from __future__ import annotations

import os
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path

from engine_process import EngineProcess
from flexml.engine.supervisor import BEAT_TIMEOUT_S
from flexml_app import Line, tone_wav
from rtp_endpoint import RtpEndpoint
from sipp import Sipp, call, pause


def media_worker(engine: EngineProcess) -> int:
    """The process id of the engine's one media worker, by the name it bears."""
    (pid,) = (pid for pid in engine.pids if b"flexml: worker 1" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return pid


def test_a_call_goes_on_when_its_media_worker_is_killed(
    engine: EngineProcess, line: Line, sipp: Sipp, rtp: RtpEndpoint
) -> None:
    line.serve("<Play>tone.wav</Play>")
    line.serve(tone_wav(1000, 20.0), at="tone.wav")

    def kill() -> None:
        rtp.wait_for(100)
        os.kill(media_worker(engine), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    outcome = sipp.run(call(pause(5000)), number=line.number, rtp_port=rtp.port)
    killer.join()
    assert outcome.status == 0, outcome.errors
    packets = rtp.packets
    pairs = list(pairwise(packets))
    before, after = max(pairs, key=lambda pair: pair[1].at - pair[0].at)
    gap_s = after.at - before.at
    assert 0.05 < gap_s < 1.0
    assert len({packet.ssrc for packet in packets}) == 1
    assert all(0 < (b.sequence - a.sequence) % 65536 < 100 for a, b in pairs), "never backwards"
    assert abs((after.timestamp - before.timestamp) % 2**32 / 8000 - gap_s) < 0.5
    assert sum(packet.at > after.at for packet in packets) > 50
    callback = line.final_status()
    assert (callback.data["CallStatus"], callback.data["CallDuration"]) == ("completed", 5)
    assert "media worker replaced" in dict(engine.timeline())


def test_a_worker_is_left_alone_when_it_was_control_that_stood_still(
    engine: EngineProcess, line: Line, sipp: Sipp, rtp: RtpEndpoint
) -> None:
    line.serve("<Play>tone.wav</Play>")
    line.serve(tone_wav(1000, 20.0), at="tone.wav")
    said = len(engine.log())

    def stop_control() -> None:
        rtp.wait_for(50)
        os.kill(engine.pids[0], signal.SIGSTOP)
        time.sleep(BEAT_TIMEOUT_S + 1.5)
        os.kill(engine.pids[0], signal.SIGCONT)

    stopper = threading.Thread(target=stop_control)
    stopper.start()
    outcome = sipp.run(call(pause(10_000)), number=line.number, rtp_port=rtp.port)
    stopper.join()
    assert outcome.status == 0, outcome.errors
    assert "has given no sign" not in engine.log(said)
    assert max(later.at - packet.at for packet, later in pairwise(rtp.packets)) < 1.0
