"""`flexml account` and `flexml token` on a real database: what they print, and what it has afterwards."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import typer
from flexml.engine.account_command import accounts
from flexml.engine.announcement import announced
from flexml.engine.config_entries import accounts as configured_accounts
from flexml.engine.config_entries import dids as configured_dids
from flexml.engine.config_file import load
from flexml.engine.db import Database
from flexml.engine.password import verify_password
from flexml.engine.records import Account
from flexml.engine.token_command import tokens
from flexml.engine.tokens import Tokens
from typer.testing import CliRunner

T = TypeVar("T")
CONFIG = """\
[database]
url = "sqlite:///flexml.db"

[[account]]
login = "me"
password = "secret"

[[did]]
phonenumber = "15550001000"
account = "me"
url = "http://127.0.0.1:9/"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "engine.toml"
    file.write_text(CONFIG)
    return file


def run(app: typer.Typer, config: Path, *arguments: str, typed: str = "", status: int = 0) -> str:
    """What a command prints to standard output; where it fails, what it says of that."""
    result = CliRunner().invoke(app, [*arguments, "--config", str(config)], input=typed)
    assert result.exit_code == status, (result.output, result.exception)
    return result.stderr if status else result.stdout


def run_json(app: typer.Typer, config: Path, *arguments: str, typed: str = "") -> Any:
    return json.loads(run(app, config, *arguments, "--json", typed=typed))


def on_database(config: Path, work: Callable[[Database], Awaitable[T]]) -> T:
    async def main() -> T:
        database = Database(f"sqlite:///{config.parent}/flexml.db")
        await database.start()
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(main())


def start_once(config: Path) -> None:
    """Have the database hold what the configuration says, as an engine does when it starts."""
    found = load(config, {})

    async def work(database: Database) -> None:
        await database.sync_config(configured_accounts(found), configured_dids(found))

    on_database(config, work)


def account_of(config: Path, login: str) -> Account:
    found = on_database(config, lambda database: database.load_accounts())
    return next(account for account in found if account.login == login)


def changes(config: Path) -> int:
    """How often running engines were told to read again."""

    async def work(database: Database) -> int:
        return await database.read(announced)

    return on_database(config, work)


# ---- accounts -------------------------------------------------------------------------------------------------


def test_an_account_is_made_before_the_engine_has_ever_run(config: Path) -> None:
    made = run_json(accounts, config, "create", "--name", "New", "--url", "http://127.0.0.1:9/")
    account = account_of(config, made["login"])
    assert (account.sid, account.name, account.url) == (made["account_sid"], "New", "http://127.0.0.1:9/")
    assert verify_password(made["password"], account.password_hash)
    assert len(made["password"]) == 24
    assert changes(config) == 1
    (listed,) = run_json(accounts, config, "list")
    assert listed == {
        "login": made["login"], "name": "New", "numbers": 0, "url": "http://127.0.0.1:9/", "account_sid": account.sid,
    }  # fmt: skip
    assert made["password"] not in run(accounts, config, "list") + run(accounts, config, "show", made["login"])


def test_a_password_may_be_given_by_a_pipe_but_not_too_short(config: Path) -> None:
    made = run_json(accounts, config, "create", "--login", "chosen", "--ask", typed="long enough\n")
    assert (made["login"], made["password"]) == ("chosen", "long enough")
    assert verify_password("long enough", account_of(config, "chosen").password_hash)
    said = run(accounts, config, "create", "--ask", typed="short\n", status=2)
    assert said == "expected a password of 8 to 255 characters\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--login", "a:b"), "login: expected 1 to 255 visible ASCII characters other than a colon\n"),
        (("--login", "chosen"), "there is an account 'chosen' already\n"),
        (("--name", "a\x1b[2J"), "name: expected at most 255 printable characters\n"),
        (("--url", "ftp://a/"), "url: found 'ftp://a/'; expected an absolute http or https URL\n"),
    ],
)
def test_what_an_account_cannot_be(config: Path, arguments: tuple[str, ...], said: str) -> None:
    run(accounts, config, "create", "--login", "chosen")
    assert run(accounts, config, "create", *arguments, status=1) == said
    assert len(run_json(accounts, config, "list")) == 1


def test_a_new_password_ends_the_old_one(config: Path) -> None:
    before = run_json(accounts, config, "create", "--login", "a")
    made = run_json(accounts, config, "password", "a")
    account = account_of(config, "a")
    assert verify_password(made["password"], account.password_hash)
    assert not verify_password(before["password"], account.password_hash)
    assert changes(config) == 2
    assert run(accounts, config, "password", "b", status=1).startswith("there is no account 'b'")


