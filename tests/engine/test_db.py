"""The database against a real SQLite file, and a real PostgreSQL server."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from flexml.engine.db import PAGE, Database
from flexml.engine.errors import ConfigError, OrderError
from flexml.engine.password import hash_password, verify_password
from flexml.engine.records import AccountEntry, Callback, CallRecord, DidEntry
from flexml.engine.tables import account_table, did_table

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

ACCOUNT = AccountEntry(login="demo", password="pässword", name="Demo", url="http://a/", caller_ids=("1", "2"))
DID = DidEntry(phonenumber="15162065337", account="demo", status_callback_url="http://a/status")
CALL = CallRecord(
    sid="c1", account="a1", direction="inbound", from_number="1", to_number="2", state="ringing", started=1.5
)


@contextlib.asynccontextmanager
async def opened(url: str, owner: str = "") -> AsyncGenerator[Database]:
    database = Database(url, owner=owner)
    await database.start()
    try:
        yield database
    finally:
        await database.close()


def test_what_was_changed_since_stays_until_the_configuration_says_something_else(database_url: str) -> None:
    async def change(database: Database, **values: str | None) -> None:
        async with database.begin() as connection:
            for table in (account_table, did_table):
                await connection.execute(sa.update(table).values(values))

    async def urls(database: Database) -> tuple[str | None, str | None, str, str]:
        (account,), (did,) = await database.load_accounts(), await database.load_dids()
        return account.url, did.url, account.method, did.method

    async def run() -> None:
        async with opened(database_url) as database:
            await database.sync_config([ACCOUNT], [DID], now=5)
            await change(database, url="http://changed/", method="GET")
        async with opened(database_url) as database:
            await database.sync_config([ACCOUNT], [DID], now=6)
            assert await urls(database) == ("http://changed/", "http://changed/", "GET", "GET")
            await database.sync_config([replace(ACCOUNT, url="http://b/")], [replace(DID, url="http://c/")])
            assert await urls(database) == ("http://b/", "http://c/", "GET", "GET")
            await database.sync_config([ACCOUNT], [DID])
            assert await urls(database) == ("http://a/", None, "GET", "GET")
            async with database.begin() as connection:
                assert (await connection.execute(sa.select(account_table.c.created))).scalar() == 5

    asyncio.run(run())


def test_config_is_stored_and_sids_survive_restarts_and_changes(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            await database.sync_config([ACCOUNT], [DID])
            (account,) = await database.load_accounts()
            (did,) = await database.load_dids()
        assert (account.login, account.name, account.url, account.caller_ids) == (
            "demo",
            "Demo",
            "http://a/",
            ("1", "2"),
        )
        assert (did.account, did.status_callback_url) == (account.sid, "http://a/status")
        async with opened(database_url) as database:
            await database.sync_config([ACCOUNT], [DID])
            assert await database.load_accounts() == [account]
            assert await database.load_dids() == [did]
            await database.sync_config([replace(ACCOUNT, name="New")], [replace(DID, url="http://b/")])
            assert await database.load_accounts() == [replace(account, name="New")]
            assert await database.load_dids() == [replace(did, url="http://b/")]

    asyncio.run(run())


def test_password_is_hashed_and_follows_the_configuration(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            await database.sync_config([ACCOUNT], [])
            (account,) = await database.load_accounts()
            assert "pässword" not in repr(account) + account.password_hash
            assert verify_password("pässword", account.password_hash)
            await database.sync_config([replace(ACCOUNT, password="other")], [])
            (changed,) = await database.load_accounts()
            assert verify_password("other", changed.password_hash)
            assert not verify_password("pässword", changed.password_hash)

    asyncio.run(run())


@pytest.mark.parametrize(
    "stored", ["", "x", "md5$1$2$3$4$5", "scrypt$3$8$1$00$00", "scrypt$a$8$1$00$00", "scrypt$2$8$1$zz$00"]
)
def test_unreadable_hash_fits_no_password(stored: str) -> None:
    assert not verify_password("", stored)


def test_equal_passwords_have_different_hashes() -> None:
    assert hash_password("x") != hash_password("x")


def test_every_account_and_number_is_read_however_many_there_are(database_url: str) -> None:
    async def run() -> None:
        accounts = [f"a{index:04}" for index in range(2 * PAGE + 1)]
        dids = [DidEntry(phonenumber=f"1{index:04}", account="demo") for index in range(2 * PAGE)]
        async with opened(database_url) as database:
            await database.sync_config([ACCOUNT], dids)
            row = {"password_hash": "x", "name": "", "method": "POST", "error_handler": "basic", "caller_ids": ["1"]}
            async with database.begin() as connection:
                rows = [{**row, "sid": login, "login": login} for login in accounts]
                await connection.execute(sa.insert(account_table), rows)
            read = await database.load_accounts()
            assert [account.login for account in read] == [*accounts, "demo"]
            assert {account.caller_ids for account in read} == {("1",), ACCOUNT.caller_ids}
            assert [did.phonenumber for did in await database.load_dids()] == [did.phonenumber for did in dids]

    asyncio.run(run())


def test_number_of_an_unknown_account_is_refused_and_nothing_is_changed(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            with pytest.raises(ConfigError, match="did 15162065337: there is no account 'nobody'"):
                await database.sync_config([ACCOUNT], [replace(DID, account="nobody")])
            assert await database.load_accounts() == []

    asyncio.run(run())


def test_call_is_inserted_then_updated(database_url: str) -> None:
    ended = replace(CALL, state="ended", answered=2.0, ended=9.0, status="completed", duration_s=7)

    async def run() -> None:
        async with opened(database_url) as database:
            await database.save_call(CALL)
            await database.save_call(replace(CALL, sid="c2", started=0.5))
            await database.save_call(ended)
            assert await database.load_calls(state="ended") == [ended]
            assert [call.sid for call in await database.load_calls()] == ["c2", "c1"]

    asyncio.run(run())


def test_whatever_a_peer_calls_itself_the_call_is_kept(database_url: str) -> None:
    strange = "\0" + "".join(chr(0x4E00 + number * 37 % 20000) for number in range(5000)) + "\ud800"
    order = {"attributes": {"a\0": "b\0\udfff", "nested": {"c": "\0"}}, "url": "http://here/"}

    async def run() -> CallRecord | None:
        async with opened(database_url) as database:
            await database.save_call(replace(CALL, from_number=strange, to_number=strange[::-1], order=order))
            return await database.load_call(CALL.sid)

    kept = asyncio.run(run())
    assert kept is not None
    assert (len(kept.from_number), kept.from_number[:3], kept.order) == (255, "\\0" + strange[1], order)


def test_however_long_what_a_call_says_the_indexes_take_it(database_url: str) -> None:
    letters = random.Random(1)

    def longest(characters: int, lowest: int) -> str:
        return "".join(chr(letters.randrange(lowest, lowest + 20_000)) for _ in range(characters))

    nested: dict[str, Any] = {}
    for _ in range(60):
        nested = {"": nested, "a": "b"}
    attributes = {
        "deep": nested,
        "wide": {f"{index}": "" for index in range(95)},
        "longest": {"a": longest(330, 0x4E00)},
        "too long": {"a": longest(1000, 0x4E00)},
    }
    url = "http://here/" + longest(678, 0x4E00)

    async def run() -> None:
        async with opened(database_url) as database:
            for sid, one in attributes.items():
                order = {"attributes": one, "url": url, "status_callback_url": url}
                numbers = {"from_number": longest(255, 0x10000), "to_number": longest(255, 0x10000)}
                await database.save_call(replace(CALL, sid=sid, order=order, **numbers))
            assert {call.sid for call in await database.load_calls()} == attributes.keys()

    asyncio.run(run())


def test_callbacks_come_back_with_their_data_by_state(database_url: str) -> None:
    callback = Callback(sid="d1", url="http://a/", method="POST", data={"Ü": [1, None, True]}, created=3.0)

    async def run() -> None:
        async with opened(database_url) as database:
            await database.save_callback(callback)
            assert await database.load_callbacks("pending") == [callback]
            await database.save_callback(replace(callback, state="failed", attempts=3, error="404"))
            assert await database.load_callbacks("pending") == []
            assert (await database.load_callbacks("failed"))[0].attempts == 3

    asyncio.run(run())


def test_concurrent_writers_do_not_meet_locks(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            await asyncio.gather(*(database.save_call(replace(CALL, sid=str(n))) for n in range(100)))
            assert len(await database.load_calls()) == 100

    asyncio.run(run())


def test_sqlite_is_in_wal_mode_in_a_directory_that_is_made(tmp_path: Path) -> None:
    file = tmp_path / "new" / "flexml.db"

    async def run() -> None:
        async with opened(f"sqlite:///{file}"):
            pass

    asyncio.run(run())
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("url", ["", "nonsense", "oracle://x/y"])
def test_unknown_database_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError, match="database url"):
        Database(url)


def test_a_scheduled_call_is_claimed_once_when_it_is_due(database_url: str) -> None:
    early = replace(CALL, sid="early", state="scheduled", due=10.0, order={"called_did": "1"})
    late, placed = replace(early, sid="late", due=20.0), replace(CALL, due=5.0)

    async def main() -> None:
        async with opened(database_url, "one") as one, opened(database_url, "other") as other:
            for call in (late, early, placed):
                await one.save_call(call)
            assert await one.next_due() == 10.0
            assert await other.claim_due_calls(9.9) == []
            claimed = [*await one.claim_due_calls(10.0), *await other.claim_due_calls(10.0)]
            assert claimed == [early]
            assert (await other.load_call("early")) == replace(early, state="live", owner="one")
            assert await one.next_due() == 20.0
            assert await other.take_unplaced("early", CALL.account) is None, "it is the other engine's"
            assert await one.take_unplaced("late", "somebody else") is None
            assert await one.take_unplaced("late", CALL.account) == replace(late, state="live", owner="one", due=None)
            assert await one.take_unplaced("late", CALL.account) is None
            assert await other.claim_due_calls(99.0) == []
            assert await one.next_due() is None
            assert await one.take_unplaced("early", CALL.account) == replace(early, state="live", owner="one", due=None)
            assert not await one.begin_placing("early"), "who claimed it must not place it any more"

    asyncio.run(main())


def test_a_scheduled_call_has_what_everybody_changed_of_it(database_url: str) -> None:
    waiting = replace(CALL, sid="w", state="scheduled", due=10.0, order={"called_did": "1", "n": 0})

    def counted(call: CallRecord) -> CallRecord:
        return replace(call, order={**(call.order or {}), "n": (call.order or {})["n"] + 1})

    def refused(call: CallRecord) -> CallRecord:
        raise OrderError("url", "no")

    async def main() -> None:
        async with opened(database_url, "one") as one, opened(database_url, "other") as other:
            await one.save_call(waiting)
            engines = (one, other) if one.is_shared else (one, one)  # with SQLite there is only one
            each = [base.change_scheduled_call("w", CALL.account, counted) for base in engines for _ in range(5)]
            await asyncio.gather(*each)
            with pytest.raises(OrderError):
                await one.change_scheduled_call("w", CALL.account, refused)
            assert not await one.change_scheduled_call("w", "somebody else", counted)
            found = await other.load_call("w")
            assert found == replace(waiting, order={"called_did": "1", "n": 10})
            await one.claim_due_calls(10.0)
            assert not await one.change_scheduled_call("w", CALL.account, counted)

    asyncio.run(main())
