"""Agents over a WebSocket who mean ill, and those who are broken (S1-02 to S1-08; cases 73, 74, 89)."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed, InvalidStatus

from swarmops.gateways.http.app import make_app, wrapped
from swarmops.gateways.http.config import of
from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.web.tokens import Grant
from tests.runtime.server import Server, free_port
from tests.services.agents import PAGE, give, registered, until, wire
from tests.services.coordinator import Coordinator


def test_only_with_a_good_token_and_the_scope(api: Coordinator) -> None:
    for who, status in {"": 401, "submit": 403, "read": 403}.items():
        with pytest.raises(InvalidStatus) as e, wire(api, who):
            pass
        assert e.value.response.status_code == status
    with pytest.raises(InvalidStatus) as e, wire(api, additional_headers={"Authorization": "Bearer agent.wrong"}):
        pass
    assert e.value.response.status_code == 401
    # Browsers cannot set headers: they offer the token as a subprotocol.
    offered: Any = ["swarmops", f"bearer.{api.tokens['agent']}"]
    with wire(api, "", subprotocols=offered, additional_headers={}) as agent:
        assert agent.connection.subprotocol == "swarmops"
        agent.say("register", agent_id="from-a-page")
        agent.hear("registered")


def test_a_page_of_another_origin_is_refused(api: Coordinator) -> None:
    with pytest.raises(InvalidStatus) as e, wire(api, origin="http://evil.test"):  # type: ignore[arg-type]
        pass
    assert e.value.response.status_code == 403
    with wire(api, origin=PAGE) as agent:  # type: ignore[arg-type]
        agent.say("register", agent_id="of-the-page")
        agent.hear("registered")


def test_an_id_of_another_token_is_refused(api: Coordinator) -> None:
    with registered(api, "owned"), wire(api, "other") as thief:
        thief.say("register", agent_id="owned")
        assert "belongs to another token" in thief.hear("error")["error"]
        thief.say("register", agent_id="thief")
        thief.hear("registered")
        thief.say("heartbeat", agent_id="owned")
        assert thief.hear("error")["path"] == "agent_id"
        thief.say("register", agent_id="owned")
        assert thief.hear("error")["path"] == "agent_id"


def test_a_worker_of_the_fleet_is_not_taken_over(api: Coordinator, runtime: Runtime) -> None:
    runtime.agents.register("npu-1", ["npu"])
    with wire(api) as thief:
        thief.say("register", agent_id="npu-1")
        assert "npu-1 is there already" in thief.hear("error")["error"]


@pytest.mark.parametrize(
    "text",
    ["{bad", "[1]", '"x"', "1e999", '{"type": NaN}', '{"type":"a","type":"b"}', "[" * 10_000, '{"type": "\\ud800"}',
     '{"type": "dance"}', '{"no": "type"}', '{"type": ["register"]}', "1" * 400, ""],
)  # fmt: skip
def test_what_is_no_message_is_answered_and_the_connection_kept(api: Coordinator, text: str) -> None:
    with registered(api, "clumsy") as agent:
        agent.connection.send(text)
        assert agent.hear("error")["error"]
        agent.say("heartbeat")
        agent.hear("heartbeat")


def test_nothing_before_registering(api: Coordinator) -> None:
    with wire(api) as agent:
        agent.say("result", task_id="x", attempt=1)
        assert "register comes first" in agent.hear("error")["error"]


def test_a_binary_message_ends_it(api: Coordinator) -> None:
    with registered(api, "binary") as agent:
        agent.connection.send(b"\x80\x04pickle")
        with pytest.raises(ConnectionClosed) as e:
            agent.connection.recv(10)
        assert e.value.rcvd and e.value.rcvd.code == 1003


def test_a_mebibyte_is_taken_and_no_byte_more(api: Coordinator) -> None:
    with registered(api, "big") as agent:
        empty = len(json.dumps({"type": "heartbeat", "x": ""}))
        agent.say("heartbeat", x="a" * ((1 << 20) - empty))
        agent.hear("heartbeat")
        agent.say("heartbeat", x="a" * ((1 << 20) - empty + 1))
        with pytest.raises(ConnectionClosed) as e:
            agent.connection.recv(10)
        assert e.value.rcvd and e.value.rcvd.code == 1009


def test_faults_without_end_end_it(api: Coordinator) -> None:
    with registered(api, "faulty") as agent:
        with pytest.raises(ConnectionClosed) as e:
            for _ in range(300):
                agent.connection.send("{")
            while True:
                agent.connection.recv(10)
        assert e.value.rcvd and e.value.rcvd.code == 1008


def test_a_flood_is_slowed_down_and_others_are_served(api: Coordinator) -> None:
    """What comes too fast stays on the sender's side: memory stays flat, and nobody else feels it."""
    before = _memory(api.pid)
    with socket.create_connection(("127.0.0.1", api.port)) as talk:
        _shake_hands(talk, api.tokens["agent"])
        talk.sendall(_frame(b'{"type":"register","agent_id":"flood"}'))
        frame = _frame(b'{"type":"heartbeat"}')
        talk.setblocking(False)
        sent, end = 0, time.monotonic() + 1.5
        while time.monotonic() < end:
            try:
                sent += talk.send(frame * 500)
            except BlockingIOError:
                time.sleep(0.005)
        began = time.monotonic()
        with registered(api, "served", kinds=["served"]) as agent:
            give(api, "served", 1)
            agent.done(agent.hear("task"))
        assert time.monotonic() - began < 10
        assert sent < 16 << 20, "reading stopped"
    assert _memory(api.pid) - before < 40 << 20