def test_an_account_is_shown_with_its_numbers_and_tokens(config: Path) -> None:
    start_once(config)
    run(tokens, config, "create", "its", "--account", "me")
    run(tokens, config, "create", "all")
    shown = run_json(accounts, config, "show", "me")
    assert shown["configured"] is True
    assert [one["phonenumber"] for one in shown["numbers"]] == ["15550001000"]
    assert [one["name"] for one in shown["tokens"]] == ["its"]
    text = run(accounts, config, "show", "me")
    assert "15550001000  http://127.0.0.1:9/" in text
    assert "secret" not in text


def test_an_account_is_deleted_when_that_is_confirmed(config: Path) -> None:
    run(accounts, config, "create", "--login", "leaving")
    run(tokens, config, "create", "its", "--account", "leaving")
    run(accounts, config, "delete", "leaving", typed="n\n", status=1)
    assert len(run_json(accounts, config, "list")) == 1
    assert run(accounts, config, "delete", "leaving", "--yes") == "the account leaving is deleted, 0 numbers with it\n"
    assert run_json(accounts, config, "list") == run_json(tokens, config, "list") == []
    assert changes(config) == 2


def test_what_the_configuration_names_is_neither_deleted_nor_given_a_password(config: Path) -> None:
    start_once(config)
    said = "the configuration names the account 'me': change it there\n"
    assert run(accounts, config, "delete", "me", "--yes", status=1) == said
    assert run(accounts, config, "password", "me", status=1) == said
    assert verify_password("secret", account_of(config, "me").password_hash)


# ---- tokens ---------------------------------------------------------------------------------------------------


def find(config: Path, written: str) -> str | None:
    """The name of the token that a running engine would find."""

    async def work(database: Database) -> str | None:
        token = await Tokens(database, time.time).find(written)
        return None if token is None else token.name

    return on_database(config, work)


def test_a_token_is_printed_alone_and_works(config: Path) -> None:
    written = run(tokens, config, "create", "ci")
    assert written.endswith("\n")
    assert len(written.splitlines()) == 1
    assert find(config, written.strip()) == "ci"
    (listed,) = run_json(tokens, config, "list")
    assert (listed["name"], listed["account"], listed["expires"], listed["state"]) == ("ci", None, None, "valid")
    text = run(tokens, config, "list")
    assert "the provider" in text
    assert written.strip()[-43:] not in text


def test_a_token_of_an_account_that_expires(config: Path) -> None:
    made = run_json(accounts, config, "create", "--login", "a")
    written = run(tokens, config, "create", "short", "--account", "a", "--days", "0.00000001").strip()
    assert find(config, written) is None
    (listed,) = run_json(tokens, config, "list")
    assert (listed["account"], listed["state"]) == ("a", "expired")
    assert listed["expires"] >= listed["created"]
    assert run_json(accounts, config, "show", "a")["tokens"] == []
    assert made["account_sid"] not in str(listed)
    assert run(tokens, config, "create", "x", "--account", "b", status=1).startswith("there is no account 'b'")
    assert run(tokens, config, "create", "x", "--days", "0", status=2).startswith("--days 0: ")
    assert len(run_json(tokens, config, "list")) == 1


def test_a_revoked_token_is_refused(config: Path) -> None:
    first, second = (run(tokens, config, "create", name).strip() for name in ("first", "second"))
    sid = next(one["token_sid"] for one in run_json(tokens, config, "list") if one["name"] == "first")
    assert run(tokens, config, "revoke", sid[:13]) == f"token {sid} is revoked\n"
    assert (find(config, first), find(config, second)) == (None, "second")
    assert [one["state"] for one in run_json(tokens, config, "list")] == ["revoked", "valid"]
    assert run(tokens, config, "revoke", sid, status=1) == f"token {sid} was revoked before\n"
    assert run(tokens, config, "revoke", "00000000-0", status=1) == "there is no token 00000000-0\n"
    assert run(tokens, config, "revoke", sid[:5], status=1).endswith("expected 6 or more characters of a sid\n")
    assert run(tokens, config, "create", "\n", status=2) == "expected a name of 1 to 255 printable characters\n"


def test_a_configuration_that_cannot_be_used_is_another_status(tmp_path: Path) -> None:
    for app in (accounts, tokens):
        said = run(app, tmp_path / "none.toml", "list", status=2)
        assert "none.toml" in said
