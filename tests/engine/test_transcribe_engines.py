"""Engines that make texts: pocketsphinx in its process, a service on a real HTTP server, whisper behind its seam."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import subprocess
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from flexml.engine.errors import PromptError
from flexml.engine.speech import transcribe_http, transcribe_whisper
from flexml.engine.speech.transcribe_engines import ENGINES
from flexml.engine.speech.transcribe_sound import BLOCK, Sound, answer, noisy
from flexml.engine.speech.transcribe_sphinx import utterances, words
from flexml.engine.workers import Workers

SENTENCE = "I would like to order a number of things. I would like to speak to somebody about my account."
WORTH_HEARING = {"would", "like", "order", "number", "things", "somebody", "about", "my", "account"}


def spool(folder: Path, *parties: Any) -> Sound:
    """A recording of so many parties, int16[n] each."""
    path = folder / "samples.s16"
    path.write_bytes(np.stack(parties, axis=1).astype("<i2").tobytes())
    return Sound(path, len(parties))


def tone(hz: float, samples: int = 8000) -> Any:
    return np.round(8000 * np.sin(2 * np.pi * hz * np.arange(samples) / 8000)).astype(np.int16)


def ask(engine: str, sound: Sound, **options: Any) -> dict[str, Any]:
    """Have a worker process of that engine transcribe."""
    request: dict[str, Any] = {
        "samples": str(sound.path), "wave": str(sound.path.with_suffix(".wave")), "channels": sound.channels,
        "longest_s": 60, "model": "", "url": "", "key": "",
    }  # fmt: skip

    async def main() -> dict[str, Any]:
        workers = Workers(ENGINES[engine].module, timeout_s=60)
        await workers.start()
        try:
            return await workers.run(**{**request, **options})
        finally:
            await workers.close()

    return asyncio.run(main())


# ---- what they hear -----------------------------------------------------------------------------------------------


def test_both_parties_are_mixed_and_what_is_too_loud_is_clipped(tmp_path: Path) -> None:
    loud = np.full(3, 30000, np.int16)
    (mixed,) = spool(tmp_path, np.array([1, 2, 3]), np.array([10, -2, 30])).mono()
    assert mixed.tolist() == [11, 0, 33]
    (mixed,) = spool(tmp_path, loud, loud).mono()
    assert mixed.tolist() == [32767] * 3


def test_at_another_rate_it_is_the_same_sound_across_blocks(tmp_path: Path) -> None:
    sound = spool(tmp_path, tone(500, BLOCK + 4000))
    heard = np.concatenate(list(sound.at(16000))).astype(np.float64)
    expected = 8000 * np.sin(2 * np.pi * 500 * np.arange(heard.size) / 16000)
    assert heard.size == 2 * (BLOCK + 4000)
    assert np.abs(heard - expected)[800:-800].max() < 40
    assert np.abs(sound.floats_at(16000)).max() == pytest.approx(8000 / 32768, rel=0.01)


def test_a_sample_that_a_kill_has_cut_in_two_is_left_out(tmp_path: Path) -> None:
    sound = spool(tmp_path, tone(500, 100), tone(700, 100))
    sound.path.write_bytes(sound.path.read_bytes() + b"\x01\x02\x03")
    assert sound.size == sum(block.size for block in sound.mono()) == 100


def test_noise_is_always_the_same_and_clips() -> None:
    octets = np.full(20000, 32700, "<i2").tobytes()
    samples = np.frombuffer(noisy(octets, 100), "<i2").astype(float)
    assert noisy(octets, 100) == noisy(octets, 100)
    assert samples.max() == 32767
    quiet = np.frombuffer(noisy(bytes(40000), 100), "<i2").astype(float)
    assert (quiet.mean(), quiet.std()) == (pytest.approx(0, abs=3), pytest.approx(100, rel=0.05))


def test_what_is_too_long_is_refused_before_any_work(tmp_path: Path) -> None:
    handle = answer(lambda sound, request: pytest.fail("it was transcribed"))
    request = {"samples": str(spool(tmp_path, tone(500, 17000)).path), "channels": 1, "longest_s": 2}
    assert answer(lambda sound, request: [("a", 1.5)])({**request, "longest_s": 3}) == {"words": [["a", 1.0]]}
    with pytest.raises(PromptError, match="a recording of 2 s; at most 2 s are transcribed"):
        handle(request)


# ---- pocketsphinx -------------------------------------------------------------------------------------------------


def said(folder: Path) -> Any:
    """The sentence as eSpeak NG says it, at 8 kHz."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    path = folder / "said.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "140", "-w", path, SENTENCE], check=True)
    samples, rate_hz = soundfile.read(path)
    return np.round(soxr.resample(samples, rate_hz, 8000).clip(-1, 1) * 32767).astype(np.int16)


def test_pocketsphinx_understands_much_of_what_either_party_says(tmp_path: Path) -> None:
    speech = said(tmp_path)
    answered = ask("pocketsphinx", spool(tmp_path, np.zeros_like(speech), speech))
    understood = {word for word, _ in answered["words"]}
    assert len(WORTH_HEARING & understood) >= 5, understood
    assert all(0 < confidence <= 1 for _, confidence in answered["words"])


def test_pocketsphinx_tells_words_from_ways_to_pronounce_them_and_from_noise() -> None:
    heard = [("<s>", 1.0), ("the(2)", 0.5), ("<sil>", 0.9), ("[NOISE]", 0.9), ("++UH++", 0.9), ("cat", 0.25)]
    segments = [SimpleNamespace(word=word, prob=probability) for word, probability in heard]
    assert list(words(segments)) == [("the", 0.5), ("cat", 0.25)]


