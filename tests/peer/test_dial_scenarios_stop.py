"""The engine stops while parties ring, answer and talk: nobody is left with a call that is none."""

from __future__ import annotations

from pathlib import Path

from called import Called, cancelled, crossing, hung_up
from dial_stories import Stories, wait_until
from dial_story import Plan, Story
from engine_process import EngineProcess
from flexml_app import Application, Line


def answering(party: Called) -> None:
    crossing(party, after_s=0.3)


PARTIES = {cancelled: "180", answering: "180", hung_up: "200"}
"""What each has said when the engine stops."""
HEAR = {
    cancelled: ["INVITE", "CANCEL", "ACK"],
    answering: ["INVITE", "CANCEL", "ACK", "BYE"],
    hung_up: ["INVITE", "ACK", "BYE"],
}


def test_an_engine_that_stops_tells_all_parties(application: Application, tmp_path: Path) -> None:
    stories = {
        script.__name__: Story(Plan(parties=(script,)), Line(f"1555000900{index}", application), tmp_path)
        for index, script in enumerate(PARTIES)
    }
    urls = {story.line.number: application.url(story.line.path()) for story in stories.values()}
    engine = EngineProcess(tmp_path / "engine", urls)
    engine.start()
    try:
        with Stories(stories, engine):
            for script, status in PARTIES.items():
                wait_until(lambda script=script, status=status: has_said(stories[script.__name__], status))
            assert engine.stop() == 0
            assert {script: stories[script.__name__].asked() for script in PARTIES} == HEAR
            with engine.database() as database:
                callbacks = [str(row["url"]) for row in database.execute("SELECT url FROM callback")]
            dialled = [application.url(story.line.path("dialled")) for story in stories.values()]
            assert sorted(url for url in callbacks if url.endswith("dialled")) == dialled
    finally:
        engine.stop()


def has_said(story: Story, status: str) -> bool:
    (party,) = story.parties
    assert isinstance(party, Called)
    return any(start.startswith(f"SIP/2.0 {status} ") for start in party.starts)
