"""Turn an audio file into another format, whole, with the rate and channels it has, as far as that format has them.

What it reads may be a stranger's, so it reads as `decode` does, and runs as a worker process
(`python -m flexml.engine.convert`). What it writes is bounded: a small file may hold years of silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, cast

import av
import av.error
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer

from .decode import open_file, read_frames, reason
from .errors import PromptError
from .workers import Exchange, serve_exchange

STEP: Final = 2**19
"""After so many samples the parent is told how far it is, and what has been written is looked at."""
MPEG_RATES: Final = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Hertz, of MPEG audio 1, 2 and 2.5."""
OPUS_RATES: Final = (8000, 12000, 16000, 24000, 48000)


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
    """A format: FFmpeg's names, `rates` in hertz it can have (None for any), `bit_rate` in bits/s for each hertz."""

    muxer: str
    codec: str
    channels: int = 2
    rates: tuple[int, ...] | None = None
    bit_rate: float = 0.0

    def rate(self, rate_hz: int) -> int:
        """The lowest rate that keeps everything, or the highest there is."""
        if self.rates is None or rate_hz in self.rates:
            return rate_hz
        return next((rate for rate in self.rates if rate > rate_hz), self.rates[-1])


ENCODINGS: Final = {
    "aac": Encoding(muxer="adts", codec="aac", rates=MPEG_RATES, bit_rate=2.0),
    "al": Encoding(muxer="alaw", codec="pcm_alaw", channels=1, rates=(8000,)),
    "flac": Encoding(muxer="flac", codec="flac"),
    "g722": Encoding(muxer="g722", codec="g722", channels=1, rates=(16000,)),
    "mp3": Encoding(muxer="mp3", codec="libmp3lame", rates=MPEG_RATES, bit_rate=2.0),
    "mp4": Encoding(muxer="ipod", codec="aac", rates=MPEG_RATES, bit_rate=2.0),
    "ogg": Encoding(muxer="ogg", codec="libopus", rates=OPUS_RATES, bit_rate=2.0),
    "ul": Encoding(muxer="mulaw", codec="pcm_mulaw", channels=1, rates=(8000,)),
    "wav": Encoding(muxer="wav", codec="pcm_s16le"),
}
"""By the names of `storage.base.MIME_TYPES`."""
LEAST_BIT_RATE: Final = 32_000
"""Of one channel."""


def convert(source: Path, target: Path, *, file_format: str, form: str, most: int, exchange: Exchange | None) -> int:
    """Write `target`, of `file_format`; returns its octets. `form` is the demuxer of a source without a header.

    Raises PromptError where there is no sound in it, or more than `most` octets come out; what FFmpeg and the
    system raise, too.
    """
    encoding = ENCODINGS[file_format]
    with source.open("rb") as file, open_file(file, form) as container:
        if not container.streams.audio:
            raise PromptError("not audio: there is no audio stream in it")
        target.parent.mkdir(parents=True, exist_ok=True)  # somebody may have emptied the cache
        with av.open(str(target), "w", format=encoding.muxer) as out:
            limit = _Limit(target, most, exchange)
            samples = _pour(read_frames(container), out, encoding, limit)
    if not samples:
        raise PromptError("there is no sound in it")
    return limit.checked()


class _Limit:
    """Looks at how much has been written, now and then."""

    def __init__(self, target: Path, most: int, exchange: Exchange | None) -> None:
        self._target, self._most, self._exchange = target, most, exchange
        self._taken = 0

    def took(self, frame: AudioFrame) -> None:
        """Count a frame. Raises PromptError where the target is too long."""
        self._taken += frame.samples
        if self._taken >= STEP:
            self._taken, size = 0, self.checked()
            if self._exchange is not None:
                self._exchange.tell(progress=size)

    def checked(self) -> int:
        """How long the target is, in octets. Raises PromptError where that is too much."""
        size = self._target.stat().st_size
        if size > self._most:
            raise PromptError(f"it becomes longer than the {self._most} octets allowed")
        return size


def _pour(frames: Iterator[AudioFrame], out: OutputContainer, encoding: Encoding, limit: _Limit) -> int:
    """Encode all frames; how many samples those were. The encoder resamples what is not as it wants it."""
    stream: AudioStream | None = None
    samples = 0
    for frame in frames:
        if stream is None:
            stream = _stream(out, encoding, frame)
        frame.pts, frame.time_base = samples, Fraction(1, frame.sample_rate)  # gaps in a source's times are not heard
        samples += frame.samples
        out.mux(stream.encode(frame))
        limit.took(frame)
    if stream is not None:
        out.mux(stream.encode(None))
    return samples


def _stream(out: OutputContainer, encoding: Encoding, frame: AudioFrame) -> AudioStream:
    rate_hz = encoding.rate(frame.sample_rate)
    channels = min(frame.layout.nb_channels, encoding.channels)
    layout = "mono" if channels == 1 else "stereo"
    stream = cast("AudioStream", out.add_stream(encoding.codec, rate=rate_hz, layout=layout))
    if encoding.bit_rate:
        stream.bit_rate = channels * max(LEAST_BIT_RATE, round(encoding.bit_rate * rate_hz))
    return stream


def handle(request: dict[str, Any], exchange: Exchange | None = None) -> dict[str, Any]:
    """Carry out one request of the worker pool."""
    target = Path(request["target"])
    try:
        size = convert(
            Path(request["source"]), target, file_format=request["format"], form=request["form"],
            most=request["most"], exchange=exchange,
        )  # fmt: skip
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise PromptError(reason(error, request)) from error
    return {"bytes": size}


if __name__ == "__main__":
    serve_exchange(handle)
