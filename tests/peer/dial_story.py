"""Dials on the wire: a telephone calls the engine, which dials parties played by SIPp or by a script.

`on_dial` gives a test its dial. The dials of a module run at the same time, before its first test looks at its own:
they take as long as the longest of them. What holds for all of them is checked with each: the conversation with a
party is as RFC 3261 has it, and the status callback comes once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Protocol, TypeVar

import pytest
from called import Called, Script
from engine_process import EngineProcess
from flexml_app import Answer, Line, Received, Reply
from g711 import Samples
from hearing import ringback_s, tones
from phone import Ending, Phone, Talk
from ports import free_port
from sipp import Message
from sounds import tone
from uac_rules import faults
from uas import Uas

Test = TypeVar("Test", bound=Callable[..., Any])
Acts = tuple[tuple[float, Callable[[Phone], None]], ...]
"""What a caller does, at seconds after the INVITE."""

CALLER_HZ: Final = 1000
"""What the caller says, all the time."""
PARTY_HZ: Final = 700
"""What a scripted party says as soon as it listens. SIPp echoes what it hears."""
RINGBACK_HZ: Final = (450, 500)
"""What `tones` makes of 440 and 480 Hz together, in pieces."""
SPOKEN_S: Final = 40.0
ASKED_HZ: Final = 600
TONE_AFTER: Final = MappingProxyType({"dialled": f"<Play>/sounds/tone-{ASKED_HZ}-500.wav</Play><Hangup/>"})
"""What to serve for half a second of a tone after the dial, to whoever is still there."""
ANSWERED: Final = "<Dtmf>,</Dtmf>"
"""A document that begins so answers the call, half a second before it goes on."""


class Party(Protocol):
    """Who is dialled."""

    @property
    def port(self) -> int: ...

    @property
    def uri(self) -> str: ...

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def done(self) -> tuple[Message, ...]: ...


class Nobody:
    """A port where nobody listens."""

    def __init__(self) -> None:
        self.port = free_port()

    @property
    def uri(self) -> str:
        return f"sip:nobody@127.0.0.1:{self.port}"

    def __enter__(self) -> Nobody:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def done(self) -> tuple[Message, ...]:
        return ()


@dataclass(frozen=True)
class Trunk:
    """How the number goes to a party: lines of configuration, and the transport."""

    lines: str = ""
    transport: str = "udp"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A dial: who is called (SIPp's steps, a script, or None for nobody), and what the document and the caller do.

    With `trunks`, a number is called instead of SIP URIs, and goes by trunks, one to each party, in that order.
    """

    parties: tuple[str | Script | None, ...]
    dial: str = ""
    before: str = ""
    serve: Mapping[str, Reply] = field(default_factory=dict[str, Reply])
    trunks: tuple[Trunk, ...] = ()
    caller: Acts = ()


def on_dial(*parties: str | Script | None, caller: Acts = (), **wishes: Any) -> Callable[[Test], Test]:
    """Have the test's `story` fixture be the dial of `Plan(parties=parties, caller=caller, **wishes)`."""
    plan = Plan(parties=parties, caller=caller, **wishes)

    def give(test: Test) -> Test:
        test.__dict__["story"] = plan
        return test

    return give


