"""The documents of the shared data, each run as a call, with what its note says must happen.

Their URLs begin at the root: each document is served by an application of its own, to which the number's URL redirects.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Final

import numpy as np
import pytest
import soundfile
from attribute_table import Call, on_call
from documents import DATA, HANGUP, where_there_are_documents
from engine_process import EngineProcess
from flexml_app import Answer, Application, Received, Reply, sound
from g711 import Samples
from hearing import between, level_at, level_dbov, tones, utterances
from sounds import load, noise, tone

PROMPTS: Final = DATA.parent / "speech" / "prompts_0.flac"

pytestmark = where_there_are_documents

_open = ExitStack()
_applications: dict[str, Application] = {}


@pytest.fixture(scope="module", autouse=True)
def closed() -> Iterator[None]:
    """Close the documents' applications."""
    yield
    _open.close()


def runs(name: str, serve: Mapping[str, Reply] | None = None, **wishes: Any) -> Callable[[Any], Any]:
    """Have the test's call be one to the document `name`; `serve` are the other paths of its application."""

    def begin(engine: EngineProcess) -> Answer:
        del engine
        application = _applications[name] = _open.enter_context(Application())
        application.serve("/", (DATA / name).read_text())
        for path, reply in (serve or {}).items():
            application.serve(path, reply)
        return Answer(status=307, location=application.url("/"))

    def give(test: Any) -> Any:
        test.__dict__["document"] = name
        return on_call(begin, **wishes)(test)

    return give


@pytest.fixture
def served(request: pytest.FixtureRequest, call: Call) -> Application:
    """The application of the test's document, when the call is over."""
    assert call.ending
    return _applications[request.function.__dict__["document"]]


def asked(served: Application, path: str) -> Received:
    """The one request for `path`."""
    (received,) = served.wait_for(path)
    return received


def application_error(call: Call) -> str:
    """Why the document was refused; that none of it ran, and that the caller was told, is checked too."""
    entries = call.timeline
    (why,) = [str(details["error"]) for what, details in entries if what == "application error"]
    assert "verb" not in [what for what, _ in entries]
    assert (call.ending.by, call.ending.status) == ("them", 200)
    assert sum(end - start for start, end in call.utterances) > 1.5
    return why


def mp3(seconds: float) -> Answer:
    file = io.BytesIO()
    soundfile.write(file, tone(500, seconds, 0.05), 8000, format="MP3")
    return Answer(body=file.getvalue(), content_type="audio/mpeg")


@runs("01_case.xml")
def test_01_names_in_any_case(call: Call) -> None:
    spoken = call.utterances[-1][1]
    waits = [details for what, details in call.timeline if what == "verb ended" and details["name"] == "Wait"]
    assert [wait["took_ms"] for wait in waits] == [pytest.approx(2000, abs=250)]
    assert 2.0 <= len(call.heard) / 8000 - spoken < 4.5
    assert call.ending.by == "them"


@runs("02_empty_elements.xml")
def test_02_elements_that_are_empty(call: Call) -> None:
    assert level_dbov(call.heard) < -60
    assert call.ending.by == "them"
    assert call.line.final_status().data["CallStatus"] == "completed"
    assert not [what for what, _ in call.timeline if "error" in what]


@runs("03_spaces_in_urls.xml", {"/digits": HANGUP}, keys=((1.0, "7"),))
def test_03_spaces_in_urls(served: Application) -> None:
    received = asked(served, "/digits")
    assert (received.method, received.data["note"], received.data["Digits"]) == ("POST", "please press a key", "7")


@runs("04_unknown_attribute_and_voice.xml")
def test_04_an_unknown_attribute_and_voice(call: Call) -> None:
    assert call.utterances
    notes = [what for what, _ in call.timeline if "mood" in what or "female" in what]
    assert len(notes) == 2


@runs("05_star_as_digit.xml", {"/digits": HANGUP, "/nothing": HANGUP}, keys=((1.0, "*"),))
def test_05_star_as_digit(served: Application) -> None:
    received = asked(served, "/digits")
    assert (received.data["Digits"], received.data["FinishKey"]) == ("*", None)
    assert not served.requests("/nothing")


@runs("06_start_digits.xml", {"/pin": HANGUP, "/start": HANGUP}, keys_after_sound=((1.0, "12*34#"),))
def test_06_start_digits(call: Call, served: Application) -> None:
    received = asked(served, "/pin")
    assert (received.data["Digits"], received.data["FinishKey"]) == ("*34", "#")
    begun, end = call.utterances[0][0], call.utterances[-1][1]
    assert end - begun == pytest.approx(1.45, abs=0.25)  # 1 and 2 stop nothing, * does


@runs("07_pause_inside_gather.xml", {"/digits": HANGUP}, keys_after_sound=((3.0, "5"),))
def test_07_a_pause_inside_gather(call: Call, served: Application) -> None:
    assert asked(served, "/digits").data["Digits"] == "5"
    ((begun, end),) = call.utterances
    assert end - begun < 2
    assert len(call.heard) / 8000 - begun == pytest.approx(3.15, abs=0.5)


def speech(seconds: float) -> Samples:
    """Somebody speaks: from the first word of a sentence to the last of another, without a longer pause."""
    return between(load(PROMPTS), 4.22, 4.22 + seconds) if PROMPTS.exists() else noise(seconds)


