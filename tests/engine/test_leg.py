"""Offer and answer on one leg, and what of it reaches the media worker."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from dataclasses import replace
from typing import Literal

import pytest
from flexml.codecs.catalog import PCMA, PCMU
from flexml.engine.config import Trunk
from flexml.engine.errors import LegRefused, MediaError, NotAcceptable
from flexml.engine.leg import Leg, LegSettings
from flexml.engine.media_client import MediaClient
from flexml.engine.ports import PortPool
from flexml.media.events import DigitsSent, OtherCodec
from flexml.media.protocol import SendDigits, SetRemote

from .fakes_sip import OFFER, FakeWorker, Heard, run, settle

SETTINGS = LegSettings(address="127.0.0.1", advertised="127.0.0.1", codecs=(PCMU, PCMA))
HOLD = OFFER + "a=sendonly\r\n"
KEY, RENEWED = "A" * 40, "B" * 40


def make(ports: PortPool | None = None, settings: LegSettings = SETTINGS) -> tuple[Leg, FakeWorker]:
    client = MediaClient()
    worker = FakeWorker(client)
    return Leg(settings, ports or PortPool(20000, 20009), client, Heard()), worker


def version(sdp: str) -> int:
    found = re.search(r"o=- \d+ (\d+) ", sdp)
    assert found
    return int(found[1])


def remotes(worker: FakeWorker) -> list[SetRemote]:
    return [command for command in worker.commands if isinstance(command, SetRemote)]


def test_the_origin_version_rises_only_when_our_description_changes() -> None:
    async def main() -> None:
        leg, _ = make()
        offers = [OFFER, OFFER, HOLD, HOLD, OFFER, None, None]
        versions = [version(leg.on_offer(offer)) for offer in offers]
        assert versions == [1, 1, 2, 2, 3, 3, 3]

    run(main())


def test_the_worker_is_told_of_every_codec_of_an_answer() -> None:
    async def main() -> None:
        leg, worker = make()
        leg.begin_to_open()
        await leg.open()
        leg.on_offer(None)
        leg.start_media()
        leg.on_answer(OFFER.replace("AVP 0", "AVP 0 8"))
        worker.send(OtherCodec(leg=1, payload_type=8))
        await settle()
        assert [(one.codec, one.other_types) for one in remotes(worker)] == [("PCMU", (8,)), ("PCMA", (0,))]

    run(main())


def test_a_refused_offer_leaves_the_session_as_it_was() -> None:
    async def main() -> None:
        leg, _ = make()
        before = leg.on_offer(OFFER)
        with pytest.raises(NotAcceptable):
            leg.on_offer(OFFER.replace("RTP/AVP 0", "RTP/AVP 18"))
        assert leg.on_offer(OFFER) == before

    run(main())


def test_media_flows_only_after_it_was_let_flow() -> None:
    async def main() -> None:
        leg, worker = make()
        await leg.open()
        leg.on_offer(OFFER)
        await settle()
        assert remotes(worker) == []
        leg.start_media()
        await settle()
        (remote,) = remotes(worker)
        assert (remote.address, remote.port, remote.codec, remote.telephone_event) == ("127.0.0.1", 9000, "PCMU", 101)

    run(main())


def test_a_delayed_offer_flows_once_the_answer_is_there() -> None:
    async def main() -> None:
        leg, worker = make()
        await leg.open()
        assert "m=audio 20000 RTP/AVP 0 8 101" in leg.on_offer(None)
        leg.start_media()
        await settle()
        assert remotes(worker) == []
        leg.on_answer(OFFER)
        await settle()
        assert [remote.port for remote in remotes(worker)] == [9000]

    run(main())


def test_a_hold_reaches_the_worker_and_its_end_too() -> None:
    async def main() -> None:
        leg, worker = make()
        await leg.open()
        leg.on_offer(OFFER)
        leg.start_media()
        leg.on_offer(HOLD)
        leg.on_offer(OFFER)
        await settle()
        assert [remote.direction for remote in remotes(worker)] == ["sendrecv", "recvonly", "sendrecv"]

    run(main())


def test_the_port_is_given_back_once_even_if_the_media_ended_by_itself() -> None:
    async def main() -> None:
        ports = PortPool(20000, 20009)
        leg, worker = make(ports)
        await leg.open()
        assert len(ports) == 4
        assert (await leg.close()).packets_sent == 3
        await leg.close()
        assert len(ports) == 5

        other = Leg(SETTINGS, ports, worker_client(worker), Heard())
        other.media.abandon()
        await other.close()
        assert len(ports) == 5

    run(main())


def worker_client(worker: FakeWorker) -> MediaClient:
    client = MediaClient()
    client.workers.append(worker.link)
    return client


def test_without_a_worker_there_is_no_leg_and_no_port_is_lost() -> None:
    ports = PortPool(20000, 20009)
    with pytest.raises(MediaError, match="no media worker"):
        Leg(SETTINGS, ports, MediaClient(), Heard())
    assert len(ports) == 5


def secure(key: str, offer: str = OFFER) -> str:
    return offer.replace("RTP/AVP", "RTP/SAVP") + f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n"


def our_key(sdp: str) -> str:
    (key,) = re.findall(r"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:(\S+)", sdp)
    return key


def test_our_key_stays_while_the_peers_does_and_is_renewed_with_it() -> None:
    async def main() -> None:
        leg, worker = make(settings=replace(SETTINGS, srtp="optional"))
        await leg.open()
        leg.start_media()
        said = [leg.on_offer(offer) for offer in (secure(KEY), secure(KEY), secure(KEY, HOLD), secure(RENEWED))]
        first, again, held, renewed = map(our_key, said)
        assert first == again == held != renewed
        assert [version(sdp) for sdp in said] == [1, 1, 2, 3]
        await settle()
        keys = [remote.srtp for remote in remotes(worker)]
        assert [b64encode(one.theirs).decode() for one in keys if one] == [KEY, KEY, KEY, RENEWED]
        assert [b64encode(one.ours).decode() for one in keys if one] == [first, again, held, renewed]

    run(main())


def test_no_two_legs_have_the_same_key() -> None:
    async def main() -> None:
        settings = replace(SETTINGS, srtp="optional")
        assert our_key(make(settings=settings)[0].on_offer(secure(KEY))) != our_key(
            make(settings=settings)[0].on_offer(secure(KEY))
        )

    run(main())


def test_a_leg_that_is_protected_stays_so() -> None:
    async def main() -> None:
        leg, _ = make(settings=replace(SETTINGS, srtp="optional"))
        before = leg.on_offer(secure(KEY))
        with pytest.raises(NotAcceptable, match="supported: audio RTP/SAVP over"):
            leg.on_offer(OFFER)
        assert leg.on_offer(None).replace(before.split("\r\n")[1], "") == before.replace(before.split("\r\n")[1], "")
        with pytest.raises(NotAcceptable):
            leg.on_answer(OFFER)

    run(main())


def test_a_plain_leg_may_become_protected() -> None:
    async def main() -> None:
        leg, _ = make(settings=replace(SETTINGS, srtp="optional"))
        leg.on_offer(OFFER)
        assert our_key(leg.on_offer(secure(KEY)))
        assert leg.agreed is not None
        assert leg.agreed.srtp is not None

    run(main())


@pytest.mark.parametrize("dtmf", ["auto", "rfc4733", "inband"])
def test_keys_are_sent_by_the_worker_in_the_way_that_is_set(dtmf: Literal["auto", "rfc4733", "inband"]) -> None:
    async def main() -> None:
        leg, worker = make(settings=replace(SETTINGS, dtmf=dtmf))
        await leg.open()
        informed: list[str] = []
        sending = asyncio.ensure_future(leg.send_digits("1,2", informed.append))
        await settle()
        (command,) = worker.got(SendDigits)
        assert isinstance(command, SendDigits)
        assert (command.digits, command.mode, informed) == ("1,2", dtmf, [])
        worker.send(DigitsSent(leg=command.leg, job=command.job))
        await sending

    run(main())


def test_keys_go_by_info_where_that_is_set_at_the_pace_of_tones() -> None:
    async def main() -> None:
        leg, worker = make(settings=replace(SETTINGS, dtmf="info"))
        await leg.open()
        now, informed = asyncio.get_running_loop().time, list[tuple[str, float]]()
        began = now()
        await leg.send_digits(",1w2", lambda key: informed.append((key, round(now() - began, 3))))
        assert informed == [("1", 0.5), ("2", 1.2)]
        assert worker.got(SendDigits) == []

    run(main())


def test_a_trunk_says_how_its_legs_are_and_leaves_the_protection_open() -> None:
    trunk = Trunk(name="carrier", uri="sip:c", codecs=("PCMA",), dtmf="info")
    on = replace(SETTINGS, srtp="optional").on
    assert on(None) == replace(SETTINGS, srtp="optional")
    assert on(trunk) == replace(SETTINGS, codecs=(PCMA,), dtmf="info", srtp="optional")
    assert on(replace(trunk, srtp="required")).srtp == "required"
    assert on(replace(trunk, srtp="off")).srtp == "off"


def test_a_port_that_another_program_has_is_passed_over() -> None:
    async def main() -> None:
        ports = PortPool(20000, 20009)
        leg, worker = make(ports)
        worker.taken = {20000, 20002}
        await leg.open()
        assert "m=audio 20004 " in leg.on_offer(OFFER)
        await leg.close()
        assert len(ports) == 5

    run(main())


def test_where_all_ports_are_another_programs_the_leg_is_refused_and_none_is_lost() -> None:
    async def main() -> None:
        ports = PortPool(20000, 20009)
        leg, worker = make(ports)
        worker.taken = set(range(20000, 20010))
        with pytest.raises(LegRefused, match="cannot be bound"):
            await leg.open()
        await leg.close()
        assert len(ports) == 5

    run(main())


def test_a_port_that_the_peer_knows_of_is_not_changed() -> None:
    async def main() -> None:
        leg, worker = make()
        worker.taken = {20000}
        leg.on_offer(OFFER)
        with pytest.raises(LegRefused):
            await leg.open()

    run(main())
