"""Play noise to a real call for minutes, and compare every sample that comes over the wire with the source.

    scripts/bench_exact.py [--seconds 300]

A real engine, SIPp for the signalling, a real HTTP server for the WAV, and a UDP socket that hears. Printed:
gaps, repeats and differing samples (all must be 0), and how far packet intervals deviate from 20 ms.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "peer"))

from engine_process import EngineProcess
from flexml.codecs.g711 import encode_ulaw
from flexml_app import Answer, Application, Line
from ports import free_block, free_port
from rtp_endpoint import RtpEndpoint
from sipp import call, pause

NUMBER = "15550001000"
RATE_HZ = 8000


def noise(seconds: int) -> np.ndarray:
    """Samples that never repeat: what is lost, doubled or moved shows."""
    return np.random.default_rng(7).integers(-20000, 20000, seconds * RATE_HZ).astype("<i2")


def wav(samples: np.ndarray) -> bytes:
    """The samples as an 8 kHz mono WAV file."""
    with io.BytesIO() as octets:
        with wave.open(octets, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes(samples.tobytes())
        return octets.getvalue()


def main() -> int:
    """Run the comparison; the exit status is 0 where nothing differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=300)
    seconds: int = parser.parse_args().seconds
    source = noise(seconds)
    with tempfile.TemporaryDirectory() as folder, Application() as application, RtpEndpoint() as rtp:
        engine = EngineProcess(Path(folder), {NUMBER: application.url(f"/{NUMBER}/")})
        engine.start()
        try:
            line = Line(NUMBER, application)
            application.serve(line.path("status"), Answer(status=204))
            line.serve('<Play>noise.wav</Play><Pause length="60"/>')
            line.serve(Answer(body=wav(source), content_type="audio/wav"), at="noise.wav")
            status = place(Path(folder), engine.target, rtp.port, seconds)
            packets = list(rtp.packets)
        finally:
            engine.stop()
    print(json.dumps(report(source, packets, status), indent=2))
    return 0


def place(folder: Path, target: str, rtp_port: int, seconds: int) -> int:
    """Call by SIPp, and hang up once all has been played; SIPp's exit status."""
    scenario = folder / "exact.xml"
    steps = call(pause((seconds + 3) * 1000))
    scenario.write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="exact">\n{steps}</scenario>\n')
    command = [
        "sipp", target, "-sf", str(scenario), "-s", NUMBER, "-m", "1", "-nostdin", "-i", "127.0.0.1",
        "-p", str(free_port()), "-mi", "127.0.0.1", "-mp", str(free_block(4)), "-key", "rtp_port", str(rtp_port),
    ]  # fmt: skip
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=seconds + 60, check=False).returncode


def report(source: np.ndarray, packets: list, status: int) -> dict[str, object]:
    """Compare what came with what was to come."""
    sequence = np.array([packet.sequence for packet in packets])
    stamps = np.array([packet.timestamp for packet in packets])
    steps, ticks = np.diff(sequence) % 65536, np.diff(stamps) % 2**32
    heard = np.frombuffer(b"".join(packet.payload for packet in packets), np.uint8)
    wanted = encode_ulaw(source.astype(np.float32))
    start = find(heard, wanted[:800])
    same = heard[start : start + wanted.size] if start >= 0 else heard[:0]
    deviation_ms = np.abs(np.diff([packet.at for packet in packets]) - 0.02) * 1000
    return {
        "sipp_status": status,
        "packets": len(packets),
        "sequence_gaps_or_repeats": int((steps != 1).sum()),
        "timestamp_gaps_or_repeats": int((ticks != 160).sum()),
        "samples_compared": int(same.size),
        "samples_expected": int(wanted.size),
        "samples_differing": int((same != wanted[: same.size]).sum()),
        "interval_deviation_ms": {p: round(float(np.percentile(deviation_ms, p)), 2) for p in (50, 99, 100)},
    }


def find(heard: np.ndarray, beginning: np.ndarray) -> int:
    """Where in `heard` the source begins; -1 if nowhere."""
    return heard.tobytes().find(beginning.tobytes())


if __name__ == "__main__":
    sys.exit(main())
