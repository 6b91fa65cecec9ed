"""Turn an audio file into what the media workers play: headerless little-endian 16-bit mono PCM.

PyAV reads it (WAV, MP3 and what else is listed), its resampler converts, without dither: a file that already
has the rate, one channel and 16 bits comes out sample for sample. Runs as a worker process
(`python -m flexml.engine.decode`), because decoding blocks and reads bytes from strangers: a decoder that
crashes or eats memory takes nobody along.
"""

from __future__ import annotations

import os
import sys
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import av
import av.error

from .errors import PromptError
from .workers import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

DEMUXERS: Final = "wav,w64,aiff,au,mp3,ogg,flac,aac,mov,matroska,amr,caf,asf"
"""What may be read. Playlists (HLS, concat) stay out: they name other files, of this machine too."""

CONTAINER_OPTIONS: Final = {"format_whitelist": DEMUXERS, "protocol_whitelist": "none"}
RESAMPLER_OPTIONS: Final = {"filter_size": "64", "cutoff": "0.97", "dither_method": "none"}
SAMPLE: Final = 2
TAIL_MS: Final = 200
QUIET: Final = 100
"""Amplitude below which a sample counts as silence: -50 dBov."""


def decode(source: Path, target: Path, *, rate_hz: int, max_s: int, trim: bool = False) -> int:
    """Decode `source` into `target`, whole or not at all; gives the number of samples.

    At most `max_s` seconds. With `trim`, no more than TAIL_MS of the silence at the end stay. Raises
    PromptError when it is not audio, has none, or is too long.
    """
    partial = target.with_suffix(f".{os.getpid()}.partial")
    try:
        with source.open("rb") as file, partial.open("wb") as out:
            limit = max_s * rate_hz * SAMPLE
            for chunk in _pcm(file, rate_hz):
                out.write(chunk)
                if out.tell() > limit:
                    raise PromptError(f"longer than the {max_s} s allowed")
        if trim:
            _trim(partial, rate_hz)
        size = partial.stat().st_size
        if size == 0:
            raise PromptError("there is no sound in it")
        partial.rename(target)
        return size // SAMPLE
    except (av.error.FFmpegError, ValueError) as error:
        raise PromptError(f"not audio that can be decoded: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _pcm(file: BinaryIO, rate_hz: int) -> Iterator[bytes]:
    """The samples of the first audio stream, in chunks. A damaged packet is left out, as players do."""
    with av.open(file, mode="r", container_options=CONTAINER_OPTIONS) as container:
        if not container.streams.audio:
            raise PromptError("not audio: there is no audio stream in it")
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_hz, options=RESAMPLER_OPTIONS)
        stream = container.streams.audio[0]
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            for frame in frames:
                frame.pts = None  # gaps in time stamps are not ours to fill
                for out in resampler.resample(frame):
                    yield bytes(out.planes[0])[: out.samples * SAMPLE]
        for out in resampler.resample(None):
            yield bytes(out.planes[0])[: out.samples * SAMPLE]


def _trim(path: Path, rate_hz: int) -> None:
    samples = array("h", path.read_bytes())
    if sys.byteorder == "big":
        samples.byteswap()
    end = len(samples)
    while end and -QUIET < samples[end - 1] < QUIET:
        end -= 1
    keep = min(len(samples), end + rate_hz * TAIL_MS // 1000)
    with path.open("r+b") as file:
        file.truncate(keep * SAMPLE)


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Carry out one request of the worker pool."""
    samples = decode(
        Path(request["source"]), Path(request["target"]), rate_hz=request["rate_hz"], max_s=request["max_s"]
    )
    return {"samples": samples}


if __name__ == "__main__":
    serve(handle)
