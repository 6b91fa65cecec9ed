"""Speak by Amazon Polly, as a worker process (`python -m flexml.engine.speech.polly`).

Polly's API: DescribeVoices and SynthesizeSpeech, through boto3. What a request does not say of region and
credentials comes from where AWS tools look: the environment, the profile, the machine's role. Text goes as text,
not as SSML.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ..errors import PromptError
from ..workers import serve
from .sound import Samples, answer, pcm16

CONNECT_S: Final = 2
READ_S: Final = 5
ATTEMPTS: Final = 2
RATES_HZ: Final = (8000, 16000)
"""The rates at which Polly gives PCM."""


@lru_cache(maxsize=1)
def client(region: str, key_id: str, secret: str, endpoint: str) -> Any:
    """Polly's client. Raises PromptError where there is no region or there are no credentials."""
    session = boto3.Session(
        region_name=region or None, aws_access_key_id=key_id or None, aws_secret_access_key=secret or None
    )
    if not session.region_name:
        raise PromptError("no AWS region is configured")
    if session.get_credentials() is None:
        raise PromptError("no AWS credentials are configured")
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
    )
    return session.client("polly", endpoint_url=endpoint or None, config=config)


def describe(polly: Any) -> dict[str, Any]:
    """All voices: name to language and engines."""
    found: dict[str, Any] = {}
    token: dict[str, str] = {}
    while True:
        page = polly.describe_voices(**token)
        for voice in page["Voices"]:
            found[voice["Id"]] = {"language": voice["LanguageCode"], "engines": voice["SupportedEngines"]}
        if not page.get("NextToken"):
            return {"voices": found}
        token = {"NextToken": page["NextToken"]}


def speak(polly: Any, request: dict[str, Any]) -> tuple[Samples, int]:
    """Say `text` with `voice` by `engine`: samples and their rate."""
    rate_hz = next((rate for rate in RATES_HZ if rate >= request["rate_hz"]), RATES_HZ[-1])
    response = polly.synthesize_speech(
        Text=request["text"],
        TextType="text",
        VoiceId=request["voice"],
        Engine=request["engine"],
        OutputFormat="pcm",
        SampleRate=str(rate_hz),
    )
    with response["AudioStream"] as stream:
        octets = cast("bytes", stream.read())
    return pcm16(octets), rate_hz


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Carry out one request: with a `text`, say it, else tell the voices."""
    try:
        polly = client(*(request[name] for name in ("region", "access_key_id", "secret_access_key", "endpoint")))
        if "text" not in request:
            return describe(polly)
        return answer(lambda wanted: speak(polly, wanted))(request)
    except (BotoCoreError, ClientError) as error:
        raise PromptError(str(error)) from error


if __name__ == "__main__":
    serve(handle)
