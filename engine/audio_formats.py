"""What Play can read, and how it is told apart (reference: Play, Supported Formats and Protocols).

Containers say themselves what they are. Headerless G.711 and G.722 (RFC 3551, RFC 4856) do not: their name or
content type does. Playlists are opened by their URL, because they name what else is to be fetched.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

DEMUXERS: Final = "wav,w64,aiff,au,mp3,ogg,flac,aac,mov,matroska,amr,caf,asf"
"""Of FFmpeg, for files. Playlists (HLS, concat) stay out: they name other files, of this machine too."""
STREAM_DEMUXERS: Final = f"{DEMUXERS},hls,mpegts,flv,live_flv"

PROTOCOLS: Final = {
    "http": "http,https,tcp,tls,crypto,data",
    "https": "http,https,tcp,tls,crypto,data",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tls,tcp",
}
"""What FFmpeg may use for a URL of that scheme; never files of this machine."""

HEADERLESS: Final = {
    ".al": "alaw",
    ".alaw": "alaw",
    ".ul": "mulaw",
    ".ulaw": "mulaw",
    ".g722": "g722",
}
HEADERLESS_TYPES: Final = {
    "audio/pcma": "alaw",
    "audio/x-alaw": "alaw",
    "audio/x-alaw-basic": "alaw",
    "audio/basic": "mulaw",
    "audio/pcmu": "mulaw",
    "audio/x-mulaw": "mulaw",
    "audio/x-ulaw": "mulaw",
    "audio/g722": "g722",
}
HEADERLESS_RATES: Final = {"alaw": 8000, "mulaw": 8000, "g722": 16000}
PLAYLIST_TYPES: Final = {
    "application/vnd.apple.mpegurl",
    "application/x-mpegurl",
    "audio/mpegurl",
    "audio/x-mpegurl",
}
SIGNATURES: Final = (b".snd", b"RIFF", b"RF64", b"OggS", b"fLaC", b"ID3", b"caff", b"FORM")
"""How containers begin that are no headerless audio, whatever they are called."""
PLAIN: Final = (b"RIFF", b"RF64", b"riff", b"FORM", b".snd")
"""How containers begin whose header says all there is to know of what is in them."""
MARKUP: Final = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body", b"<response")
EXPECTED: Final = "aac, al, flac, g722, m3u8, mp3, mp4, ogg, ul or wav"


def headerless(name: str, content_type: str = "") -> str:
    """The demuxer for audio without a header, by its name (a path or URL) and its content type; empty for others."""
    media_type = content_type.partition(";")[0].strip().lower()
    return HEADERLESS_TYPES.get(media_type) or HEADERLESS.get(_extension(name), "")


def is_playlist(name: str, content_type: str = "") -> bool:
    """True for an HLS playlist (RFC 8216 section 4)."""
    return content_type.partition(";")[0].strip().lower() in PLAYLIST_TYPES or _extension(name) == ".m3u8"


def form(beginning: bytes, demuxer: str) -> str:
    """The demuxer to read it with, empty for whatever it says it is. ValueError where it is a page, not audio."""
    if beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(MARKUP):
        raise ValueError(f"not audio: found a page of markup, expected {EXPECTED}")
    return "" if beginning.startswith(SIGNATURES) else demuxer


def _extension(name: str) -> str:
    try:
        return PurePosixPath(urlsplit(name).path).suffix.lower()
    except ValueError:
        return ""
