"""Turn audio into what the media workers play: headerless little-endian 16-bit mono PCM.

PyAV reads it, `mono` converts it. Runs as a worker process (`python -m flexml.engine.decode`), because decoding
blocks and reads bytes from strangers: a decoder that crashes or eats memory takes nobody along. How far it is
is told on the way, so that what is still being decoded, or even downloaded, can be played.
"""

from __future__ import annotations

import ssl
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import av
import av.error
import av.logging

from .audio_formats import DEMUXERS, EXPECTED, HEADERLESS_RATES, PLAIN, PROTOCOLS, STREAM_DEMUXERS, form, headerless
from .errors import PromptError
from .growing_file import AHEAD_S, RING_S, GrowingSource, PcmFile, PcmRing, Sink
from .mono import Mono
from .workers import Exchange, serve_exchange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader

    from av.audio.frame import AudioFrame
    from av.container import InputContainer

USER_AGENT: Final = "FlexML-Engine"
BEGINNING: Final = 512
PROBE: Final = 1024
"""Octets that are looked at where there is nothing to be found out."""
PROBE_PLAIN: Final = 4096
"""The same where that is in a header: FFmpeg would look at five seconds, and nothing be heard before they are there."""
MICROSECONDS: Final = 1_000_000
AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Who vouches for servers, where the system names no file of its own for that."""


def handle(request: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
    """Decode what `source` (a file, with `growing` one that is being downloaded) or `url` names, into `target`.

    Gives the number of samples, with an `error` where those are not all; PromptError where there are none.
    """
    file = None
    try:
        if "url" in request:
            container = _open_url(request["url"], request["timeout_s"])
        else:
            file = _source(request, exchange)
            container = open_file(file, request.get("form", ""))
        with container:
            return _decode(container, request, exchange, file)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise PromptError(reason(error, request)) from error
    finally:
        if file is not None:
            file.close()


class _CompleteSource:
    """A file that is all there."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.read, self.seek, self.tell, self.close = (
            self._file.read,
            self._file.seek,
            self._file.tell,
            self._file.close,
        )

    def peek(self, count: int) -> bytes:
        """The octets that the file begins with."""
        beginning = self.read(count)
        self.seek(0)
        return beginning


def _source(request: dict[str, Any], exchange: Exchange) -> GrowingSource | _CompleteSource:
    path = Path(request["source"])
    return GrowingSource(path, exchange) if request.get("growing") else _CompleteSource(path)


def open_file(file: GrowingSource | _CompleteSource | BufferedReader, demuxer: str) -> InputContainer:
    """A file as FFmpeg opens it, told `demuxer` where it has no header. Raises what PyAV raises, and ValueError."""
    beginning = file.peek(BEGINNING)[:BEGINNING]
    demuxer = form(beginning, demuxer)
    whitelist = demuxer or DEMUXERS
    options = {"format_whitelist": whitelist, "protocol_whitelist": "none"}
    if demuxer:
        options |= {"sample_rate": str(HEADERLESS_RATES[demuxer]), "probesize": str(PROBE)}
    elif beginning.startswith(PLAIN):
        options["probesize"] = str(PROBE_PLAIN)
    opened = av.open(cast("Any", file), mode="r", format=demuxer or None, container_options=options)
    return cast("InputContainer", opened)


def _open_url(url: str, timeout_s: float) -> InputContainer:
    scheme, demuxer = urlsplit(url).scheme.lower(), headerless(url)
    options = {
        "format_whitelist": demuxer or STREAM_DEMUXERS,
        "protocol_whitelist": PROTOCOLS[scheme],
        "user_agent": USER_AGENT,
        "analyzeduration": str(MICROSECONDS // 2),  # else it looks at up to five seconds before any is heard
        "tls_verify": "1",  # it takes any certificate otherwise, and always does for what a playlist names
        "ca_file": ssl.get_default_verify_paths().cafile or AUTHORITIES,
    }
    if demuxer:
        options |= {"sample_rate": str(HEADERLESS_RATES[demuxer]), "probesize": str(PROBE)}
    if scheme.startswith("rtmp"):
        del options["user_agent"]
        options["rtmp_live"] = "live"
    av.logging.set_level(av.logging.ERROR)  # errors do not say what was wrong with a certificate
    av.logging.set_skip_repeated(False)
    with av.logging.Capture() as logged:
        try:
            return av.open(url, mode="r", format=demuxer or None, container_options=options, timeout=timeout_s)
        except av.error.FFmpegError as error:
            if said := [text.strip() for _, source, text in logged if source == "tls"]:
                raise PromptError(f"cannot be opened: {said[0]}") from error
            raise
        finally:
            av.logging.set_level(None)


def _decode(
    container: InputContainer, request: dict[str, Any], exchange: Exchange, file: GrowingSource | _CompleteSource | None
) -> dict[str, Any]:
    if not container.streams.audio:
        raise PromptError("not audio: there is no audio stream in it")
    target, rate_hz, max_s = Path(request["target"]), request["rate_hz"], request["max_s"]
    duration_s = (container.duration or 0) / MICROSECONDS
    if request.get("stream") or (file is None and duration_s <= 0):
        sink: Sink = PcmRing(target, exchange, rate_hz=rate_hz, samples=RING_S * rate_hz, until=AHEAD_S * rate_hz)
    elif duration_s > max_s:
        raise PromptError(f"longer than the {max_s} s allowed")
    else:
        sink = PcmFile(target, exchange, rate_hz=rate_hz, max_s=max_s)
    if isinstance(file, GrowingSource):
        file.on_wait = sink.report
    with closing(sink):
        error = _pour(container, sink, rate_hz)
    if sink.size == 0:
        raise PromptError(error or "there is no sound in it")
    return {"samples": sink.size} | ({"error": error} if error else {})


def _pour(container: InputContainer, sink: Sink, rate_hz: int) -> str:
    """Decode into `sink`; gives what kept it from the end, if anything did. What there is before that stays."""
    mono = Mono(rate_hz)
    error = ""
    try:
        for frame in read_frames(container):
            sink.write(_octets(mono.convert(frame)))
    except (av.error.FFmpegError, OSError, ValueError, PromptError) as caught:
        exited = isinstance(caught, av.error.ExitError)
        error = str(caught) if isinstance(caught, PromptError) else f"cannot be decoded further: {_text(caught)}"
        error = "nothing more came" if exited else error
    if not error:
        sink.write(_octets(mono.flush()))
    return error


def read_frames(container: InputContainer) -> Iterator[AudioFrame]:
    """The frames of the first audio stream. A damaged packet is left out, as players do."""
    stream = container.streams.audio[0]
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue


def _octets(samples: Any) -> bytes:
    return (samples.byteswap() if sys.byteorder == "big" else samples).tobytes()


def reason(error: Exception, request: dict[str, Any]) -> str:
    """Why nothing could be opened; ValueErrors are ours, and PyAV's where it cannot even begin."""
    if isinstance(error, av.error.ExitError):
        return f"nothing came for {request.get('timeout_s', 0):g} s"
    if isinstance(error, av.error.InvalidDataError):
        return f"not audio that can be decoded; expected {EXPECTED}"
    if isinstance(error, av.error.FFmpegError) and "url" in request:
        return f"cannot be opened: {_text(error)}"
    return f"not audio that can be decoded: {_text(error)}" if isinstance(error, av.error.FFmpegError) else str(error)


def _text(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


if __name__ == "__main__":
    serve_exchange(handle)
