"""A stage for whole calls in virtual time: all of the engine that calls go through, between doubles at its seams, and a
look at what each call has left behind.

`sweep` plays one call again and again, each time with something happening one turn of the loop later: a hang-up, the
death of the worker, a request of the API. A turn is the least that can lie between two things that happen.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from flexml.codecs.catalog import PCMU
from flexml.engine.call import Call
from flexml.engine.call_services import Services
from flexml.engine.config import Trunk
from flexml.engine.db import Database
from flexml.engine.dial import Destination
from flexml.engine.exchange import Caller, Exchange
from flexml.engine.flexml.interpreter import Application
from flexml.engine.flexml.request import CallFacts
from flexml.engine.leg import Leg, LegSettings
from flexml.engine.lives import Case, Lives
from flexml.engine.media_client import MediaClient
from flexml.engine.messages import Messages
from flexml.engine.outbox import Outbox
from flexml.engine.outgoing import OutboundCall
from flexml.engine.party import Party
from flexml.engine.ports import PortPool
from flexml.engine.records import Account
from flexml.engine.registry import Registry
from flexml.engine.sip.events import Invited
from flexml.engine.sip.trunks import Trunks
from flexml.engine.timeline import Timeline

from . import fakes_sip, virtual_time
from .fakes_sip import OFFER
from .stage_fakes import CALLER, App, Books, Network, Recordings, Script, Sounds, Worker

PORTS: Final = 10
SID: Final = "00000000-0000-4000-8000-000000000001"
STATUS_URL: Final = "http://app/status"
LONG_S: Final = 3600.0
"""By then every call is over."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """A call: its documents by name, `start` first; what whoever is called does; the keys that the caller presses.

    With `called` it is a call of ours to that target.
    """

    pages: Mapping[str, str]
    script: Mapping[str, Script] = field(default_factory=dict[str, Script])
    keys: Script = ()
    called: str = ""


class Stage:
    """What the call of a story goes through. The methods of `ACTS` are what may happen to it."""

    def __init__(self, story: Story) -> None:
        self.story, self.books, self.recordings, sounds = story, Books(), Recordings(), Sounds()
        self.registry, self.client, self.ports = Registry(), MediaClient(), PortPool(20000, 20000 + 2 * PORTS - 1)
        self.network = Network(self.registry, story.script)
        self.network.press = self._press
        self.app = App({f"http://app/{name}": verbs for name, verbs in story.pages.items()})
        self.worker = Worker(self.client)
        self.settings = LegSettings(address="127.0.0.1", advertised="127.0.0.1", codecs=(PCMU,))
        exchange = Exchange(
            agent=self.network, dialogs=self.registry, settings=self.settings, ports=self.ports, media=self.client,
            trunks=Trunks(()), region="US", clock=lambda: 0.0,
        )  # fmt: skip
        messages = Messages(
            agent=self.network, fetcher=self.app, trunks=[Trunk(name="t", uri="sip:c")],
            route_of=lambda _: "trunk:t", region="US", host="us",
        )  # fmt: skip
        self.services = Services(
            agent=self.network, speak=sounds.speak, audio=sounds, recordings=self.recordings,
            note=self.books.note, exchange=exchange, messages=messages, music_url="http://app/music.wav",
        )  # fmt: skip
        self.lives = Lives(
            registry=self.registry, agent=self.network, fetcher=self.app, outbox=cast("Outbox", self.books),
            database=cast("Database", self.books), timeline=cast("Timeline", self.books),
        )  # fmt: skip
        self.acting: list[asyncio.Future[Any]] = []

    def begin(self) -> None:
        """Let the call come, or be placed."""
        self.call = self.place(self.story.called) if self.story.called else self._invited()
        at_s = 0.0
        for after_s, key in self.story.keys:
            at_s += after_s
            asyncio.get_running_loop().call_later(at_s, self.network.does, self.call, key)

    def place(self, target: str, sid: str = SID) -> Call:
        """Place a call of ours."""
        call = OutboundCall(
            destination=Destination(target=target), timeout_s=20.0, too_late=False, sid=sid, services=self.services,
            account="a1",
        )  # fmt: skip
        self._live(call)
        return call

    def _invited(self) -> Call:
        call = Call(sid=SID, dialog=CALLER, services=self.services, account="a1")
        self.network.live[CALLER] = "caller"

        def admit(_: Invited) -> Call:
            leg = Leg(self.settings, self.ports, self.client, call.media)
            leg.begin_to_open()
            call.media.attach(leg)
            self._live(call)
            return call

        self.registry.admit = admit
        self.registry.on_event(
            Invited(
                dialog=CALLER, request_uri="sip:1@us", from_uri="sip:2@us", to_uri="sip:1@us", call_id="x",
                headers=(), offer=OFFER, source="127.0.0.1:5060", transport="udp",
            )
        )  # fmt: skip
        call.on_offer(OFFER)
        return call

    def _live(self, call: Call) -> None:
        call.status_callback_url = STATUS_URL
        call.outward.caller = Caller(number="15162065338")
        facts = CallFacts(
            sid=call.sid, direction="inbound" if call.inbound else "outbound", from_="15162065338", to="15550001000",
            original_from="15162065338", original_to="15550001000",
        )  # fmt: skip
        account = Account(sid="a1", login="a", password_hash="")
        application = Application(url="http://app/start", error_handler="none")
        self.lives.begin(call, Case(account=account, application=application, facts=facts))

    def _press(self, dialog: int, key: str) -> None:
        who = self.registry.calls.get(dialog)
        listener = who if isinstance(who, Party) else self.call.media
        if key == "heard":
            listener.on_heard("127.0.0.1", 9)
        else:
            listener.on_digit(key, "rfc4733")

    # ---- what may happen ----------------------------------------------------------------------------------------

    def hang_up(self) -> None:
        """The peer ends the call."""
        self.network.end(self.call.dialog)

    def delete(self) -> None:
        """The API ends the call."""
        if (call := self.lives.find(SID)) is not None:
            call.end()

    def move(self) -> None:
        """The API moves the call to another document."""
        self.acting.append(asyncio.ensure_future(self.lives.move(SID, url="http://app/moved", method="POST")))

    def stop(self) -> None:
        """The engine is stopped."""
        self.acting.append(asyncio.ensure_future(self.lives.drain(10.0)))

    def worker_dies(self) -> None:
        """The media worker dies, and is replaced."""
        self.worker.die()
        asyncio.get_running_loop().call_later(0.1, self.worker.replace)

    def others_hang_up(self) -> None:
        """Whoever else is rung or talked with refuses, or hangs up."""
        for dialog in [dialog for dialog in self.network.live if dialog != self.call.dialog]:
            self.network.end(dialog)

    # ---- what is left -------------------------------------------------------------------------------------------

    def told(self, page: str) -> list[Mapping[str, object]]:
        """What the application has been told at that page, by requests and by callbacks."""
        url = f"http://app/{page}"
        return [data for asked, data in (*self.app.asked, *self.books.callbacks) if asked == url]

    def left(self) -> list[str]:
        """What is wrong once the call is over."""
        books, recordings, (link,) = self.books, self.recordings, self.client.workers
        rows = [row for row in books.saved if row.state == "ended"]
        statuses = [data["CallStatus"] for url, data in books.callbacks if url == STATUS_URL]
        verbs = Counter(data["name"] for data in books.noted("verb"))
        checks: dict[str, tuple[object, object]] = {
            "calls": (len(self.lives), 0),
            "free ports": (len(self.ports), PORTS),
            "legs": (link.legs, {}),
            "legs in the worker": (self.worker.legs, set()),
            "dialogs": (self.network.live, {}),
            "dialogs in the registry": (len(self.registry), 0),
            "rows of the end": (len(rows), 1),
            "last row": (books.saved[-1:], rows),
            "status callbacks": (statuses, [row.status for row in rows]),
            "answered": (self.call.answered, statuses == ["completed"]),
            "ends noted": (len(books.noted("call over")), 1),
            "recordings": (recordings.finished, Counter(recordings.begun)),
            "verbs that ended": (Counter(data["name"] for data in books.noted("verb ended")), verbs),
            "errors": ([what for what, _ in books.notes if "error" in what or what == "the call cannot go on"], []),
            "what the worker could not do": (self.worker.wrong, []),
            "final messages to the caller": (self.network.finals(CALLER)[1:], []),
            "actions": (len(self.told("next")), self._actions(verbs)),
        }
        return [f"{what}: {found}, not {right}" for what, (found, right) in checks.items() if found != right]

    def _actions(self, verbs: Mapping[object, int]) -> int:
        """How often the action is to be told: once, be it as a callback; by a call that was moved at most once."""
        found = min(1, len(self.told("next")))
        tells = verbs["Dial"] or verbs["Amd"] or (verbs["Record"] and self.recordings.begun)
        is_due = tells and 'action="next"' in self.story.pages["start"] and not self.books.noted("moved")
        return 1 if is_due else found


class _Errors(logging.Handler):
    """Keeps what the log and the loop say of errors."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


