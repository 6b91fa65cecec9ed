"""The directory follows the database, whoever changes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import sqlalchemy as sa
from flexml.engine import provisioning
from flexml.engine.changes import Changes
from flexml.engine.db import Database
from flexml.engine.directory import Directory
from flexml.engine.errors import ProvisioningError, TakenError
from flexml.engine.records import Account, AccountEntry, Did, DidEntry
from flexml.engine.sid import new_sid
from flexml.engine.tables import announcement_table, call_table, did_table, token_table
from flexml.engine.tokens import Tokens

NUMBER = "15162065319"
NOW = 1_800_000_000.0


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[Database]:
    database = Database(url)
    await database.start()
    await database.sync_config(
        [AccountEntry(login="demo", password="password")],
        [DidEntry(phonenumber=NUMBER, account="demo", url="http://a/")],
        now=NOW,
    )
    try:
        yield database
    finally:
        await database.close()


async def engine(database: Database) -> tuple[Changes, Directory]:
    """An engine's directory, and what keeps it; it looks only when it is told to."""
    directory = Directory("US")
    changes = Changes(database, directory)
    await changes.look()
    return changes, directory


def account(login: str = "new") -> Account:
    return Account(sid=new_sid(), login=login, password_hash="x")


def did(owner: str, phonenumber: str = "15162065320") -> Did:
    return Did(sid=new_sid(), phonenumber=phonenumber, account=owner, url="http://b/")


