"""By which connection a caller is reached: its own while it stands, else one to its Contact (RFC 3261 section 12.2)."""

import os
import signal
import socket
from contextlib import ExitStack

import pytest
from engine_process import EngineProcess
from flexml_app import Line
from raw_peer import RawPeer, plain_sdp
from sipp import Message

PATIENCE_S = 10.0


def read(connection: socket.socket, start: str) -> Message:
    """The first message whose first line begins so."""
    connection.settimeout(PATIENCE_S)
    said = ""
    while True:
        for part in said.split("\r\n\r\n")[:-1]:
            if (at := part.find(start)) >= 0:
                return Message(sent=False, text=part[at:])
        received = connection.recv(65536).decode()
        assert received, f"the connection has ended without {start!r}, but with {said}"
        said += received


@pytest.mark.parametrize("stays", [True, False], ids=["the connection stays", "the connection ends"])
def test_a_caller_by_tcp_is_hung_up_on(engine: EngineProcess, line: Line, stays: bool) -> None:
    line.serve("<Play>/sounds/tone-600-500.wav</Play><Hangup/>")
    address = ("127.0.0.1", engine.sip_port)
    with (
        RawPeer(engine.target) as peer,
        socket.create_server(("127.0.0.1", peer.port)) as contact,
        socket.create_connection(address) as connection,
    ):

        def by_tcp(request: str) -> bytes:
            request = request.replace("SIP/2.0/UDP", "SIP/2.0/TCP")
            return request.replace(f"{peer.port}>\r\nMax", f"{peer.port};transport=tcp>\r\nMax").encode()

        connection.sendall(by_tcp(peer.request("INVITE", line.number, body=plain_sdp(9))))
        answered = read(connection, "SIP/2.0 200 ")
        connection.sendall(by_tcp(peer.request("ACK", line.number, answered=answered)))
        if stays:
            bye = read(connection, "BYE ")
            connection.sendall(peer.answer(bye, "200 OK").encode())
            contact.setblocking(False)
            with pytest.raises(BlockingIOError):
                contact.accept()
        else:
            connection.close()
            contact.settimeout(PATIENCE_S)
            other, _ = contact.accept()
            with other:
                other.sendall(peer.answer(read(other, "BYE "), "200 OK").encode())
        assert line.final_status().data["CallStatus"] == "completed"


def test_a_caller_that_goes_on_by_another_connection_is_hung_up_on_by_that(engine: EngineProcess, line: Line) -> None:
    line.serve('<Gather timeout="2"/><Hangup/>')
    address = ("127.0.0.1", engine.sip_port)
    with RawPeer(engine.target) as peer, socket.create_connection(address) as first:  # nobody listens at its Contact

        def by_tcp(request: str) -> bytes:
            return request.replace("SIP/2.0/UDP", "SIP/2.0/TCP").encode()

        first.sendall(by_tcp(peer.request("INVITE", line.number, body=plain_sdp(9))))
        answered = read(first, "SIP/2.0 200 ")
        first.sendall(by_tcp(peer.request("ACK", line.number, answered=answered)))
        with socket.create_connection(address) as second:
            first.close()
            second.sendall(by_tcp(peer.request("INVITE", line.number, cseq=2, answered=answered, body=plain_sdp(9))))
            read(second, "SIP/2.0 200 ")
            second.sendall(by_tcp(peer.request("ACK", line.number, cseq=2, answered=answered)))
            second.sendall(peer.answer(read(second, "BYE "), "200 OK").encode())
        assert line.final_status().data["CallStatus"] == "completed"


def test_many_callers_by_tcp_at_once_can_connect_though_nobody_takes_them_yet(engine: EngineProcess) -> None:
    with ExitStack() as open_connections:
        os.kill(engine.pids[0], signal.SIGSTOP)
        try:
            for _ in range(50):
                open_connections.enter_context(socket.create_connection(("127.0.0.1", engine.sip_port), timeout=0.5))
        finally:
            os.kill(engine.pids[0], signal.SIGCONT)


def test_more_callers_by_tcp_than_a_hundred_are_answered(engine: EngineProcess) -> None:
    with ExitStack() as open_connections, RawPeer(engine.target) as peer:
        for number in range(1, 151):
            connection = open_connections.enter_context(socket.create_connection(("127.0.0.1", engine.sip_port)))
            request = peer.request("OPTIONS", "ping", cseq=number).replace("SIP/2.0/UDP", "SIP/2.0/TCP")
            connection.sendall(request.encode())
            read(connection, "SIP/2.0 200 ")
