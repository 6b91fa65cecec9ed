"""What SIPp says of calls becomes what their streams are told."""

from __future__ import annotations

import asyncio
from pathlib import Path

from flexml.engine.load.switchboard import Pipe, Switchboard
from flexml.media.load.messages import Aim, Command, Down, Up

BODY = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio {} RTP/AVP 0\n"


def up(port: int, call: int, media: int = 20000) -> bytes:
    message = f"SIP/2.0 200 OK\n\n{BODY.format(media)}"
    return f"up {port} {call} 100.000000 0.000000 100.000000 5000.000000 {message} :end\n".encode()


def board() -> tuple[Switchboard, list[Command]]:
    said: list[Command] = []
    return Switchboard([30000, 30002], said.append), said


def test_a_call_comes_moves_and_goes() -> None:
    switchboard, said = board()
    switchboard.log(up(30002, 1))
    assert switchboard.live == 1
    switchboard.log(f"aim 30002 INVITE x SIP/2.0\n\n{BODY.format(20004)} :end\n".encode())
    switchboard.log(b"down 30002 us 100.000000 9.000000\n")
    assert said == [
        Up(stream=1, host="192.0.2.1", port=20000, at_ns=100_005_000_000),
        Aim(stream=1, host="192.0.2.1", port=20004),
        Down(stream=1, at_ns=100_000_009_000),
    ]
    assert switchboard.answers == [(100_005_000_000, 5.0)]
    assert (switchboard.live, switchboard.cut_short) == (0, 0)


def test_calls_that_the_server_ends_are_counted_once() -> None:
    switchboard, said = board()
    switchboard.log(up(30000, 1))
    switchboard.log(b"down 30000 us 101.0 0.0\ndown 30000 server 102.0 0.0\n")  # both at once
    switchboard.log(up(30002, 2))
    switchboard.log(b"down 30002 server 103.0 0.0\n")
    assert switchboard.cut_short == 1
    assert [command for command in said if isinstance(command, Down)] == [
        Down(stream=0, at_ns=101_000_000_000),
        Down(stream=1, at_ns=103_000_000_000),
    ]


def test_a_call_that_sipp_gives_up_is_over() -> None:
    switchboard, said = board()
    switchboard.log(up(30000, 7))
    switchboard.errors(b"2026-01-31\t02:15:30.1\t1795572930.1: Aborting call on unexpected message for Call-Id ")
    switchboard.errors(b"'7-99@h': while expecting 'BYE' (index 9), received 'SIP/2.0 500 Oh no\r\n'.")
    assert switchboard.live == 1
    switchboard.finish()
    assert (switchboard.live, said[-1], switchboard.reasons) == (0, Down(stream=0), {"500 Oh no": 1})


def test_a_port_that_is_used_again_ends_the_call_before() -> None:
    switchboard, said = board()
    switchboard.log(up(30000, 1) + up(30000, 3, 20008))
    assert [type(command) for command in said] == [Up, Down, Up]
    assert switchboard.live == 1


def test_what_is_written_into_a_pipe_is_taken_at_once(tmp_path: Path) -> None:
    async def through() -> bytes:
        taken: list[bytes] = []
        came = asyncio.Event()

        def take(octets: bytes) -> None:
            taken.append(octets)
            came.set()

        pipe = Pipe(tmp_path / "pipe", take)
        with (tmp_path / "pipe").open("wb", buffering=0) as end:
            end.write(b"one ")
            await came.wait()
            end.write(b"two")
        pipe.close()
        return b"".join(taken)

    assert asyncio.run(through()) == b"one two"
