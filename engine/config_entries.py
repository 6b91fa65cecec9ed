"""What the configuration names, as rows of the database."""

from __future__ import annotations

from .config import Config
from .provisioning import Named
from .records import AccountEntry, DidEntry


def accounts(config: Config) -> list[AccountEntry]:
    """Every [[account]]."""
    return [
        AccountEntry(
            login=account.login,
            password=account.password,
            name=account.name,
            url=account.url or None,
            method=account.method,
            error_handler=account.error_handler,
            fallback_url=account.fallback_url or None,
            caller_ids=account.caller_ids,
            detector=account.detector or config.media.detector,
            no_answer=account.no_answer,
            sms_route=account.sms_route,
        )
        for account in config.accounts
    ]


def dids(config: Config) -> list[DidEntry]:
    """Every [[did]]."""
    return [
        DidEntry(
            phonenumber=did.phonenumber,
            account=did.account,
            url=did.url or None,
            method=did.method,
            status_callback_url=did.status_callback_url or None,
            status_callback_method=did.status_callback_method,
            fallback_url=did.fallback_url or None,
        )
        for did in config.dids
    ]


def named(config: Config) -> Named:
    """What the next start will make of it, whoever removes it."""
    return Named(
        logins=frozenset(account.login for account in config.accounts),
        numbers=frozenset(did.phonenumber for did in config.dids),
    )
