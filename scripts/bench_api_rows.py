"""Rows for `bench_api.py`: calls and numbers of several accounts, as a busy year leaves them; the same every time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa
from flexml.engine.db import Database
from flexml.engine.numbering import shown_formats
from flexml.engine.records import AccountEntry, CallRecord, call_row
from flexml.engine.sid import sid_at
from flexml.engine.tables import account_table, call_table, did_table

NOW: Final = 1_800_000_000.0
DAY_S: Final = 86400.0
PASSWORD: Final = "bench"
LOGINS: Final = ("big", "middle", "small", "tiny", "other")
SHARES: Final = (90, 6, 2, 1, 1)
"""Whose the rows are, in percent: lists of the first are the ones to measure."""
STATUSES: Final = ("completed", "completed", "completed", "busy", "noanswer", "failed", "cancel")
CHUNK: Final = 5000


async def fill(database: Database, calls: int, dids: int) -> None:
    """Put the accounts and their rows into an empty database."""
    await database.sync_config(
        [AccountEntry(login=login, password=PASSWORD, url="http://127.0.0.1:9/") for login in LOGINS], []
    )
    async with database.begin() as connection:
        found = await connection.execute(sa.select(account_table.c.login, account_table.c.sid))
        sids = {row.login: row.sid for row in found}
    await _insert(database, did_table, _dids(dids, sids))
    await _insert(database, call_table, _calls(calls, sids))


async def _insert(database: Database, table: sa.Table, rows: Iterator[dict[str, Any]]) -> None:
    while chunk := [row for _, row in zip(range(CHUNK), rows, strict=False)]:
        async with database.begin() as connection:
            await connection.execute(sa.insert(table), chunk)


def _dids(count: int, sids: dict[str, str]) -> Iterator[dict[str, Any]]:
    choose = random.Random(1)
    for index in range(count):
        number = f"1516{2_000_000 + index:07}"
        yield {
            "sid": _sid(NOW - count + index, choose),
            "phonenumber": number,
            "account": sids[choose.choices(LOGINS, SHARES)[0]],
            "url": choose.choice([None, f"http://app{index % 7}.example/voice?number={index}"]),
            "method": choose.choice(["POST", "POST", "GET"]),
            "status_callback_url": choose.choice([None, "http://app.example/status"]),
            "status_callback_method": "POST",
            **shown_formats(number),
        }


def _calls(count: int, sids: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Calls in the order in which they were asked for: the last tenth waits, a few are live, the rest is over."""
    choose = random.Random(2)
    waiting = count // 10
    for index in range(count):
        account = sids[choose.choices(LOGINS, SHARES)[0]]
        created = NOW - (count - index) * (365 * DAY_S / count) + choose.random()
        state = "ended"
        if index >= count - waiting:
            state = "live" if index % 50 == 0 else "scheduled"
        yield _call(choose, index, account, created, state)


def _call(choose: random.Random, index: int, account: str, created: float, state: str) -> dict[str, Any]:
    inbound = state != "scheduled" and index % 3 == 0
    ours, theirs = f"1516{2_000_000 + index % 9000:07}", f"1212{choose.randrange(10**7):07}"
    status = choose.choice(STATUSES) if state == "ended" else None
    talked = choose.randrange(600) if status == "completed" else 0
    url = f"http://app.example/flows/{index % 100}?campaign={index % 1000}"
    order = {
        "called_did": theirs,
        "calling_did": ours,
        "url": url,
        "method": "POST" if index % 4 else "GET",
        "status_callback_url": None if index % 5 else "http://app.example/status",
        "status_callback_method": "POST",
        "attributes": _attributes(choose, index),
    }
    callback = {
        "url": "http://app.example/status",
        "method": "POST",
        "data": {"AccountSid": "", "ApiVersion": "2.0", "CallerName": "", "Direction": "outbound", "From": ours,
                 "To": theirs, "OriginalFrom": ours, "OriginalTo": theirs, "RequestUrl": url, "RequestMethod": "POST"},
    }  # fmt: skip
    row = {
        "sid": _sid(created, choose),
        "account": account,
        "direction": "inbound" if inbound else "outbound",
        "from_number": theirs if inbound else ours,
        "to_number": ours if inbound else theirs,
        "state": state,
        "started": created,
        "created": created,
        "due": NOW + 3600 + choose.random() * 30 * DAY_S if state == "scheduled" else created,
        "answered": created + 5 if status == "completed" else None,
        "ended": created + 5 + talked if state == "ended" else None,
        "status": status,
        "duration_s": talked,
        "callback": None if state == "ended" else callback,
        "order": None if inbound else order,
    }
    return call_row(CallRecord(**row))


def _attributes(choose: random.Random, index: int) -> dict[str, Any]:
    """Most calls have some; values repeat or do not, names are common or rare."""
    found: dict[str, Any] = {"cnam": f"Company {index % 50}", "ticket": str(100_000 + index)}
    if index % 2:
        found["sip_header_X-Campaign"] = f"spring-{index % 20}"
    if index % 100 == 0:
        found["customer"] = {"id": index, "tier": choose.choice(["gold", "silver"])}
    return found


def _sid(created: float, choose: random.Random) -> str:
    return sid_at(int(created * 1000), choose.randbytes(10))