@runs("08_noise_then_silence.xml", speech=((5.0, speech(4.0)),))
def test_08_noise_then_silence(call: Call) -> None:
    waits = [details for what, details in call.timeline if what == "verb ended" and details["name"] == "Pause"]
    assert [wait["took_ms"] for wait in waits] == [pytest.approx(11500, abs=150)]
    ((thanks, _),) = call.utterances
    assert thanks > 11.4


@runs("09_preanswer_busy.xml")
def test_09_early_media_and_busy(call: Call) -> None:
    assert (call.ending.by, call.ending.status) == ("refused", 600)
    statuses = [message.start.split()[1] for _, message in call.phone.sip]
    assert "183" in statuses
    assert "200" not in statuses
    parts = utterances(call.heard, gap_s=2.0)
    assert len(parts) == 2
    assert parts[1][0] - parts[0][1] >= 4.0
    waits = [details for what, details in call.timeline if what == "verb ended"]
    assert [wait["name"] for wait in waits] == ["PreAnswer", "Reject"]


@runs("10_record_session.xml", {"/recorded": Answer(status=204)})
def test_10_a_session_is_recorded(call: Call, served: Application) -> None:
    told = asked(served, "/recorded")
    content = call.engine.get("/f/" + str(told.data["RecordingSid"]))
    recorded = np.asarray(soundfile.read(io.BytesIO(content), dtype="float64")[0], np.float64)
    heard, kept = call.utterances, utterances(recorded)
    assert len(kept) == len(heard) == 2
    for (start, end), (begin, finish) in zip(heard, kept, strict=True):
        assert finish - begin == pytest.approx(end - start, abs=0.1)
    assert kept[1][0] - kept[0][0] == pytest.approx(heard[1][0] - heard[0][0], abs=0.1)
    assert len(recorded) / 8000 - kept[1][1] == pytest.approx(len(call.heard) / 8000 - heard[1][1], abs=0.3)
    assert told.data["RecordingStatus"] == "completed"


@runs("11_background_music.xml", {"/audio/music.mp3": mp3(2.0)})
def test_11_background_music(call: Call) -> None:
    heard = call.heard
    begun = next(span.start for span in tones(heard) if span.hz == 500)
    end = len(heard) / 8000
    assert begun < 3
    assert end - begun > 3
    second = [level_at(between(heard, at, at + 0.5), 500) for at in np.arange(begun + 0.2, end - 0.5, 0.5)]
    assert min(second) > -35
    assert [span for span in tones(heard) if span.hz != 500], "nobody spoke over the music"


@runs(
    "12_controls.xml",
    {"/audio/long.wav": sound("stairs-29.wav"), "/played": HANGUP},
    keys=((1.4, "6"), (3.4, "4"), (5.4, "5"), (7.4, "0"), (9.4, "1")),
)
def test_12_controls(call: Call, served: Application) -> None:
    told = asked(served, "/played").data
    assert (told["Digits"], told["PlayOffset"]) == ("1", 7)
    assert told["PlaybackUrl"] == served.url("/audio/long.wav")
    assert [(span.hz - 400) // 100 for span in call.tones] == [0, 1, 11, 12, 13, 3, 4, 5, 5, 6, 7]


@runs("13_duplicate_attribute.xml", {"/a": HANGUP, "/b": HANGUP})
def test_13_an_attribute_given_twice(call: Call, served: Application) -> None:
    assert "action" in application_error(call)
    assert not served.requests("/a") + served.requests("/b")


@runs("14_bad_value.xml", {"/digits": HANGUP})
def test_14_a_bad_value(call: Call) -> None:
    why = application_error(call)
    for part in ("line 3", "Gather", "numDigits", "two", "integer of at least 1"):
        assert part in why


@runs("15_store_and_override.xml", {"/next": HANGUP, "/status/other": Answer(status=204)})
def test_15_store_and_override(call: Call, served: Application) -> None:
    following, status = asked(served, "/next"), asked(served, "/status/other")
    assert (following.method, status.method) == ("GET", "GET")
    assert [one.data["Storage_campaign"] for one in (following, status)] == ["spring 24"] * 2
    assert status.data["CallStatus"] == "completed"
    assert not call.line.requests("status")


@runs("16_reject_608.xml")
def test_16_reject_with_words(call: Call) -> None:
    assert (call.ending.by, call.ending.status) == ("refused", 608)
    assert "This number is on a block list" in call.phone.sip[-1][1].header("Call-Info")


@runs("19_text_only.xml")
def test_19_text_without_a_verb(call: Call) -> None:
    assert (call.ending.by, call.ending.status) == ("them", 200)
    assert level_dbov(call.heard) < -60
    assert not [what for what, _ in call.timeline if "error" in what]


@runs("20_entities.xml")
def test_20_entities(call: Call) -> None:
    assert "DTD" in application_error(call)


def test_every_document_has_a_test() -> None:
    """Those that dial are in a module of their own: its engine has trunks."""
    names = (*globals(), *vars(importlib.import_module("test_dial_numbers")))
    numbers = {name.split("_")[1] for name in names if name.startswith("test_") and name[5:7].isdigit()}
    assert {path.name[:2] for path in DATA.glob("*.xml")} == numbers
