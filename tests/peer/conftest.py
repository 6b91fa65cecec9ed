"""Fixtures of the peer tests: a real FlexML application, the real engine, SIPp, an RTP endpoint, baresip.

One engine serves the whole session; each test has a number of its own, so that tests do not see each other.
"""

import gc
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the harness modules lie beside this file

from attribute_table import BETWEEN_CALLS_S, Call, Scenario
from baresip import Baresip
from clouds import Clouds, clouds_missing
from dial_stories import Stories
from dial_story import Plan, Story
from engine_process import EngineProcess, tracebacks
from flexml_app import Answer, Application, Line
from rtp_endpoint import RtpEndpoint
from sipp import Sipp

Wanted = TypeVar("Wanted")

FIRST_NUMBER = 15550001000
NUMBERS = [str(FIRST_NUMBER + offset) for offset in range(900)]


@pytest.fixture(scope="module", autouse=True)
def nothing_old_is_collected() -> None:
    """Keep what thousands of tests have left in this process out of collections while its phones play and listen.

    To go through all of it takes 0.4 s, in which every phone is silent and deaf: a gap in several calls at once.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def application() -> Iterator[Application]:
    with Application() as application:
        yield application


@pytest.fixture(scope="session")
def dids(application: Application) -> Mapping[str, str]:
    return {number: application.url(f"/{number}/") for number in NUMBERS}


@pytest.fixture(scope="session")
def engine_session(
    application: Application, dids: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EngineProcess]:
    application.serve("/messages", Answer(status=202))
    engine = EngineProcess(tmp_path_factory.mktemp("engine"), dids, sms_route=application.url("/messages"))
    engine.start()
    yield engine
    assert engine.stop() == 0, engine.log()[-4000:]


@pytest.fixture(scope="session")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    """Emulators of the three clouds; the test is skipped where they are not installed."""
    if missing := clouds_missing():
        pytest.skip(missing)
    with Clouds(tmp_path_factory.mktemp("clouds")) as clouds:
        yield clouds


@pytest.fixture(scope="session")
def cloud_engine(
    dids: Mapping[str, str], clouds: Clouds, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EngineProcess]:
    """An engine that has the emulators for its clouds, and logs all it can."""
    folder = tmp_path_factory.mktemp("cloud-engine")
    engine = EngineProcess(folder, dids, storage=clouds.settings, extra='[log]\nlevel = "debug"\n')
    engine.start()
    yield engine
    assert engine.stop() == 0, engine.log()[-4000:]


@pytest.fixture
def engine(engine_session: EngineProcess) -> Iterator[EngineProcess]:
    """The engine, which must not raise anything unforeseen during the test."""
    start = engine_session.log_path.stat().st_size
    yield engine_session
    assert tracebacks(engine_session.log(start)) == []


@pytest.fixture(scope="session")
def free_numbers() -> Iterator[str]:
    return iter(NUMBERS)


@pytest.fixture
def line(application: Application, free_numbers: Iterator[str]) -> Line:
    number = next(free_numbers)
    line = Line(number, application)
    application.serve(line.path("status"), Answer(status=204))
    return line


@pytest.fixture(scope="module")
def calls(
    request: pytest.FixtureRequest,
    application: Application,
    engine_session: EngineProcess,
    free_numbers: Iterator[str],
) -> Iterator[Mapping[str, Call]]:
    """The calls of all tests of the module that are to run, begun one soon after the other; by the test's id."""
    start = engine_session.log_path.stat().st_size
    found: dict[str, Call] = {}
    with ExitStack() as ends:
        for item in request.session.items:
            if item.path == request.path and (scenario := _of_test(item, "call", Scenario)):
                line = Line(next(free_numbers), application)
                application.serve(line.path("status"), Answer(status=204))
                call = found[item.nodeid] = Call(scenario, engine_session, line)
                call.begin()
                ends.callback(call.close)
                time.sleep(BETWEEN_CALLS_S)
        yield found
    assert tracebacks(engine_session.log(start)) == []


@pytest.fixture
def call(request: pytest.FixtureRequest, calls: Mapping[str, Call]) -> Call:
    """The test's own call: that of `on_call`, or of its parameter `call`."""
    return calls[request.node.nodeid]


def _of_test(item: pytest.Item, name: str, kind: type[Wanted]) -> Wanted | None:
    """What a decorator gave the test, or its parameter of that name."""
    assert isinstance(item, pytest.Function)
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    found = parameters.get(name) or item.function.__dict__.get(name)
    return found if isinstance(found, kind) else None


@pytest.fixture(scope="module")
def stories(
    request: pytest.FixtureRequest,
    application: Application,
    free_numbers: Iterator[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stories]:
    """The dials of all tests of the module that are to run, begun at the same time; by the test's id."""
    need("sipp")
    folder, made = tmp_path_factory.mktemp("stories"), dict[str, Story]()
    for item in request.session.items:
        if item.path == request.path and (plan := _of_test(item, "story", Plan)):
            made[item.nodeid] = Story(plan, Line(next(free_numbers), application), folder)
    trunks = "".join(story.configuration() for story in made.values())
    with ExitStack() as ends:
        if trunks:
            numbers = {story.line.number: application.url(story.line.path()) for story in made.values()}
            engine = EngineProcess(folder / "engine", numbers, extra=trunks)
            engine.start()
            ends.callback(engine.stop)
        else:
            engine = request.getfixturevalue("engine_session")
        yield ends.enter_context(Stories(made, engine))


@pytest.fixture
def story(request: pytest.FixtureRequest, stories: Stories) -> Story:
    """The test's own dial: that of `on_dial`, or of its parameter `story`."""
    return stories[request.node.nodeid]


@pytest.fixture
def sipp(engine: EngineProcess, tmp_path: Path) -> Sipp:
    need("sipp")
    return Sipp(tmp_path, engine.target)


@pytest.fixture
def rtp() -> Iterator[RtpEndpoint]:
    with RtpEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def softphone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Baresip]:
    need("baresip")
    with Baresip(tmp_path_factory.mktemp("baresip")) as phone:
        yield phone


def need(tool: str) -> None:
    """Skip the test where the machine has no such tool."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