class Story:
    """A plan on the wire."""

    def __init__(self, plan: Plan, line: Line, folder: Path) -> None:
        self.plan, self.line = plan, line
        self.parties = [_party(each, folder / f"{line.number}-{index}") for index, each in enumerate(plan.parties)]
        uris = "".join(f"<Number>{each.uri}</Number>" for each in self.parties)
        numbers = line.number if plan.trunks else uris
        line.serve(f'{plan.before}<Dial action="dialled" {plan.dial}>{numbers}</Dial>')
        for at, reply in {"dialled": "<Hangup/>", "status": Answer(status=204), **plan.serve}.items():
            line.serve(reply, at=at)

    def configuration(self) -> str:
        """Sections for the trunks of the plan; only the number of this story takes them."""
        return "".join(
            f'\n[[trunk]]\nname = "{self.line.number}-{index}"\n'
            f'uri = "sip:127.0.0.1:{party.port};transport={trunk.transport}"\n'
            f'prefixes = ["{self.line.number}"]\n{trunk.lines}\n'
            for index, (party, trunk) in enumerate(zip(self.parties, self.plan.trunks, strict=False))
        )

    def failure(self, index: int) -> str:
        """What failed last on a trunk."""
        assert self.status
        states = {one["name"]: one for one in self.engine.trunks()}
        return states[f"{self.line.number}-{index}"]["failure"]

    def begin(self, engine: EngineProcess) -> None:
        self.engine = engine
        self.phone = Phone(engine.target, self.line.number)
        self.phone.rtp.speak(tone(CALLER_HZ, SPOKEN_S))
        for at, act in self.plan.caller:
            self.phone.later(at, act)
        self._talk = Talk(self._call)
        self.phone.__enter__()
        self._talk.start()

    def _call(self) -> Ending:
        try:
            return self.phone.call()
        finally:
            self.ended_at = time.monotonic()

    def close(self) -> None:
        self._talk.join()
        self.phone.__exit__(None, None, None)

    # ---- what the caller had of it ------------------------------------------------------------------------------

    @property
    def ending(self) -> Ending:
        """How the caller's call ended. Waits for that."""
        return self._talk.result()

    @property
    def responses(self) -> list[int]:
        """The responses to the caller's INVITE, but for 100."""
        assert self.ending
        answers = [one for _, one in self.phone.sip if one.header("CSeq") == "1 INVITE"]
        return [status for one in answers if (status := int(one.start.split()[1])) > 100]

    @property
    def steps(self) -> list[tuple[int, float]]:
        """The tones that the caller heard, but for ringback: frequency, and for how long."""
        assert self.ending
        return steps(self.phone.rtp.heard())

    @property
    def ringback_s(self) -> float:
        """For how long the caller heard ringback."""
        assert self.ending
        return ringback_s(self.phone.rtp.heard())

    # ---- what the application was told --------------------------------------------------------------------------

    @property
    def told(self) -> Received:
        """The one request for the dial's action."""
        assert self.ending
        (request,) = self.line.wait_for("dialled")
        return request

    @property
    def outcome(self) -> tuple[object, object, object]:
        """What the action was told: status, duration, and which party it was, by its place."""
        data = self.told.data
        uris = [party.uri for party in self.parties]
        number = str(data["DialedNumber"])
        return data["CallStatus"], data["DialCallDuration"], uris.index(number) if number in uris else number

    @property
    def status(self) -> object:
        """The `CallStatus` of the status callback."""
        assert self.ending
        return self.line.final_status().data["CallStatus"]

    @property
    def timeline(self) -> list[tuple[str, dict[str, Any]]]:
        """What the engine noted of the call: what, and details. Complete once the callback is out."""
        assert self.status
        with self.engine.database() as database:
            sid = str(self.line.requests()[0].data["CallSid"])
            rows = database.execute("SELECT what, details FROM timeline WHERE call = ? ORDER BY id", (sid,))
            return [(str(row["what"]), json.loads(row["details"])) for row in rows]

    # ---- what the parties had of it -----------------------------------------------------------------------------

    def said(self, party: int = 0) -> tuple[Message, ...]:
        """The whole conversation with a party, which must be as RFC 3261 has it."""
        said = self.parties[party].done()
        assert faults(said) == [], [message.start for message in said]
        return said

    def asked(self, party: int = 0) -> list[str]:
        """The methods of the requests that a party got."""
        return [message.start.split()[0] for message in self.said(party) if _came(message)]

    def called(self, party: int = 0) -> Called:
        """A scripted party, when it is through."""
        found = self.parties[party]
        assert isinstance(found, Called)
        assert found.done()
        return found

    def party_steps(self, party: int = 0) -> list[tuple[int, float]]:
        """The tones that a scripted party heard."""
        return steps(self.called(party).rtp.heard())


def steps(audio: Samples) -> list[tuple[int, float]]:
    """The tones in `audio`, but for ringback: frequency, and for how long."""
    return [(span.hz, span.length) for span in tones(audio) if span.hz not in RINGBACK_HZ]


def of(hz: int, found: list[tuple[int, float]]) -> float:
    """For how long that tone was heard, in however many pieces."""
    return sum(length for one, length in found if one == hz)


def about(seconds: float) -> object:
    """So many seconds, as exactly as a peer can tell."""
    return pytest.approx(seconds, abs=0.3)


def _came(message: Message) -> bool:
    return not message.sent and not message.start.startswith("SIP/")


def _party(plan: str | Script | None, folder: Path) -> Party:
    if plan is None:
        return Nobody()
    if isinstance(plan, str):
        return Uas(folder, plan)
    called = Called(plan)
    called.rtp.speak(tone(PARTY_HZ, SPOKEN_S))
    return called
