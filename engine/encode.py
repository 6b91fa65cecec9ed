"""Turn the spool of a recording into the file that is kept: trimmed, encoded, behind what the file holds already.

A spool is headerless little-endian 16-bit PCM at 8 kHz, mono, or calling and called party interleaved. Out of it
come WAV (16-bit PCM), MP3 (32 kbit/s a channel) or headerless mu-law, always mono. Runs as a worker process
(`python -m flexml.engine.encode`), because it takes time, and reads files that strangers may have uploaded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer

from .errors import PromptError
from .trimming import RATE_HZ, Samples, Spool, voiced_span
from .wave_header import WaveFormat, appendable, wave_header
from .workers import serve

BIT_RATE: Final = 32_000


def encode(
    spool: Spool,
    target: Path,
    *,
    file_format: str,
    trim: bool = False,
    detector: str = "energy",
    append_to: Path | None = None,
) -> tuple[int, int]:
    """Write `target`: what `append_to` holds, and behind it the recording; returns how many samples these are.

    The first number is what the recording has added, the second what was there before.

    Nothing is written where there is nothing to add. Raises PromptError where `append_to` is no such file, or the
    file becomes too long for its format; OSError where the disk is full.
    """
    first, end = voiced_span(spool, detector) if trim else (0, spool.size)
    if first == end:
        return 0, 0
    partial = target.with_suffix(f".{os.getpid()}.partial")
    try:
        blocks = _Blocks(spool, first, end)
        match file_format:
            case "wav":
                held = _write_wave(partial, blocks, append_to)
            case "mp3":
                held = _write_mp3(partial, blocks, append_to)
            case "ul":
                held = _write_mulaw(partial, blocks, append_to)
            case _:
                raise PromptError(f"file format {file_format!r}; known: wav, mp3, ul")
        partial.replace(target)
    except av.error.FFmpegError as error:
        raise PromptError(f"cannot be encoded: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return end - first, held


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The part of a spool that is kept."""

    spool: Spool
    first: int
    end: int

    def each(self, channels: int) -> Iterator[Samples]:
        """Its samples in blocks, with so many channels: parties added up, or one heard on both sides."""
        for block in self.spool.blocks(self.first, self.end):
            if channels == block.shape[1]:
                yield block
            elif channels == 1:
                yield np.clip(block.sum(axis=1, keepdims=True, dtype=np.int32), -32768, 32767).astype(np.int16)
            else:
                yield np.repeat(block, channels, axis=1)


def _write_wave(path: Path, blocks: _Blocks, append_to: Path | None) -> int:
    known = WaveFormat(blocks.spool.channels, RATE_HZ)
    with path.open("wb") as out:
        if append_to is None:
            held = 0
            out.write(wave_header(known, 0))
        else:
            known, at, held = appendable(append_to, RATE_HZ)
            out.write(wave_header(known, 0))
            with append_to.open("rb") as source:
                source.seek(at)
                _copy(source, out, held)
        for block in blocks.each(known.channels):
            out.write(block.astype("<i2").tobytes())
        header = wave_header(known, held + (blocks.end - blocks.first) * known.frame_octets)
        out.seek(0)
        out.write(header)
    return held // known.frame_octets


def _write_mulaw(path: Path, blocks: _Blocks, append_to: Path | None) -> int:
    with path.open("wb") as out:
        if append_to is not None:
            with append_to.open("rb") as source:
                shutil.copyfileobj(source, out)
        held = out.tell()
        with av.open(out, "w", format="mulaw") as container:
            _feed(container, container.add_stream("pcm_mulaw", rate=RATE_HZ, layout="mono"), blocks, 1)
    return held


def _write_mp3(path: Path, blocks: _Blocks, append_to: Path | None) -> int:
    """Frames of an existing file are taken over as they are; the muxer writes a new header about all of them."""
    channels = blocks.spool.channels
    with av.open(str(path), "w", format="mp3") as container:
        if append_to is None:
            _feed(container, _mp3_stream(container, channels), blocks, channels)
            return 0
        with av.open(str(append_to), format="mp3") as source:
            if not source.streams.audio:
                raise PromptError("the file to append to is no MP3")
            held = source.streams.audio[0]
            if held.rate != RATE_HZ:
                raise PromptError(f"the MP3 file to append to has {held.rate} Hz; expected {RATE_HZ}")
            stream = _mp3_stream(container, held.channels)
            end = 0.0
            for packet in source.demux(held):
                if packet.size and packet.pts is not None and packet.duration is not None:
                    end = float((packet.pts + packet.duration) * packet.time_base)
                    packet.stream = stream
                    container.mux(packet)
            _feed(container, stream, blocks, held.channels, start=round(end * RATE_HZ))
            return round(end * RATE_HZ)


def _mp3_stream(container: OutputContainer, channels: int) -> AudioStream:
    stream = container.add_stream("libmp3lame", rate=RATE_HZ, layout="mono" if channels == 1 else "stereo")
    stream.bit_rate = BIT_RATE * channels
    return stream


def _feed(container: OutputContainer, stream: AudioStream, blocks: _Blocks, channels: int, start: int = 0) -> None:
    """Encode the recording into a stream, whose first sample is number `start`."""
    layout = "mono" if channels == 1 else "stereo"
    at = start
    for block in blocks.each(channels):
        frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = RATE_HZ
        frame.pts = at
        at += block.shape[0]
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _copy(source: BinaryIO, out: BinaryIO, octets: int) -> None:
    left = octets
    while left and (chunk := source.read(min(left, 1 << 20))):
        out.write(chunk)
        left -= len(chunk)
    if left:
        raise PromptError(f"the file to append to ends {left} bytes early")


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Carry out one request of the worker pool."""
    append_to = request.get("append_to")
    try:
        samples, held = encode(
            Spool(Path(request["spool"]), request["channels"], request.get("longest")),
            Path(request["target"]),
            file_format=request["format"],
            trim=request["trim"],
            detector=request["detector"],
            append_to=Path(append_to) if append_to else None,
        )
    except OSError as error:
        raise PromptError(f"{error.strerror}: {error.filename or request['target']}") from error
    size = Path(request["target"]).stat().st_size if samples else 0
    return {"samples": samples, "held": held, "bytes": size}


if __name__ == "__main__":
    serve(handle)