@pytest.mark.parametrize("samples", [0, 1, 100, 16000])
def test_pocketsphinx_hears_nothing_in_silence(tmp_path: Path, samples: int) -> None:
    assert ask("pocketsphinx", spool(tmp_path, np.zeros(samples, np.int16))) == {"words": []}


def test_pocketsphinx_decodes_somebody_who_makes_no_pause_in_parts(tmp_path: Path) -> None:
    class Talker:
        frame_length, in_speech = 0.03, True

        def process(self, frame: bytes) -> bytes:
            return frame

    parts = list(utterances((bytes([number % 7]) for number in range(1500)), Talker()))
    assert [len(part) for part in parts] == [667, 667, 166]
    assert b"".join(b"".join(part) for part in parts) == bytes(number % 7 for number in range(1500))


def test_the_process_says_what_is_wrong_with_a_recording(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="FileNotFoundError"):
        ask("pocketsphinx", Sound(tmp_path / "gone.s16", 1))


# ---- a service ----------------------------------------------------------------------------------------------------


class Service(ThreadingHTTPServer):
    """A transcription service: gives `answers` in turn, and keeps what it got."""

    def __init__(self, answers: list[tuple[int, bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.got = answers, list[tuple[str, Mapping[str, str], bytes]]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/text?lang=en"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        service = self.server
        assert isinstance(service, Service)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        service.got.append((self.path, dict(self.headers), body))
        status, answer = service.answers.pop(0)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(*answers: tuple[int, bytes]) -> Generator[Service]:
    with Service(list(answers)) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            thread.join()


WORDS = json.dumps({"words": [{"word": "hello", "confidence": 0.25}, {"word": "zürich"}], "more": 1}).encode()


def test_a_service_gets_the_recording_as_a_wav_file_and_its_words_come_back(tmp_path: Path) -> None:
    sound = spool(tmp_path, tone(500), tone(700))
    with serving((200, WORDS)) as service:
        assert ask("http", sound, url=service.url, key="k1") == {"words": [["hello", 0.25], ["zürich", 1.0]]}
        ((path, headers, body),) = service.got
    assert (path, headers["Content-Type"], headers["Authorization"]) == ("/v1/text?lang=en", "audio/wav", "Bearer k1")
    samples, rate_hz = soundfile.read(io.BytesIO(body), dtype="int16")
    assert rate_hz == 8000
    assert samples.tolist() == (tone(500) + tone(700)).tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["samples.s16"], "the WAV file is gone"


def post(tmp_path: Path, url: str) -> list[tuple[str, float]]:
    """Without the process, and without its pauses."""
    wave = tmp_path / "content"
    request = {"url": url, "key": "", "wave": str(wave)}
    try:
        return list(transcribe_http.transcribe(spool(tmp_path, tone(500)), request, pauses_s=(0, 0)))
    finally:
        assert not wave.exists()


def test_a_plain_text_has_words_that_are_all_certain(tmp_path: Path) -> None:
    with serving((200, b'{"text": " two  words "}')) as service:
        assert post(tmp_path, service.url) == [("two", 1.0), ("words", 1.0)]
        assert "Authorization" not in service.got[0][1]


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([(400, b"")], "status 400"),
        ([(302, b"")], "status 302"),
        ([(200, b"<html>")], "answer: JSON is malformed"),
        ([(200, b"{}")], "neither words nor text"),
        ([(200, b'{"words": [{"word": "a", "confidence": 2}]}')], "confidence"),
        ([(200, b" " * (1024 * 1024 + 1))], "more than 1048576 bytes"),
        ([(503, b""), (502, b""), (429, b"")], "status 429"),
    ],
)
def test_what_is_no_answer_is_told(tmp_path: Path, answers: list[tuple[int, bytes]], why: str) -> None:
    with serving(*answers) as service:
        with pytest.raises(PromptError, match=why):
            post(tmp_path, service.url)
        assert len(service.got) == len(answers), "and asked no more often"


def test_what_passes_is_tried_again(tmp_path: Path) -> None:
    with serving((503, b""), (200, WORDS)) as service:
        assert post(tmp_path, service.url)[0] == ("hello", 0.25)
        assert service.got[0][2] == service.got[1][2]


def test_a_service_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    with serving() as service:
        url = service.url
    with pytest.raises(PromptError, match="does not answer"):
        post(tmp_path, url)


# ---- whisper ------------------------------------------------------------------------------------------------------


class Model:
    """What faster-whisper's model is to us: this shows how it is used, not how it hears."""

    def transcribe(self, audio: Any, **options: Any) -> tuple[Iterator[Any], None]:
        assert (audio.dtype, audio.size, options["word_timestamps"]) == (np.float32, 16000, True)
        first = SimpleNamespace(words=[SimpleNamespace(word=" Hello,", probability=0.5)])
        return iter([first, SimpleNamespace(words=None)]), None


def test_whisper_is_given_16_khz_and_its_words_are_taken(tmp_path: Path) -> None:
    assert list(transcribe_whisper.transcribe(spool(tmp_path, tone(500)), Model())) == [("Hello,", 0.5)]


@pytest.mark.skipif(find_spec("faster_whisper") is not None, reason="shows what happens without the package")
def test_whisper_without_its_package_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="faster_whisper"):
        ask("whisper", spool(tmp_path, tone(500)), model=str(tmp_path))
