"""The far end of a call's audio: an RTP socket that hears, speaks silence and presses keys (RFC 3550, RFC 4733).

It shares nothing with the engine: the few lines of G.711 and RTP here are an opinion of their own.
"""

import socket
import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE_HZ: Final = 8000
FRAME: Final = 160
SSRC: Final = 0x50454552
EVENTS: Final = "0123456789*#ABCD"


@dataclass(frozen=True)
class Packet:
    """One RTP packet that came in; `at` is in seconds since the endpoint began."""

    at: float
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


class RtpEndpoint:
    """A socket on 127.0.0.1 that keeps what it hears, and answers the first packet with a stream of silence."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.02)
        self.port: int = self._socket.getsockname()[1]
        self.packets: list[Packet] = []
        self._news = threading.Condition()
        self._closing = threading.Event()
        self._digits: list[str] = []
        self._remote: tuple[str, int] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "RtpEndpoint":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join()
        self._socket.close()

    def wait_for(self, count: int, timeout_s: float = 10.0) -> list[Packet]:
        """Wait until `count` packets have come."""
        with self._news:
            enough = self._news.wait_for(lambda: len(self.packets) >= count, timeout_s)
            packets = list(self.packets)
        assert enough, f"heard {len(packets)} RTP packets within {timeout_s:.0f} s, expected {count}"
        return packets

    def press(self, digits: str) -> None:
        """Send `digits` as RFC 4733 events, 100 ms each, 100 ms apart."""
        with self._news:
            self._digits += digits

    @property
    def remote(self) -> tuple[str, int]:
        """Where the first packet came from."""
        self.wait_for(1)
        assert self._remote is not None
        return self._remote

    def send(self, datagram: bytes) -> None:
        """Send something else to where the first packet came from."""
        self._socket.sendto(datagram, self.remote)

    def heard(self) -> NDArray[np.float64]:
        """What was heard as samples in -1..1, in the order of the RTP timestamps, without telephone events."""
        with self._news:
            packets = [one for one in self.packets if one.payload_type in (0, 8)]
        if not packets:
            return np.zeros(0)
        start = min(one.timestamp for one in packets)
        audio = np.zeros(max(one.timestamp - start + len(one.payload) for one in packets))
        for one in packets:
            decode = _ULAW if one.payload_type == 0 else _ALAW
            at = one.timestamp - start
            audio[at : at + len(one.payload)] = decode[np.frombuffer(one.payload, np.uint8)]
        return audio

    def _run(self) -> None:
        began = time.monotonic()
        tick, sequence = 0, 1000
        event: tuple[int, int, int] | None = None  # code, frame within the event, timestamp at its start
        while not self._closing.is_set():
            self._receive_until(began, began + tick * 0.02)
            remote = self._remote
            if remote is not None:
                timestamp = 5000 + tick * FRAME
                if event is None and self._digits and tick % 10 == 0:
                    event = (EVENTS.index(self._digits.pop(0)), 0, timestamp)
                if event is None:
                    packet = struct.pack("!BBHII", 0x80, 0, sequence, timestamp, SSRC) + b"\xff" * FRAME
                    self._socket.sendto(packet, remote)
                    sequence += 1
                else:
                    sequence, event = self._send_event(remote, sequence, event)
            tick += 1

    def _send_event(
        self, remote: tuple[str, int], sequence: int, event: tuple[int, int, int]
    ) -> tuple[int, tuple[int, int, int] | None]:
        """One update of an event; its end three times (RFC 4733 section 2.5.1.4)."""
        code, frame, timestamp = event
        last = frame == 4
        for _ in range(3 if last else 1):
            header = struct.pack("!BBHII", 0x80, 101 | (0x80 if frame == 0 else 0), sequence, timestamp, SSRC)
            body = struct.pack("!BBH", code, 10 | (0x80 if last else 0), (frame + 1) * FRAME)
            self._socket.sendto(header + body, remote)
            sequence += 1
        return sequence, None if last else (code, frame + 1, timestamp)

    def _receive_until(self, began: float, deadline: float) -> None:
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                datagram, source = self._socket.recvfrom(2048)
            except TimeoutError:
                return
            if len(datagram) < 12 or datagram[0] >> 6 != 2:
                continue
            _, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", datagram)
            packet = Packet(time.monotonic() - began, second & 127, sequence, timestamp, ssrc, datagram[12:])
            self._remote = self._remote or source
            with self._news:
                self.packets.append(packet)
                self._news.notify_all()


def _ulaw_table() -> NDArray[np.float64]:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude) / 32768


def _alaw_table() -> NDArray[np.float64]:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code & 0x70) >> 4
    linear = ((code & 0x0F) << 4) + 8
    magnitude = np.where(segment > 0, (linear + 0x100) << np.maximum(segment - 1, 0), linear)
    return np.where(code & 0x80, magnitude, -magnitude) / 32768


_ULAW: Final = _ulaw_table()
_ALAW: Final = _alaw_table()


def loud_part(audio: NDArray[np.float64], threshold: float = 0.01) -> NDArray[np.float64]:
    """From the first to the last sample above `threshold`."""
    loud = np.flatnonzero(np.abs(audio) > threshold)
    return audio[loud[0] : loud[-1] + 1] if len(loud) else audio[:0]


def level_dbov(audio: NDArray[np.float64]) -> float:
    """RMS level; full scale is 0."""
    return float(20 * np.log10(max(1e-9, np.sqrt(np.mean(audio**2))))) if len(audio) else -180.0


def share_at(audio: NDArray[np.float64], hz: float, width_hz: float = 30.0) -> float:
    """How much of the energy lies within `width_hz` of `hz`, 0..1; 0 where there is no audio."""
    if not len(audio):
        return 0.0
    power = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
    near = np.abs(np.fft.rfftfreq(len(audio), 1 / RATE_HZ) - hz) <= width_hz
    return float(power[near].sum() / max(1e-12, power.sum()))
