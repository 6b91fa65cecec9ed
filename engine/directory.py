"""Whose numbers are whose: accounts and DIDs as calls look them up, in memory, so that no INVITE waits for a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .records import Account, Did
from .sip.address import normalise_number


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """A number and whose it is."""

    did: Did
    account: Account

    @property
    def url(self) -> str:
        """Where its application is: the number's own URL, else the account's; empty where there is neither."""
        return self.did.url or self.account.url or ""

    @property
    def method(self) -> str:
        """How the application is asked: what goes with that URL."""
        return self.did.method if self.did.url else self.account.method

    @property
    def fallback_url(self) -> str:
        """What is tried when that fails; empty for nothing."""
        return self.did.fallback_url or self.account.fallback_url or ""


class Directory:
    """Accounts and their numbers. `region` is the country of numbers that come without one."""

    def __init__(self, region: str) -> None:
        self.region = region
        self._accounts: dict[str, Account] = {}
        self._by_login: dict[str, Account] = {}
        self._routes: dict[str, Route] = {}

    def load(self, accounts: Sequence[Account], dids: Sequence[Did]) -> list[str]:
        """Take all accounts and numbers, instead of what was there; returns the sids of accounts that are no more."""
        before = self._accounts
        self._accounts = {account.sid: account for account in accounts}
        self._by_login = {account.login: account for account in accounts}
        known = ((did, self._accounts.get(did.account)) for did in dids)
        self._routes = {did.phonenumber: Route(did=did, account=mine) for did, mine in known if mine is not None}
        return [sid for sid in before if sid not in self._accounts]

    def put_account(self, account: Account) -> None:
        """Take an account as it is now; calls from now on go by it."""
        self._accounts[account.sid] = self._by_login[account.login] = account
        mine = {n: replace(r, account=account) for n, r in self._routes.items() if r.account.sid == account.sid}
        self._routes.update(mine)

    def put_did(self, did: Did) -> None:
        """Take a number as it is now; calls from now on go by it."""
        self._routes[did.phonenumber] = Route(did=did, account=self._accounts[did.account])

    def drop_account(self, sid: str) -> None:
        """Know the account and its numbers no more."""
        account = self._accounts.pop(sid, None)
        if account is not None:
            self._by_login.pop(account.login, None)
            self._routes = {number: route for number, route in self._routes.items() if route.account.sid != sid}

    def drop_did(self, phonenumber: str) -> None:
        """Know a number no more."""
        self._routes.pop(phonenumber, None)

    def number(self, written: str) -> str:
        """`written` as E.164 without the plus, where it is a number."""
        return normalise_number(written, self.region)

    def route(self, dialled: str) -> Route | None:
        """Whose a number is; None where it is nobody's here."""
        return self._routes.get(self.number(dialled)) or self._routes.get(dialled)

    def account(self, sid: str) -> Account | None:
        """The account of that sid."""
        return self._accounts.get(sid)

    def sms_route(self, sid: str) -> str:
        """Where messages of the account of that sid go; empty for nowhere."""
        account = self.account(sid)
        return account.sms_route if account is not None else ""

    def of_login(self, login: str) -> Account | None:
        """The account that logs in so."""
        return self._by_login.get(login)

    def of_account(self, sid: str, dialled: str) -> Route | None:
        """The number, where it is the account's own."""
        found = self.route(dialled)
        return found if found is not None and found.account.sid == sid else None

    def may_show(self, account: Account, number: str) -> bool:
        """Whether calls of the account may show that number: one of its own, or one that it was given."""
        given = (self.number(one) for one in account.caller_ids)
        return self.of_account(account.sid, number) is not None or self.number(number) in given
