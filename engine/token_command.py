"""`flexml token`: tokens for the provisioning side of the API, made, listed and revoked (docs/provisioning.md)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from .command_database import (
    DEFAULT_CONFIG,
    CommandError,
    ConfigOption,
    JsonOption,
    Place,
    fail,
    iso,
    on_database,
    show,
    utc,
)

if TYPE_CHECKING:
    from .tokens import Token

DAY_S: Final = 86400.0
MIN_PREFIX: Final = 6
COLUMNS: Final = ("sid", "name", "of", "created (UTC)", "expires", "last used", "state")

tokens: Final = typer.Typer(help="Tokens for /core/v2: create, list, revoke.", no_args_is_help=True)


@tokens.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What to call it, for you to know it by")],
    *,
    account: Annotated[str, typer.Option(help="Login of the account that it is of; without, it sees all")] = "",
    days: Annotated[float | None, typer.Option(min=0, max=36500, help="Days until it expires; else never")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Make a token, and print it: this once, for only a hash of it is kept. A running engine takes it at once."""
    if not name.strip() or len(name) > 255 or not name.isprintable():
        fail("expected a name of 1 to 255 printable characters", status=2)
    if days == 0:
        fail("--days 0: such a token has expired at once; expected more, parts of a day too", status=2)

    async def work(place: Place) -> tuple[Token, str]:
        from .tokens import Tokens

        sid = await _account_sid(place, account) if account else None
        expires = None if days is None else place.now + days * DAY_S
        return await Tokens(place.database, lambda: place.now).create(name, account=sid, expires=expires)

    token, written = on_database(config, work)
    whose = f"of the account {account}" if account else "of the provider: it sees all accounts"
    until = "does not expire" if token.expires is None else f"expires {utc(token.expires)} UTC"
    typer.echo(f"token {token.sid}, {whose}; {until}. It is shown only now:", err=True)
    typer.echo(written)


@tokens.command("list")
def list_tokens(*, as_json: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """List all tokens, without what makes them work. `last used` is exact to the minute."""

    async def work(place: Place) -> list[dict[str, Any]]:
        from .tokens import Tokens

        logins = {account.sid: account.login for account in await place.database.load_accounts()}
        found = await Tokens(place.database, lambda: place.now).load()
        return [_shown(token, logins, place.now) for token in found]

    found = on_database(config, work)
    if as_json:
        typer.echo(json.dumps([{**one, **_times(one, iso)} for one in found], ensure_ascii=False, indent=2))
    elif not found:
        typer.echo("There are no tokens; flexml token create makes one.")
    else:
        rows = [{**one, **_times(one, utc)} for one in found]
        names = ("token_sid", "name", "account", "created", "expires", "last_used", "state")
        show(COLUMNS, [[row[name] or "the provider" for name in names] for row in rows])


@tokens.command("revoke")
def revoke(
    sid: Annotated[str, typer.Argument(help="The token's sid, or 6 or more of its first characters")],
    *,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Let nobody use a token any more. A running engine refuses it within seconds."""

    async def work(place: Place) -> Token:
        from .tokens import Tokens

        known = Tokens(place.database, lambda: place.now)
        token = _meant(await known.load(), sid)
        if not await known.revoke(token.sid):
            raise CommandError(f"token {token.sid} was revoked before")
        return token

    token = on_database(config, work)
    typer.echo(f"token {token.sid} is revoked")


def _meant(known: list[Token], sid: str) -> Token:
    """The one token whose sid begins so. Raises CommandError."""
    digits = sid.replace("-", "").lower()
    if len(digits) < MIN_PREFIX:
        raise CommandError(f"{sid!r} is too short; expected {MIN_PREFIX} or more characters of a sid")
    found = [token for token in known if token.sid.replace("-", "").startswith(digits)]
    if len(found) != 1:
        several = ", ".join(token.sid for token in found)
        raise CommandError(f"{sid} is the beginning of several: {several}" if found else f"there is no token {sid}")
    return found[0]


async def _account_sid(place: Place, login: str) -> str:
    for account in await place.database.load_accounts():
        if account.login == login:
            return account.sid
    raise CommandError(f"there is no account {login!r} in the database (flexml account list)")


def _shown(token: Token, logins: dict[str, str], now: float) -> dict[str, Any]:
    state = "valid" if token.is_valid(now) else "revoked" if token.revoked is not None else "expired"
    return {
        "token_sid": token.sid,
        "name": token.name,
        "account": None if token.account is None else logins[token.account],
        "created": token.created,
        "expires": token.expires,
        "revoked": token.revoked,
        "last_used": token.last_used,
        "state": state,
    }


def _times(one: dict[str, Any], written: Callable[[float | None], str | None]) -> dict[str, Any]:
    return {name: written(one[name]) for name in ("created", "expires", "revoked", "last_used")}
