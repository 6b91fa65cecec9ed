"""Recordings as an application gets them: by the URL that it is told, and by their row in the database."""

import io
import urllib.request
import uuid

import numpy as np
import soundfile
from engine_process import EngineProcess
from flexml_app import Answer, Received
from g711 import Samples
from hearing import tones
from sounds import FIRST_STEP_HZ, STEP_HZ, stairs, tone

CONTAINER = str(uuid.uuid4())
FULL = str(uuid.uuid4())
NOBODYS = "00000000-0000-4000-8000-000000000000"
NO_CONTENT = Answer(status=204)
TALK = ((0.0, tone(1200, 30.0)),)
STAIRS = ((0.0, stairs(20)),)
"""What callers say all the time."""


def own_container(engine: EngineProcess, sid: str = CONTAINER, quota_bytes: int | None = None) -> None:
    """Make a container of the account."""
    with engine.database() as database:
        (account,) = database.execute("SELECT sid FROM account WHERE login = 'me'").fetchone()
        database.execute(
            "INSERT OR IGNORE INTO container (sid, account, name, quota_bytes, created, updated) "
            "VALUES (?, ?, 'Mine', ?, 0, 0)",
            [sid, account, quota_bytes],
        )


def content(told: Received) -> bytes:
    """What RecordingUrl gives."""
    with urllib.request.urlopen(str(told.data["RecordingUrl"]), timeout=10) as response:
        return response.read()


def recording(told: Received) -> Samples:
    """The samples of a recording in a container: at 8 kHz, mono or one column for each side."""
    return samples_of(content(told))


def samples_of(octets: bytes) -> Samples:
    """The same of a file's content."""
    samples, rate_hz = soundfile.read(io.BytesIO(octets), dtype="float64")
    assert rate_hz == 8000
    return np.asarray(samples, np.float64)


def seconds(told: Received) -> float:
    return len(recording(told)) / 8000


def ended(told: Received) -> float:
    """Up to which second of the stairs that the caller says there is a recording."""
    last = tones(recording(told))[-1]
    return (last.hz - FIRST_STEP_HZ) / STEP_HZ + last.length


def row(engine: EngineProcess, told: Received) -> dict[str, object]:
    """The recording's file in the database."""
    with engine.database() as database:
        return dict(database.execute("SELECT * FROM file WHERE sid = ?", [told.data["RecordingSid"]]).fetchone())


def row_is_there(engine: EngineProcess, told: Received) -> bool:
    with engine.database() as database:
        return database.execute("SELECT 1 FROM file WHERE sid = ?", [told.data["RecordingSid"]]).fetchone() is not None
