"""The far end of a call's audio: an RTP socket that hears, speaks and presses keys (RFC 3550, RFC 4733).

It shares nothing with the engine: the few lines of RTP here are an opinion of their own. Times that a
test gives are seconds since the first packet came in; what is heard is placed by its RTP timestamps. One thread
paces all endpoints, so that a test may hold many calls.
"""

import socket
import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import numpy as np
from g711 import SILENT_OCTET, Codec, Samples, decode, encode
from hearing import level_dbov, loud_part, share_at

__all__ = ["FRAME_S", "HeardKey", "Packet", "RtpEndpoint", "level_dbov", "loud_part", "share_at"]

RATE_HZ: Final = 8000
FRAME: Final = 160
FRAME_S: Final = 0.02
SSRC: Final = 0x50454552
EVENTS: Final = "0123456789*#ABCD"
EVENT_TYPE: Final = 101
EVENT_FRAMES: Final = 5
KEY_FRAMES: Final = 10
"""From one key to the next: 100 ms of event, 100 ms without."""


@dataclass(frozen=True)
class Packet:
    """One RTP packet that came in; `at` is in seconds since the endpoint began."""

    at: float
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class HeardKey:
    """One telephone event that came in; times in seconds since the first packet, by RTP timestamp."""

    key: str
    start: float
    end: float


