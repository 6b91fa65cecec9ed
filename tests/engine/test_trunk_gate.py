"""Who may call."""

from __future__ import annotations

import pytest
from flexml.engine.config import Trunk
from flexml.engine.registry import LiveCall, Refusal, Registry
from flexml.engine.sip.digest import Challenger, response
from flexml.engine.sip.events import Ended, Event, Invited
from flexml.engine.sip.trunks import Trunks
from flexml.engine.trunk_gate import TrunkGate, guard

TRUNKS = [
    Trunk(name="address", uri="sip:a", addresses=("192.0.2.0/24",), max_calls=1),
    Trunk(name="user", uri="sip:b", inbound_username="u", inbound_password="secret", max_calls=1),
]


class Admitted:
    sid = "call"

    def on_sip_event(self, event: Event) -> None: ...

    def on_offer(self, offer: str | None) -> str:
        return ""

    def on_answer(self, answer: str) -> None: ...

    def on_refer(self, target: str) -> int:
        return 603


def invite(source: str = "203.0.113.1:5060", *, dialog: int = 1, authorization: str = "") -> Invited:
    return Invited(
        dialog=dialog, request_uri="sip:100@engine", from_uri="sip:x@y", to_uri="sip:100@engine", call_id="c",
        headers=(("Authorization", authorization),) if authorization else (), offer=None, source=source,
        transport="udp",
    )  # fmt: skip


def admit(_: Invited) -> LiveCall | Refusal:
    return Admitted()


def gate(trunks: Trunks, *, anybody: bool = False) -> TrunkGate:
    return TrunkGate(trunks, Challenger(b"key", lambda: 1000.0), admit, anybody=anybody)


def status(admitted: LiveCall | Refusal) -> int:
    return admitted.status if isinstance(admitted, Refusal) else 0


def authorization(challenge: Refusal, password: str = "secret", user: str = "u") -> str:
    nonce = challenge.headers["WWW-Authenticate"].partition('nonce="')[2].partition('"')[0]
    told = {"username": user, "realm": "flexml", "nonce": nonce, "uri": "sip:100@engine", "qop": "auth"}
    told |= {"nc": "00000001", "cnonce": "c", "algorithm": "MD5"}
    told["response"] = response(told, method="INVITE", password=password)
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in told.items())


def challenged(gate: TrunkGate) -> Refusal:
    refusal = gate.admit(invite())
    assert isinstance(refusal, Refusal)
    assert refusal.status == 401
    return refusal


def test_a_trunk_by_address_is_admitted_without_a_question() -> None:
    trunks = Trunks(TRUNKS)
    assert status(gate(trunks).admit(invite("192.0.2.9:5060"))) == 0
    assert trunks.state("address").calls == 1


def test_a_stranger_is_asked_who_he_is_and_admitted_with_the_right_answer() -> None:
    trunks = Trunks(TRUNKS)
    door = gate(trunks)
    assert status(door.admit(invite(authorization=authorization(challenged(door)), dialog=2))) == 0
    assert trunks.state("user").calls == 1


@pytest.mark.parametrize(("password", "user"), [("wrong", "u"), ("secret", "nobody")])
def test_wrong_credentials_are_refused(password: str, user: str) -> None:
    door = gate(Trunks(TRUNKS))
    given = authorization(challenged(door), password, user)
    assert status(door.admit(invite(authorization=given))) == 403


def test_credentials_that_were_used_are_asked_for_again() -> None:
    door = gate(Trunks(TRUNKS))
    given = authorization(challenged(door))
    door.admit(invite(authorization=given))
    again = door.admit(invite(authorization=given, dialog=2))
    assert isinstance(again, Refusal)
    assert again.status == 401
    assert "stale=true" in again.headers["WWW-Authenticate"]


def test_without_credentials_to_ask_for_strangers_are_refused() -> None:
    assert status(gate(Trunks(TRUNKS[:1])).admit(invite())) == 403


def test_where_anybody_may_call_strangers_are_admitted_and_count_for_no_trunk() -> None:
    trunks = Trunks(TRUNKS)
    door = gate(trunks, anybody=True)
    assert [status(door.admit(invite(dialog=dialog))) for dialog in (1, 2)] == [0, 0]
    assert [state.calls for state in trunks.states()] == [0, 0]


@pytest.mark.parametrize("anybody", [True, False])
def test_a_full_trunk_refuses_one_call_more_until_one_is_over(anybody: bool) -> None:
    trunks = Trunks(TRUNKS)
    registry = Registry()
    registry.admit = admit
    guard(registry, trunks, anybody=anybody, clock=lambda: 1000.0)
    source = "192.0.2.9:5060"
    assert [status(registry.admit(invite(source, dialog=dialog))) for dialog in (1, 2)] == [0, 503]
    registry.on_event(Ended(dialog=1, status=200, reason="OK", by="remote"))
    assert status(registry.admit(invite(source, dialog=3))) == 0


def test_the_trunk_is_known_while_the_call_is_admitted_and_free_when_the_refused_dialog_ends() -> None:
    trunks, carriers = Trunks(TRUNKS), list[Trunk | None]()

    def refuse(invite: Invited) -> LiveCall | Refusal:
        carriers.append(trunks.carrier_of(invite.dialog))
        return Refusal(status=404, why="no DID")

    registry = Registry()
    registry.admit = refuse
    guard(registry, trunks, anybody=True, clock=lambda: 1000.0)
    assert status(registry.admit(invite("192.0.2.9:5060"))) == 404
    assert status(registry.admit(invite("203.0.113.1:5060", dialog=2))) == 404
    assert carriers == [TRUNKS[0], None]
    registry.on_event(Ended(dialog=1, status=404, reason="Not Found", by="local"))
    assert trunks.state("address").calls == 0
