"""Voices of Amazon Polly: boto3 against a real HTTP server that speaks Polly's API."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from flexml.engine.speech.polly_voices import PollySettings
from flexml.engine.speech.service import Speech, SpeechSettings

from .polly_endpoint import PollyEndpoint

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from flexml.engine.flexml.verb import Prompt

HELLO = "Hello, you have 123 messages."


@pytest.fixture(autouse=True)
def nothing_of_aws_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No profile, no credentials, and no question to the machine's metadata service."""
    for name in ("REGION", "DEFAULT_REGION", "PROFILE", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


@pytest.fixture
def endpoint() -> Iterator[PollyEndpoint]:
    with PollyEndpoint() as polly:
        yield polly


def settings(polly: PollyEndpoint, *, engine: str = "auto") -> PollySettings:
    return PollySettings(
        region="eu-west-1", access_key_id="AKIATEST", secret_access_key="s3cret", endpoint=polly.url, engine=engine
    )


@contextlib.asynccontextmanager
async def opened(directory: Path, polly: PollySettings) -> AsyncGenerator[Speech]:
    speech = Speech(directory / "speech", SpeechSettings(man="espeak", woman="espeak", polly=polly))
    await speech.start()
    try:
        yield speech
    finally:
        await speech.close()


def size(prompt: Prompt) -> int:
    return Path(prompt.path).stat().st_size


def test_a_voice_of_polly_speaks_by_its_best_engine(tmp_path: Path, endpoint: PollyEndpoint) -> None:
    async def run() -> None:
        async with opened(tmp_path, settings(endpoint)) as speech:
            prompts = [await speech.say(HELLO, voice) for voice in ("Polly.Joanna", "polly.ivy", "Polly.JOANNA")]
            assert [speech.fallback_reason(f"Polly.{name}") for name in ("Joanna", "Ivy")] == ["", ""]
        assert prompts[0] == prompts[2] != prompts[1]
        said = "Hello, you have one hundred twenty-three messages."
        assert prompts[0].duration_ms == pytest.approx(60 * len(said) + 200, abs=5)

    asyncio.run(run())
    assert endpoint.texts == [
        {
            "Text": "Hello, you have one hundred twenty-three messages.",
            "TextType": "text",
            "VoiceId": voice,
            "Engine": engine,
            "OutputFormat": "pcm",
            "SampleRate": "8000",
        }
        for voice, engine in (("Joanna", "neural"), ("Ivy", "standard"))
    ]
    assert endpoint.described == 2  # pages, once
    assert all("Credential=AKIATEST/" in text and "/eu-west-1/polly/" in text for text in endpoint.authorizations)


def test_the_engine_can_be_chosen_and_the_rate_is_the_callers(tmp_path: Path, endpoint: PollyEndpoint) -> None:
    async def run() -> None:
        async with opened(tmp_path, settings(endpoint, engine="standard")) as speech:
            prompts = [await speech.say("Hi.", "Polly.Joanna", rate) for rate in (8000, 16000, 48000)]
        assert {round(prompt.duration_ms, -1) for prompt in prompts} == {380}
        assert [size(prompt) // 2 * 1000 // prompt.rate_hz for prompt in prompts] == [
            prompt.duration_ms for prompt in prompts
        ]

    asyncio.run(run())
    assert [(text["Engine"], text["SampleRate"]) for text in endpoint.texts] == [
        ("standard", "8000"),
        ("standard", "16000"),
        ("standard", "16000"),
    ]


def test_another_language_reads_its_own_numbers_and_markup_stays_text(tmp_path: Path, endpoint: PollyEndpoint) -> None:
    async def run() -> None:
        async with opened(tmp_path, settings(endpoint)) as speech:
            await speech.say("Sie haben 123 <b>Nachrichten</b> & mehr", "Polly.Hans")

    asyncio.run(run())
    (text,) = endpoint.texts
    assert (text["Text"], text["TextType"]) == ("Sie haben 123 <b>Nachrichten</b> & mehr", "text")


@pytest.mark.parametrize(
    ("voice", "reason"),
    [
        ("Polly.Nobody", 'Amazon Polly has no voice "nobody"'),
        ("Polly.Patrick", "Amazon Polly's Patrick has no neural or standard engine"),
        ("bob", 'there is no voice "bob"'),
    ],
)
def test_a_voice_that_does_not_exist_is_the_default_one_and_it_is_said_why(
    tmp_path: Path, endpoint: PollyEndpoint, voice: str, reason: str
) -> None:
    async def run() -> None:
        async with opened(tmp_path, settings(endpoint)) as speech:
            assert await speech.say(HELLO, voice) == await speech.say(HELLO, "man")
            assert speech.fallback_reason(voice) == reason
            assert speech.fallback_reason("man") == ""

    asyncio.run(run())
    assert endpoint.texts == []


def test_without_region_or_credentials_the_default_voice_speaks(tmp_path: Path) -> None:
    async def run() -> None:
        for polly, reason in (
            (PollySettings(), "Amazon Polly: no AWS region is configured"),
            (PollySettings(region="eu-west-1"), "Amazon Polly: no AWS credentials are configured"),
        ):
            async with opened(tmp_path, polly) as speech:
                assert await speech.say(HELLO, "Polly.Joanna") == await speech.say(HELLO)
                assert speech.fallback_reason("Polly.Joanna") == reason
                assert await speech.say(HELLO, "Polly.Joanna") == await speech.say(HELLO)
                assert len(speech.pids) == 1  # espeak's

    asyncio.run(run())


def test_polly_is_asked_for_its_voices_before_they_are_needed(tmp_path: Path, endpoint: PollyEndpoint) -> None:
    async def run() -> None:
        async with opened(tmp_path, settings(endpoint)) as speech:
            assert await asyncio.to_thread(endpoint.asked.wait, 20)
            assert speech.fallback_reason("Polly.Joanna") == ""

    asyncio.run(run())
    assert endpoint.texts == []


def test_a_refusal_makes_another_voice_speak_until_polly_does_again(tmp_path: Path, endpoint: PollyEndpoint) -> None:
    async def run() -> None:
        async with opened(tmp_path, settings(endpoint)) as speech:
            endpoint.failing = (400, "TextLengthExceededException")
            assert await speech.say(HELLO, "Polly.Joanna") == await speech.say(HELLO)
            assert "TextLengthExceededException" in speech.fallback_reason("Polly.Joanna")
            endpoint.failing = None
            assert await speech.say(HELLO, "Polly.Joanna") != await speech.say(HELLO)
            assert speech.fallback_reason("Polly.Joanna") == ""

    asyncio.run(run())


def test_polly_is_left_alone_for_a_while_after_several_failures(tmp_path: Path, endpoint: PollyEndpoint) -> None:
    async def run() -> None:
        async with opened(tmp_path, settings(endpoint)) as speech:
            endpoint.failing = (400, "ServiceFailureException")
            for number in range(6):
                await speech.say(f"Text {number}.", "Polly.Joanna")
                assert "ServiceFailureException" in speech.fallback_reason("Polly.Joanna")

    asyncio.run(run())
    assert len(endpoint.texts) == 3


def test_what_polly_said_is_kept_and_not_paid_for_again(tmp_path: Path, endpoint: PollyEndpoint) -> None:
    async def run() -> None:
        for _ in range(2):
            async with opened(tmp_path, settings(endpoint)) as speech:
                await asyncio.gather(*(speech.say(HELLO, "Polly.Joanna") for _ in range(5)))
                await speech.whole("One. Two. One.", "Polly.Joanna")

    asyncio.run(run())
    assert sorted(text["Text"] for text in endpoint.texts)[1:] == ["One.", "Two."]