class RtpEndpoint:
    """A socket on 127.0.0.1 that keeps what it hears, and answers the first packet with a stream of its own."""

    def __init__(self, *, codec: Codec = 0) -> None:
        """`codec` is the payload type that it speaks: 0 PCMU, 8 PCMA."""
        self._socket, self._rtcp = _pair()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 19)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self.packets: list[Packet] = []
        self.codec: Codec = codec
        self._news = threading.Condition()
        self._began = self._spoke_at = time.monotonic()
        self._digits: list[str] = []
        self._keys: list[tuple[int, str]] = []
        self._speech: dict[int, bytes] = {}
        self._after_sound: list[tuple[float, str]] = []
        self._remote: tuple[str, int] | None = None
        self._frame, self._sequence = 0, 1000
        self._event: tuple[int, int, int] | None = None  # code, frame within the event, timestamp at its start

    def __enter__(self) -> "RtpEndpoint":
        self._began = time.monotonic()
        _PACER.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _PACER.remove(self)
        self._socket.close()
        self._rtcp.close()

    def wait_for(self, count: int, timeout_s: float = 10.0) -> list[Packet]:
        """Wait until `count` packets have come."""
        with self._news:
            enough = self._news.wait_for(lambda: len(self.packets) >= count, timeout_s)
            packets = list(self.packets)
        assert enough, f"heard {len(packets)} RTP packets within {timeout_s:.0f} s, expected {count}"
        return packets

    # ---- speaking -----------------------------------------------------------------------------------------------

    def press(self, digits: str, at: float | None = None) -> None:
        """Send `digits` as RFC 4733 events, 100 ms each, 100 ms apart: at once, or `at` seconds into the audio."""
        with self._news:
            if at is None:
                self._digits += digits
                return
            self._schedule(digits, at)

    def _schedule(self, digits: str, at: float) -> None:
        first = round(at / FRAME_S)
        self._keys += [(first + index * KEY_FRAMES, digit) for index, digit in enumerate(digits)]
        self._keys.sort()

    def press_after_sound(self, digits: str, after: float) -> None:
        """Send `digits` so many seconds after something was heard for the first time."""
        with self._news:
            self._after_sound.append((after, digits))

    def speak(self, samples: Samples, at: float = 0.0) -> None:
        """Say `samples`, `at` seconds into the audio; what is not said is silence."""
        self.speak_octets(encode(samples, self.codec), at)

    def speak_octets(self, octets: bytes, at: float = 0.0) -> None:
        """Say what `octets` are in the codec, which no encoder need ever make."""
        octets += SILENT_OCTET[self.codec] * (-len(octets) % FRAME)
        first = round(at / FRAME_S)
        with self._news:
            for index in range(0, len(octets), FRAME):
                self._speech[first + index // FRAME] = octets[index : index + FRAME]

    @property
    def remote(self) -> tuple[str, int]:
        """Where the first packet came from."""
        self.wait_for(1)
        assert self._remote is not None
        return self._remote

    def send(self, datagram: bytes) -> None:
        """Send something else to where the first packet came from."""
        self._socket.sendto(datagram, self.remote)

    # ---- hearing ------------------------------------------------------------------------------------------------

    @property
    def elapsed_s(self) -> float:
        """How much audio has come in, by RTP timestamps."""
        with self._news:
            if not self.packets:
                return 0.0
            first, last = self.packets[0], self.packets[-1]
        return (last.timestamp - first.timestamp) % 2**32 / RATE_HZ

    def heard(self) -> Samples:
        """What was heard as samples in -1..1, in the order of the RTP timestamps, without telephone events."""
        with self._news:
            packets = [one for one in self.packets if one.payload_type in (0, 8)]
        if not packets:
            return np.zeros(0)
        start = min(one.timestamp for one in packets)
        audio = np.zeros(max(one.timestamp - start + len(one.payload) for one in packets))
        for one in packets:
            at = one.timestamp - start
            audio[at : at + len(one.payload)] = decode(one.payload, one.payload_type)
        return audio

    def heard_keys(self) -> list[HeardKey]:
        """The telephone events, by what their last packet says of them."""
        with self._news:
            packets = list(self.packets)
        last: dict[int, tuple[int, int]] = {}  # by the event's timestamp: code, duration
        for one in packets:
            if one.payload_type == EVENT_TYPE:
                code, _, duration = struct.unpack("!BBH", one.payload[:4])
                last[one.timestamp] = (code, max(duration, last.get(one.timestamp, (0, 0))[1]))
        zero = packets[0].timestamp if packets else 0
        return [
            HeardKey(key=EVENTS[code], start=(stamp - zero) / RATE_HZ, end=(stamp - zero + duration) / RATE_HZ)
            for stamp, (code, duration) in sorted(last.items())
        ]

    # ---- pacing -------------------------------------------------------------------------------------------------

    def step(self, now: float) -> None:
        """Take what has come; send what is due."""
        while (datagram := self._received()) is not None:
            self._take(datagram, now)
        with self._news:
            while self._remote is not None and now >= self._spoke_at + self._frame * FRAME_S:
                self._send_frame(self._remote)
                self._frame += 1

    def _received(self) -> bytes | None:
        try:
            datagram, source = self._socket.recvfrom(2048)
        except (BlockingIOError, ConnectionRefusedError):
            return None
        if self._remote is None and len(datagram) >= 12:
            self._remote, self._spoke_at = source, time.monotonic()
        return datagram

    def _take(self, datagram: bytes, now: float) -> None:
        if len(datagram) < 12 or datagram[0] >> 6 != 2:
            return
        _, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", datagram)
        packet = Packet(now - self._began, second & 127, sequence, timestamp, ssrc, datagram[12:])
        with self._news:
            self.packets.append(packet)
            if self._after_sound and packet.payload_type in SILENT_OCTET and _is_loud(packet):
                now_s = self._frame * FRAME_S
                waiting, self._after_sound = self._after_sound, []
                for after, digits in waiting:
                    self._schedule(digits, now_s + after)
            self._news.notify_all()

    def _send_frame(self, remote: tuple[str, int]) -> None:
        timestamp = 5000 + self._frame * FRAME
        if self._event is None and (key := self._key_due()):
            self._event = (EVENTS.index(key), 0, timestamp)
        if self._event is not None:
            self._send_event(remote, *self._event)
            return
        payload = self._speech.pop(self._frame, SILENT_OCTET[self.codec] * FRAME)
        self._emit(struct.pack("!BBHII", 0x80, self.codec, self._sequence, timestamp, SSRC) + payload, remote)

    def _key_due(self) -> str:
        if self._keys and self._keys[0][0] <= self._frame:
            return self._keys.pop(0)[1]
        return self._digits.pop(0) if self._digits and self._frame % KEY_FRAMES == 0 else ""

    def _send_event(self, remote: tuple[str, int], code: int, frame: int, timestamp: int) -> None:
        """One update of an event; its end three times (RFC 4733 section 2.5.1.4)."""
        last = frame == EVENT_FRAMES - 1
        for _ in range(3 if last else 1):
            marked = EVENT_TYPE | (0x80 if frame == 0 else 0)
            header = struct.pack("!BBHII", 0x80, marked, self._sequence, timestamp, SSRC)
            body = struct.pack("!BBH", code, 10 | (0x80 if last else 0), (frame + 1) * FRAME)
            self._emit(header + body, remote)
        self._event = None if last else (code, frame + 1, timestamp)

    def _emit(self, datagram: bytes, remote: tuple[str, int]) -> None:
        self._sequence += 1
        try:
            self._socket.sendto(datagram, remote)
        except ConnectionRefusedError:
            pass  # the engine has closed the leg


def _is_loud(packet: Packet) -> bool:
    return bool(np.max(np.abs(decode(packet.payload, packet.payload_type)), initial=0.0) > 0.02)


def _pair() -> tuple[socket.socket, socket.socket]:
    """Sockets for RTP and for RTCP, on the next port (RFC 3550 section 11): reports come to nobody else's socket."""
    while True:
        rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        try:
            rtp.bind(("127.0.0.1", 0))
            rtcp.bind(("127.0.0.1", rtp.getsockname()[1] + 1))
        except (OSError, OverflowError):  # taken, or past the last port
            rtp.close()
            rtcp.close()
        else:
            return rtp, rtcp


class _Pacer:
    """The one thread that steps every endpoint each 20 ms; it lives while there are any."""

    def __init__(self) -> None:
        self._endpoints: dict[int, RtpEndpoint] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, endpoint: RtpEndpoint) -> None:
        with self._lock:
            self._endpoints[id(endpoint)] = endpoint
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def remove(self, endpoint: RtpEndpoint) -> None:
        """Returns when the endpoint will not be stepped any more."""
        with self._lock:
            self._endpoints.pop(id(endpoint), None)

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            due = max(due + FRAME_S / 2, time.monotonic() - 1.0)
            time.sleep(max(0.0, due - time.monotonic()))
            with self._lock:
                if not self._endpoints:
                    self._thread = None
                    return
                for endpoint in self._endpoints.values():
                    endpoint.step(time.monotonic())


_PACER: Final = _Pacer()
