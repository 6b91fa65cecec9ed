"""Which attribute is shown on the wire by which test: `shows` says it, `test_attributes` compares it with the verbs.

`on_call` gives a test its call. The calls of a module run beside each other, before its first test looks at its own:
they take as long as they take on the phone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from callee import Callee, Conduct
from engine_process import EngineProcess
from flexml_app import Answer, Line, Received, Reply
from g711 import Codec, Samples
from hearing import Span, between, tones, utterances
from phone import Ending, Phone, Talk

Test = TypeVar("Test", bound=Callable[..., Any])

BETWEEN_CALLS_S: Final = 0.1
"""All at once, they keep each other waiting: what is timed then is the machine."""
FLEXML: Final = Path(sys.executable).parent / "flexml"

SHOWN: Final[dict[str, list[str]]] = {}
"""By element and attribute (`Play.loop`), or by element (`Hangup`): the tests that show its effect."""


def shows(*names: str) -> Callable[[Test], Test]:
    """Say that the test shows the effect of these attributes: it would fail without them."""

    def enter(test: Test) -> Test:
        for name in names:
            SHOWN.setdefault(name, []).append(test.__name__)
        return test

    return enter


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A call: what the application answers, and what the caller does. Times in seconds since the first audio.

    `parties` are there to be called; where the document says `{name}`, the URI of that one stands.
    """

    document: str | Callable[[EngineProcess], str | Answer]
    serve: Mapping[str, Reply] = field(default_factory=dict[str, Reply])
    keys: tuple[tuple[float, str], ...] = ()
    keys_after_sound: tuple[tuple[float, str], ...] = ()
    """The same from the first sound on: synthesised speech may be a while in coming."""
    speech: tuple[tuple[float, Samples], ...] = ()
    hang_up_at: float | None = None
    codec: Codec = 0
    longest_s: float = 45.0
    parties: Mapping[str, Conduct] = field(default_factory=dict[str, Conduct])


def on_call(document: str | Callable[[EngineProcess], str | Answer], **wishes: Any) -> Callable[[Test], Test]:
    """Have the test's `call` fixture be the call of `Scenario(document=..., **wishes)`."""
    scenario = Scenario(document=document, **wishes)

    def give(test: Test) -> Test:
        test.__dict__["call"] = scenario
        return test

    return give


class Call:
    """A scenario on the wire."""

    def __init__(self, scenario: Scenario, engine: EngineProcess, line: Line) -> None:
        self.line, self.engine = line, engine
        self._parties = {name: Callee(name, conduct, engine.target) for name, conduct in scenario.parties.items()}
        document = scenario.document
        line.serve(self._named(document if isinstance(document, str) else document(engine)))
        for at, reply in {"next": "<Hangup/>", **scenario.serve}.items():
            line.serve(reply, at=at)
        self.phone = Phone(engine.target, line.number, codec=scenario.codec, longest_s=scenario.longest_s)
        for at, digits in scenario.keys:
            self.phone.rtp.press(digits, at)
        for after, digits in scenario.keys_after_sound:
            self.phone.rtp.press_after_sound(digits, after)
        for at, samples in scenario.speech:
            self.phone.rtp.speak(samples, at)
        self._talk = Talk(lambda: self.phone.call(scenario.hang_up_at))

    def _named(self, document: str | Answer) -> str | Answer:
        """The document, with the parties' URIs in it."""
        if isinstance(document, str):
            for name, party in self._parties.items():
                document = document.replace(f"{{{name}}}", party.uri)
        return document

    def begin(self) -> None:
        for party in self._parties.values():
            party.__enter__()
        self.phone.__enter__()
        self._talk.start()

    def close(self) -> None:
        self._talk.join()
        self.phone.__exit__(None, None, None)
        for party in self._parties.values():
            party.__exit__(None, None, None)

    def party(self, name: str) -> Callee:
        """A called party, when the caller's call is over."""
        assert self.ending
        return self._parties[name]

    @property
    def ending(self) -> Ending:
        """How the call ended. Waits for that."""
        return self._talk.result()

    @property
    def heard(self) -> Samples:
        assert self.ending
        return self.phone.rtp.heard()

    @property
    def tones(self) -> list[Span]:
        """The tones that were heard."""
        return tones(self.heard)

    @property
    def steps(self) -> list[tuple[int, float]]:
        """The tones that were heard: frequency, and for how long."""
        return [(span.hz, span.length) for span in self.tones]

    @property
    def utterances(self) -> list[tuple[float, float]]:
        return utterances(self.heard)

    def between(self, start: float, end: float) -> Samples:
        return between(self.heard, start, end)

    @property
    def keys(self) -> str:
        """The keys that the engine has pressed."""
        assert self.ending
        return "".join(key.key for key in self.phone.rtp.heard_keys())

    @property
    def marks(self) -> list[float]:
        """When each key began that the engine has pressed: documents use keys to mark a moment."""
        assert self.ending
        return [key.start for key in self.phone.rtp.heard_keys()]

    def asked(self, at: str = "next") -> Received:
        """The one request for `at`."""
        assert self.ending
        (received,) = self.line.wait_for(at)
        return received

    @property
    def timeline(self) -> list[tuple[str, dict[str, Any]]]:
        """What the timeline says of the call when it is over: what, and details."""
        sid = str(self.line.final_status().data["CallSid"])
        command = [FLEXML, "timeline", "--json", "--config", self.engine.config_path, sid]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return [(entry["what"], entry["details"]) for entry in json.loads(done.stdout)["timeline"]]

    def not_asked(self, at: str) -> bool:
        """True if the call is over, its status callback there, and nobody has asked for `at`."""
        assert self.ending
        self.line.final_status()
        return not self.line.requests(at)
