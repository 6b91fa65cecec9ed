"""Logins and passwords of the API: what a wrong one costs others, and tells."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from fastapi import Request
from flexml.engine.api.authentication import Authentication
from flexml.engine.api.problem import Problem
from flexml.engine.directory import Directory
from flexml.engine.password import hash_password, verify_password
from flexml.engine.records import Account

ME = Account(sid="1", login="me", password_hash=hash_password("secret"))


def request(login: str, password: str) -> Request:
    basic = base64.b64encode(f"{login}:{password}".encode()).decode()
    return cast("Request", SimpleNamespace(headers={"authorization": f"Basic {basic}"}))


def authentication(fits: Callable[[str, str], bool]) -> Authentication:
    accounts = {"me": ME}
    return Authentication(cast("Directory", SimpleNamespace(of_login=accounts.get)), fits)


class Checks:
    """Counts the passwords that are being checked, and those that were."""

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, password: str, stored: str) -> bool:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.stored.append(stored)
        right = verify_password(password, stored)
        with self._lock:
            self.now -= 1
        return right


async def asked(of: Authentication, login: str, password: str) -> Any:
    try:
        return await of(request(login, password))
    except Problem as problem:
        return problem.status


def test_passwords_are_checked_one_at_a_time_and_right_ones_once() -> None:
    checks = Checks()

    async def run() -> None:
        of = authentication(checks)
        assert await asyncio.gather(*(asked(of, "me", f"wrong{number}") for number in range(8))) == [401] * 8
        assert await asyncio.gather(*(asked(of, "me", "secret") for _ in range(8))) == [ME] * 8

    asyncio.run(run())
    assert (checks.most, len(checks.stored)) == (1, 9)


def test_a_login_that_nobody_has_costs_what_a_wrong_password_does() -> None:
    checks = Checks()
    of = authentication(checks)
    for login, password in (("nobody", "secret"), ("nobody", ""), ("", ""), ("me", "wrong")):
        assert asyncio.run(asked(of, login, password)) == 401
    nobodys, again, mine = checks.stored
    assert nobodys == again != mine == ME.password_hash
    assert nobodys.split("$")[:4] == mine.split("$")[:4]
    assert len(nobodys) == len(mine)
