"""`flexml account`: accounts of the database, made, looked at, changed and removed (docs/provisioning.md)."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .command_database import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    Place,
    count,
    iso,
    on_database,
    show,
)

if TYPE_CHECKING:
    from .records import Account, Did

SHORTEST_PASSWORD: Final = 8
LONGEST: Final = 255
LoginArgument = Annotated[str, typer.Argument(help="Login of the account")]
PasswordOption = Annotated[
    bool, typer.Option("--ask", help="Ask for the password, or read a line from a pipe; without, one is made up")
]

accounts: Final = typer.Typer(help="Accounts: create, list, show, password, delete.", no_args_is_help=True)


@accounts.command("create")
def create(
    *,
    login: Annotated[str, typer.Option(help="Login; without, one is made up")] = "",
    ask: PasswordOption = False,
    name: Annotated[str, typer.Option(help="What to call it")] = "",
    url: Annotated[str, typer.Option(help="Where its application is, for numbers that say nothing else")] = "",
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Make an account, and print its password: this once. A running engine knows it within a second or two."""
    given = _given_password() if ask else None

    async def work(place: Place) -> tuple[Account, str]:
        from . import provisioning
        from .password import hash_password
        from .records import Account
        from .sid import new_sid

        password = given or provisioning.new_password()
        account = Account(
            sid=new_sid(),
            login=_read_login(login) if login else provisioning.new_login(),
            password_hash=hash_password(password),
            name=_checked(name, "name"),
            url=_read_url(url),
            detector=place.config.media.detector,
        )
        async with place.database.begin() as connection:
            await provisioning.add_account(connection, account, now=place.now)
        return account, password

    account, password = on_database(config, work)
    found = {"account_sid": account.sid, "login": account.login, "password": password}
    _show_secret(found, as_json=as_json)


@accounts.command("list")
def list_accounts(*, as_json: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """List all accounts, and how many numbers they have."""

    async def work(place: Place) -> list[dict[str, Any]]:
        dids = await place.database.load_dids()
        numbers = [did.account for did in dids]
        return [
            {
                "login": account.login,
                "name": account.name,
                "numbers": numbers.count(account.sid),
                "url": account.url,
                "account_sid": account.sid,
            }
            for account in await place.database.load_accounts()
        ]

    found = on_database(config, work)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
    elif not found:
        typer.echo("There are no accounts in the database; flexml account create makes one, and an engine that starts")
        typer.echo("those of its configuration.")
    else:
        cells = [[str(one[name] if one[name] is not None else "-") for name in found[0]] for one in found]
        show(("login", "name", "numbers", "url", "sid"), cells)


@accounts.command("show")
def show_account(login: LoginArgument, *, as_json: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show an account, with its numbers and tokens."""

    async def work(place: Place) -> dict[str, Any]:
        from .tokens import Tokens

        account = await _account(place, login)
        tokens = await Tokens(place.database, lambda: place.now).load()
        return {
            "account_sid": account.sid,
            "login": account.login,
            "name": account.name,
            "url": account.url,
            "method": account.method,
            "error_handler": account.error_handler,
            "fallback_url": account.fallback_url,
            "caller_ids": list(account.caller_ids),
            "numbers": [_number(did) for did in await place.database.load_dids() if did.account == account.sid],
            "tokens": [
                {"token_sid": token.sid, "name": token.name, "expires": iso(token.expires)}
                for token in tokens
                if token.account == account.sid and token.is_valid(place.now)
            ],
            "configured": account.login in {one.login for one in place.config.accounts},
        }

    found = on_database(config, work)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    rows = [[name, _cell(value)] for name, value in found.items() if name not in {"numbers", "tokens"}]
    rows += [["number", f"{one['phonenumber']}  {_cell(one['url'])}"] for one in found["numbers"]]
    rows += [["token", "  ".join((one["token_sid"], one["name"], one["expires"] or ""))] for one in found["tokens"]]
    show(("", ""), rows)


@accounts.command("password")
def password(
    login: LoginArgument,
    *,
    ask: PasswordOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Give an account another password, and print it: this once. The old one ends within a second or two."""
    given = _given_password() if ask else None

    async def work(place: Place) -> tuple[Account, str]:
        from . import config_entries, provisioning
        from .password import hash_password

        account, new = await _account(place, login), given or provisioning.new_password()
        async with place.database.begin() as connection:
            named = config_entries.named(place.config)
            await provisioning.set_password(connection, login, hash_password(new), named=named)
        return account, new

    account, new = on_database(config, work)
    _show_secret({"account_sid": account.sid, "login": login, "password": new}, as_json=as_json)


@accounts.command("delete")
def delete(
    login: LoginArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Remove an account with its numbers and tokens; its scheduled calls are cancelled, live ones hung up.

    Its files stay, and so do its calls, for `flexml timeline`, until the configuration's `keep_days` have passed.
    """

    async def look(place: Place) -> tuple[Account, int]:
        account = await _account(place, login)
        return account, [did.account for did in await place.database.load_dids()].count(account.sid)

    async def remove(place: Place) -> bool:
        from . import config_entries, provisioning

        async with place.database.begin() as connection:
            named = config_entries.named(place.config)
            return await provisioning.remove_account(connection, account.sid, now=place.now, named=named)

    account, numbers = on_database(config, look)
    if not yes:
        typer.confirm(f"Delete the account {login} and its {count(numbers, 'number')}?", abort=True)
    if on_database(config, remove):
        typer.echo(f"the account {login} is deleted, {count(numbers, 'number')} with it")


async def _account(place: Place, login: str) -> Account:
    """The account that logs in so. Raises CommandError."""
    for account in await place.database.load_accounts():
        if account.login == login:
            return account
    raise CommandError(f"there is no account {login!r} in the database (flexml account list)")


def _number(did: Did) -> dict[str, str | None]:
    return {"phonenumber": did.phonenumber, "url": did.url, "did_sid": did.sid}


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) or "-" if isinstance(value, list) else str(value or "-")


def _read_login(login: str) -> str:
    from .provisioning import read_login

    try:
        return read_login(login)
    except ValueError as error:
        raise CommandError(f"login: {error}") from None


def _read_url(url: str) -> str | None:
    from .config_kinds import URL

    try:
        return URL.read(url) if url else None
    except ValueError:
        raise CommandError(f"url: found {url!r}; expected {URL.allowed}") from None


def _checked(text: str, what: str) -> str:
    if len(text) > LONGEST or not (text.isprintable() or text == ""):
        raise CommandError(f"{what}: expected at most {LONGEST} printable characters")
    return text


def _given_password() -> str:
    """The password that a person types, or a program writes; arguments would show it to everybody."""
    asked = sys.stdin.isatty()
    given = typer.prompt("Password", hide_input=True, confirmation_prompt=True) if asked else sys.stdin.readline()
    given = given.rstrip("\r\n")
    if not SHORTEST_PASSWORD <= len(given) <= LONGEST:
        typer.echo(f"expected a password of {SHORTEST_PASSWORD} to {LONGEST} characters", err=True)
        raise typer.Exit(2)
    return given


def _show_secret(found: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        typer.echo(f"{name:<12} {value}")
    typer.echo("The password is shown only now.", err=True)
