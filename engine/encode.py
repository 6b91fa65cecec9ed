"""Turn the spool of a recording into the file that is kept: trimmed, encoded, behind what the file holds already.

A spool is headerless little-endian 16-bit PCM at 8 kHz, mono, or calling and called party interleaved. Out of it
come WAV (16-bit PCM), MP3 (32 kbit/s a channel) or headerless mu-law, always mono. Trimming is by level or by
WebRTC's voice activity detector. Runs as a worker process (`python -m flexml.engine.encode`), because it takes
time, and reads files that strangers may have uploaded.
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
import webrtcvad
from av.audio.stream import AudioStream
from av.container import OutputContainer
from numpy.typing import NDArray

from .errors import PromptError
from .wave_header import WaveFormat, read_wave, wave_header
from .workers import serve

Samples = NDArray[np.int16]
Levels = NDArray[np.float64]

RATE_HZ: Final = 8000
FRAME: Final = 160
"""Samples of 20 ms, the grain of trimming."""
BLOCK: Final = 60 * RATE_HZ
"""Samples that are worked on at a time: what a recording costs in memory does not depend on its length."""
KEEP_FRAMES: Final = 5
"""100 ms stay at either end."""
LEAST_FRAMES: Final = 2
"""A single loud frame is a click and no voice."""

FULL_SCALE_DBM0: Final = 3.14
"""A sine as loud as 16 bits go (ITU-T G.711)."""
THRESHOLD_DBM0: Final = -45.0
"""Below is silence, on any line."""
NOISY_DBM0: Final = -30.0
"""What is above is never silence, however noisy the line."""
ABOVE_FLOOR_DB: Final = 8.0
"""How far above the noise of the line voice begins."""
BELOW_VOICE_DB: Final = 20.0
"""How far below its loudest the quietest voice is, so that a recording without a pause is not taken for noise."""
AGGRESSIVENESS: Final = 2
"""Of webrtcvad, 0 to 3."""
BIT_RATE: Final = 32_000


@dataclass(frozen=True, slots=True)
class Spool:
    """A spool file: `size` samples, each of `channels`."""

    path: Path
    channels: int

    @property
    def size(self) -> int:
        """How many whole samples there are; a process that was killed may have left a part of one."""
        return self.path.stat().st_size // (2 * self.channels)

    def blocks(self, first: int, end: int) -> Iterator[Samples]:
        """The samples from `first` to `end`, int16[n, channels], a block at a time."""
        with self.path.open("rb") as file:
            file.seek(first * 2 * self.channels)
            for at in range(first, end, BLOCK):
                octets = file.read(min(BLOCK, end - at) * 2 * self.channels)
                yield np.frombuffer(octets, "<i2").reshape(-1, self.channels)


# ---- trimming -------------------------------------------------------------------------------------------------


def voiced_span(spool: Spool, detector: str) -> tuple[int, int]:
    """Return the samples from the first to the last voice with 100 ms around them; (0, 0) if there is none."""
    voice = _loud(_levels(spool)) if detector == "energy" else _voiced(spool)
    frames = np.flatnonzero(_lasting(voice))
    if not frames.size:
        return 0, 0
    first, last = int(frames[0]), int(frames[-1])
    return max(0, first - KEEP_FRAMES) * FRAME, min(spool.size, (last + 1 + KEEP_FRAMES) * FRAME)


def _levels(spool: Spool) -> Levels:
    """The level of each 20 ms in dBm0, of the louder party."""
    parts = [np.zeros(0)]
    for block in spool.blocks(0, spool.size):
        power = _frames(block.astype(np.float64) ** 2).mean(axis=1).max(axis=1)
        full_scale = 32768.0**2 / 2
        parts.append(10 * np.log10(np.maximum(power, 1e-3) / full_scale) + FULL_SCALE_DBM0)
    return np.concatenate(parts)


def _loud(levels: Levels) -> NDArray[np.bool_]:
    if not levels.size:
        return np.zeros(0, np.bool_)
    floor, loudest = np.percentile(levels, (10, 95))
    threshold = max(THRESHOLD_DBM0, min(floor + ABOVE_FLOOR_DB, loudest - BELOW_VOICE_DB, NOISY_DBM0))
    return levels > threshold


def _voiced(spool: Spool) -> NDArray[np.bool_]:
    detectors = [webrtcvad.Vad(AGGRESSIVENESS) for _ in range(spool.channels)]
    voiced: list[bool] = []
    for block in spool.blocks(0, spool.size):
        for frame in _frames(block).astype("<i2"):
            sides = (np.ascontiguousarray(frame[:, side]).tobytes() for side in range(spool.channels))
            said = [vad.is_speech(octets, RATE_HZ) for vad, octets in zip(detectors, sides, strict=True)]
            voiced.append(any(said))
    return np.array(voiced, np.bool_)


def _frames(block: NDArray[Any]) -> NDArray[Any]:
    """[n, channels] as [frames, 160, channels], the last one filled up with zeros."""
    short = -block.shape[0] % FRAME
    return np.pad(block, ((0, short), (0, 0))).reshape(-1, FRAME, block.shape[1])


def _lasting(voice: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Only what is voice for LEAST_FRAMES in a row."""
    if voice.size < LEAST_FRAMES:
        return np.zeros_like(voice)
    both = voice[:-1] & voice[1:]
    return np.append(both, False) | np.insert(both, 0, False)