def play(story: Story, acts: Mapping[int, str]) -> tuple[int, list[str]]:
    """Play a call with what happens at those turns: how many turns it took until it was over, and what is wrong."""
    errors, turns = _Errors(), 0

    async def main() -> None:
        nonlocal turns
        loop = cast("virtual_time.VirtualTimeLoop", asyncio.get_running_loop())
        loop.set_exception_handler(lambda _, context: errors.texts.append(repr(context)))
        stage = Stage(story)
        stage.begin()
        for turn, act in acts.items():
            loop.at_turn(turn, getattr(stage, act))
        while len(stage.lives) and loop.time() < LONG_S:  # noqa: ASYNC110
            await asyncio.sleep(1)
        turns = loop.turns
        await asyncio.sleep(LONG_S)
        errors.texts += stage.left()
        stage.worker.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        errors.texts += [f"a task is left: {task}" for task in others]

    logging.getLogger().addHandler(errors)
    try:
        fakes_sip.run(main())
        gc.collect(0)  # tasks whose exceptions nobody has seen
    finally:
        logging.getLogger().removeHandler(errors)
    return turns, errors.texts


def sweep(story: Story, acts: Sequence[str]) -> list[str]:
    """Play a call once for every turn that it takes, with `acts` from that turn on, a turn apart; what is wrong."""
    turns, wrong = play(story, {})
    failures = [f"alone: {what}" for what in wrong]
    for turn in range(1, turns + 1):
        _, wrong = play(story, {turn + number: act for number, act in enumerate(acts)})
        failures += [f"turn {turn}: {what}" for what in wrong]
    return failures