def test_what_one_engine_adds_another_finds_when_it_looks(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            (here, _), (there, known) = await engine(database), await engine(database)
            new = account()
            await here.add_account(new, now=NOW, attributes={"a": 1})
            await here.add_did(did(new.sid))
            assert known.route("15162065320") is None
            await there.look()
            route = known.route("+1 516 206 5320")
            assert route is not None
            assert (route.account.login, route.url) == ("new", "http://b/")
            demo = known.of_login("demo")
            assert demo is not None
            await here.account(demo.sid, {"name": "Changed"})
            await there.look()
            assert (known.of_login("demo") or new).name == "Changed"

    asyncio.run(run())


def test_an_engine_knows_at_once_what_it_changes_itself(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            changes, known = await engine(database)
            new, number = account(), did("")
            await changes.add_account(new, now=NOW, attributes={})
            number = did(new.sid)
            await changes.add_did(number)
            assert (known.of_login("new"), known.account(new.sid)) == (new, new)
            assert known.of_account(new.sid, number.phonenumber) is not None
            assert await changes.remove_did(number.sid, number.phonenumber)
            assert not await changes.remove_did(number.sid, number.phonenumber)
            assert known.route(number.phonenumber) is None
            assert await changes.remove_account(new.sid, now=NOW)
            assert not await changes.remove_account(new.sid, now=NOW)
            assert (known.of_login("new"), known.account(new.sid)) == (None, None)
            assert known.route(NUMBER) is not None

    asyncio.run(run())


class Counted(Directory):
    """Counts how often everything is read."""

    reads = 0

    def load(self, accounts: Sequence[Account], dids: Sequence[Did]) -> list[str]:
        self.reads += 1
        return super().load(accounts, dids)


def test_its_own_changes_do_not_have_an_engine_read_everything_again(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            known = Counted("US")
            changes = Changes(database, known)
            await changes.look()
            new = account()
            await changes.add_account(new, now=NOW, attributes={})
            await changes.did(None, did("").sid, {})
            await changes.look()
            assert known.reads == 1
            async with database.begin() as connection:
                await provisioning.add_did(connection, did(new.sid))
            await changes.look()
            await changes.look()
            assert known.reads == 2

    asyncio.run(run())


def test_a_change_that_follows_one_of_somebody_elses_takes_both(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            changes, known = await engine(database)
            new = account()
            async with database.begin() as connection:
                await provisioning.add_account(connection, new, now=NOW)
            await changes.add_did(did(new.sid))
            route = known.route("15162065320")
            assert route is not None
            assert route.account == new

    asyncio.run(run())


def test_whoever_removes_an_account_its_calls_are_ended_by_the_engine_that_has_them(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            changes, known = await engine(database)
            gone: list[str] = []
            changes.gone = gone.append
            first, second = account("first"), account("second")
            for one in (first, second):
                await changes.add_account(one, now=NOW, attributes={})
            await changes.remove_account(first.sid, now=NOW)
            assert gone == [first.sid]
            async with database.begin() as connection:
                await provisioning.remove_account(connection, second.sid, now=NOW)
            assert gone == [first.sid]
            await changes.look()
            assert gone == [first.sid, second.sid]
            assert known.of_login("demo") is not None

    asyncio.run(run())


def test_with_an_account_go_its_numbers_tokens_and_scheduled_calls_and_nothing_else(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            (demo,) = await database.load_accounts()
            new, tokens = account(), Tokens(database, lambda: NOW)
            async with database.begin() as connection:
                await provisioning.add_account(connection, new, now=NOW)
                await provisioning.add_did(connection, did(new.sid))
                for sid, owner, state in (
                    ("1", new.sid, "scheduled"), ("2", new.sid, "ended"), ("3", demo.sid, "scheduled"),
                ):  # fmt: skip
                    row = {"sid": sid, "account": owner, "state": state, "direction": "outbound", "from_number": "1",
                           "to_number": "2", "started": NOW, "duration_s": 0}  # fmt: skip
                    await connection.execute(sa.insert(call_table).values(row))
            await tokens.create("its", account=new.sid)
            kept, _ = await tokens.create("provider's")
            async with database.begin() as connection:
                assert await provisioning.remove_account(connection, new.sid, now=NOW + 1)
                numbers = list((await connection.execute(sa.select(did_table.c.phonenumber))).scalars())
                left = list((await connection.execute(sa.select(token_table.c.sid))).scalars())
                columns = (call_table.c.state, call_table.c.status, call_table.c.ended)
                calls = (await connection.execute(sa.select(*columns).order_by(call_table.c.sid))).all()
            assert (numbers, left) == ([NUMBER], [kept.sid])
            assert [tuple(call) for call in calls] == [
                ("ended", "cancel", NOW + 1), ("ended", None, None), ("scheduled", None, None),
            ]  # fmt: skip

    asyncio.run(run())


def test_what_is_taken_is_refused_and_says_by_whom(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            changes, known = await engine(database)
            demo = known.of_login("demo")
            route = known.route(NUMBER)
            assert demo is not None
            assert route is not None
            with pytest.raises(TakenError) as login:
                await changes.add_account(account("demo"), now=NOW, attributes={})
            assert (login.value.field, login.value.sid) == ("login", demo.sid)
            with pytest.raises(TakenError) as number:
                await changes.add_did(did(demo.sid, NUMBER))
            assert (number.value.field, number.value.sid) == ("phonenumber", route.did.sid)
            assert known.route(NUMBER) == route
            nobody = new_sid()
            with pytest.raises(ProvisioningError):
                await changes.add_did(did(nobody))
            with pytest.raises(ProvisioningError):
                await changes.did(None, route.did.sid, {"account": nobody})
            assert known.route(NUMBER) == route

    asyncio.run(run())


def test_of_engines_that_take_a_number_at_once_one_gets_it(database_url: str) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            databases = [await stack.enter_async_context(opened(database_url)) for _ in range(4)]
            engines = [(await engine(database))[0] for database in databases]
            (demo,) = await databases[0].load_accounts()
            attempts = [changes.add_did(did(demo.sid)) for changes in engines]
            results = await asyncio.gather(*attempts, return_exceptions=True)
            assert [type(result) for result in results].count(TakenError) == 3, results
            assert results.count(None) == 1

    asyncio.run(run())


def test_a_change_for_another_account_than_the_numbers_does_nothing(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            changes, known = await engine(database)
            route = known.route(NUMBER)
            assert route is not None
            await changes.did("another", route.did.sid, {"url": "http://stolen/"})
            assert known.route(NUMBER) == route
            assert (await database.load_dids())[0].url == "http://a/"

    asyncio.run(run())


def test_the_configuration_is_announced_when_it_is_read(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as database:
            changes, known = await engine(database)
            await database.sync_config([], [DidEntry(phonenumber="1999", account="demo")], now=NOW)
            await changes.look()
            assert known.route("1999") is not None
            async with database.begin() as connection:
                assert (await connection.execute(sa.select(announcement_table.c.count))).scalars().all() == [2]

    asyncio.run(run())