def test_one_that_answers_no_ping_is_gone(redis: Server, runtime: Runtime) -> None:
    """A cable that was pulled: no end of the connection is ever seen. (The server asks sooner here.)"""
    port, stop = free_port(), threading.Event()
    server = threading.Thread(target=_impatient, args=(redis, port, stop))
    server.start()
    try:
        until(lambda: _open(port), "it serves")
        with socket.create_connection(("127.0.0.1", port)) as talk:
            _shake_hands(talk, "local.none")
            talk.sendall(_frame(b'{"type":"register","agent_id":"pulled"}'))
            until(lambda: "pulled" in {a.id for a in runtime.agents.list()})
            until(lambda: "pulled" not in {a.id for a in runtime.agents.list()}, "it is gone, and said nothing")
    finally:
        stop.set()
        server.join(20)


def _open(port: int) -> bool:
    with socket.socket() as talk:
        return talk.connect_ex(("127.0.0.1", port)) == 0


def _impatient(redis: Server, port: int, stop: threading.Event) -> None:
    async def serve() -> None:
        async with AsyncRuntime(redis.settings) as rt:
            said = {"port": port, "agents": {"grace": 0.3}}
            app = make_app(of(said, Path()), rt)
            app.state.tokens.check = _anybody
            server = uvicorn.Server(
                uvicorn.Config(app=wrapped(app), port=port, log_config=None, ws_ping_interval=0.3, ws_ping_timeout=0.5)
            )
            server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
            running = asyncio.create_task(server.serve())
            await asyncio.to_thread(stop.wait)
            app.state.stopping.set()
            server.should_exit = True
            await running

    asyncio.run(serve())


async def _anybody(header: str | None) -> Grant:
    return Grant("local", frozenset(("agent",)))


def test_a_frame_without_a_mask_ends_it(api: Coordinator) -> None:
    with socket.create_connection(("127.0.0.1", api.port), 10) as talk:
        _shake_hands(talk, api.tokens["agent"])
        talk.sendall(bytes((0x81, 2)) + b"{}")
        said = _all(talk)
        assert struct.pack("!H", 1002) in said


def test_a_message_in_endless_parts_ends_with_the_limit(api: Coordinator) -> None:
    with socket.create_connection(("127.0.0.1", api.port), 20) as talk:
        _shake_hands(talk, api.tokens["agent"])
        first = _frame(b"a" * 1000, opcode=1, fin=False)
        more = _frame(b"a" * 1000, opcode=0, fin=False)
        try:
            talk.sendall(first)
            for _ in range(1200):
                talk.sendall(more)
            said = _all(talk)
            assert struct.pack("!H", 1009) in said
        except ConnectionError:
            pass  # it was closed while we were still talking


def test_after_all_that_nothing_was_a_fault_of_ours(api: Coordinator) -> None:
    assert api.ask("GET", "/api/health").status_code == 200
    assert "Traceback" not in api.said, api.said[-3000:]


def _memory(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _shake_hands(talk: socket.socket, token: str) -> None:
    talk.sendall(
        f"GET /agent-connect HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {token}\r\n\r\n".encode()
    )
    said = b""
    while b"\r\n\r\n" not in said:
        said += talk.recv(4096)
    assert b" 101 " in said


def _frame(data: bytes, opcode: int = 1, fin: bool = True) -> bytes:
    size = bytes((0x80 | len(data),)) if len(data) < 126 else bytes((0x80 | 126,)) + struct.pack("!H", len(data))
    return bytes(((0x80 if fin else 0) | opcode,)) + size + b"\0\0\0\0" + data


def _all(talk: socket.socket) -> bytes:
    said = b""
    try:
        while part := talk.recv(65536):
            said += part
    except ConnectionResetError:
        pass
    return said
