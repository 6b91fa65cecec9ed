"""Transcribe with pocketsphinx, as a worker process (`python -m flexml.engine.speech.transcribe_sphinx`).

Its package brings a model of American English for 16 kHz along. Speech is found by its own detector and decoded an
utterance at a time, so that neither memory nor the search grows with the recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final

import pocketsphinx

from ..workers import serve
from .transcribe_sound import Sound, Words, answer, noisy

RATE_HZ: Final = 16000
LONGEST_UTTERANCE_S: Final = 20.0
"""Who makes no pause for so long is decoded in parts."""
SILENCE_S: Final = 0.6
"""Appended, so that the detector sees the end of the last word."""
NOISE: Final = 100.0
"""Added to speech, of 32768: telephone audio has nothing above 4 kHz, and the model takes nothing for something."""
NO_WORDS: Final = ("<", "[", "+")
"""What marks of silence and noise begin with."""


def transcribe(sound: Sound, decoder: Any, detector: Any) -> Words:
    """The words of all utterances. `decoder` and `detector` are pocketsphinx's Decoder and a new Endpointer."""
    for utterance in utterances(frames(sound, detector.frame_bytes), detector):
        decoder.start_utt()
        decoder.process_raw(noisy(b"".join(utterance), NOISE), full_utt=True)
        decoder.end_utt()
        if decoder.hyp() is not None:
            yield from words(decoder.seg())


def frames(sound: Sound, octets: int) -> Iterator[bytes]:
    """The sound at 16 kHz and a little silence, in pieces of exactly so many octets."""
    rest = b""
    for block in sound.at(RATE_HZ):
        rest += block.astype("<i2").tobytes()
        whole = len(rest) - len(rest) % octets
        yield from (rest[at : at + octets] for at in range(0, whole, octets))
        rest = rest[whole:]
    rest += bytes(2 * round(SILENCE_S * RATE_HZ))
    yield from (rest[at : at + octets] for at in range(0, len(rest) - octets + 1, octets))


def utterances(frames: Iterable[bytes], detector: Any) -> Iterator[list[bytes]]:
    """The frames in which somebody speaks, from one pause to the next."""
    most = round(LONGEST_UTTERANCE_S / detector.frame_length)
    utterance: list[bytes] = []
    for frame in frames:
        speech = detector.process(frame)
        if speech is not None:
            utterance.append(speech)
        if utterance and (speech is None or not detector.in_speech or len(utterance) >= most):
            yield utterance
            utterance = []
    if utterance:
        yield utterance


def words(segments: Iterable[Any]) -> Words:
    """What was said, without silence and noise; `the(2)` is a way to pronounce `the`."""
    for segment in segments:
        if not segment.word.startswith(NO_WORDS):
            yield segment.word.partition("(")[0], float(segment.prob)


@cache
def decoder() -> Any:
    """The one of this process: loading the model takes half a second."""
    return pocketsphinx.Decoder(samprate=RATE_HZ, loglevel="FATAL")


def main() -> None:
    """Be a worker."""
    serve(
        answer(lambda sound, request: transcribe(sound, decoder(), pocketsphinx.Endpointer(sample_rate=RATE_HZ)))
    )  # fmt: skip


if __name__ == "__main__":
    main()