# ---- encoding -------------------------------------------------------------------------------------------------


def encode(
    spool: Spool,
    target: Path,
    *,
    file_format: str,
    trim: bool = False,
    detector: str = "energy",
    append_to: Path | None = None,
) -> int:
    """Write `target`: what `append_to` holds, and behind it the recording; returns how many samples that added.

    Nothing is written where there is nothing to add. Raises PromptError where `append_to` is no such file, or the
    file becomes too long for its format; OSError where the disk is full.
    """
    first, end = voiced_span(spool, detector) if trim else (0, spool.size)
    if first == end:
        return 0
    partial = target.with_suffix(f".{os.getpid()}.partial")
    try:
        blocks = _Blocks(spool, first, end)
        match file_format:
            case "wav":
                _write_wave(partial, blocks, append_to)
            case "mp3":
                _write_mp3(partial, blocks, append_to)
            case "ul":
                _write_mulaw(partial, blocks, append_to)
            case _:
                raise PromptError(f"file format {file_format!r}; known: wav, mp3, ul")
        partial.replace(target)
    except av.error.FFmpegError as error:
        raise PromptError(f"cannot be encoded: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return end - first


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


def _write_wave(path: Path, blocks: _Blocks, append_to: Path | None) -> None:
    known = WaveFormat(blocks.spool.channels, RATE_HZ)
    with path.open("wb") as out:
        if append_to is None:
            held = 0
            out.write(wave_header(known, 0))
        else:
            known, at, held = read_wave(append_to)
            if known.rate_hz != RATE_HZ:
                raise PromptError(f"the WAV file to append to has {known.rate_hz} Hz; expected {RATE_HZ}")
            out.write(wave_header(known, 0))
            with append_to.open("rb") as source:
                source.seek(at)
                _copy(source, out, held)
        for block in blocks.each(known.channels):
            out.write(block.astype("<i2").tobytes())
        header = wave_header(known, held + (blocks.end - blocks.first) * known.frame_octets)
        out.seek(0)
        out.write(header)


def _write_mulaw(path: Path, blocks: _Blocks, append_to: Path | None) -> None:
    with path.open("wb") as out:
        if append_to is not None:
            with append_to.open("rb") as source:
                shutil.copyfileobj(source, out)
        with av.open(out, "w", format="mulaw") as container:
            _feed(container, container.add_stream("pcm_mulaw", rate=RATE_HZ, layout="mono"), blocks, 1)


def _write_mp3(path: Path, blocks: _Blocks, append_to: Path | None) -> None:
    """Frames of an existing file are taken over as they are; the muxer writes a new header about all of them."""
    channels = blocks.spool.channels
    with av.open(str(path), "w", format="mp3") as container:
        if append_to is None:
            _feed(container, _mp3_stream(container, channels), blocks, channels)
            return
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
        samples = encode(
            Spool(Path(request["spool"]), request["channels"]),
            Path(request["target"]),
            file_format=request["format"],
            trim=request["trim"],
            detector=request["detector"],
            append_to=Path(append_to) if append_to else None,
        )
    except OSError as error:
        raise PromptError(f"{error.strerror}: {error.filename or request['target']}") from error
    size = Path(request["target"]).stat().st_size if samples else 0
    return {"samples": samples, "bytes": size}


if __name__ == "__main__":
    serve(handle)
