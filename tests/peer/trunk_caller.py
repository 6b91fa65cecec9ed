"""Places one call on a trunk, hangs up once it is answered, prints what the agent told, and ends when its input does.

Run as a process, since a process has one SIP stack.
"""

import asyncio
import sys

from flexml.engine.config import Trunk
from flexml.engine.sip.agent import Agent
from flexml.engine.sip.events import Accepted, Ended, Event
from flexml.engine.sip.settings import AgentSettings
from flexml.engine.sip.trunks import line_of, outgoing
from raw_peer import plain_sdp


class Caller:
    """The agent's listener."""

    def __init__(self) -> None:
        self.accepted, self.over = asyncio.Event(), asyncio.Event()

    def on_event(self, event: Event) -> None:
        if isinstance(event, Accepted):
            print("Accepted", flush=True)
            self.accepted.set()
        if isinstance(event, Ended):
            print("Ended", event.status, event.by, flush=True)
            self.over.set()

    def on_offer(self, dialog: int, offer: str | None) -> str:
        return plain_sdp(9)

    def on_answer(self, dialog: int, answer: str) -> None: ...

    def on_refer(self, dialog: int, target: str) -> int:
        return 603


async def main(port: str) -> None:
    trunk = Trunk(
        name="carrier", uri=f"sip:127.0.0.1:{port}", username="engine", password="secret", identity="pai", answer_s=1,
        caller_id="15550001000",
    )  # fmt: skip
    caller = Caller()
    agent = Agent(AgentSettings(listen=("udp:127.0.0.1:0",)), caller)
    agent.start()
    agent.add_trunk(line_of(trunk), lambda event: None)
    placed = outgoing(trunk, "15162065338", caller="100", name="Ann", host="127.0.0.1")
    dialog = agent.invite(
        placed.target, sdp=plain_sdp(9), from_uri=placed.from_uri, display_name=placed.display_name,
        headers=placed.headers, trunk="carrier",
    )  # fmt: skip
    async with asyncio.timeout(20):
        await asyncio.wait(
            {asyncio.create_task(wait()) for wait in (caller.accepted.wait, caller.over.wait)},
            return_when="FIRST_COMPLETED",
        )
        agent.hang_up(dialog)
        await caller.over.wait()
    await asyncio.to_thread(sys.stdin.read)
    await agent.close()


asyncio.run(main(sys.argv[1]))
