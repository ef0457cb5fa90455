"""Agents over a WebSocket: tasks come to them as soon as they are there (S1-02 to S1-06, case 82)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from swarmops.gateways.desk import Desk, Remote
from swarmops.gateways.http.router import is_open, subject
from swarmops.gateways.http.routes.agent_door import desk_of
from swarmops.runtime import wire
from swarmops.runtime.errors import Invalid, SwarmError
from swarmops.web.answers import OURS, Wrong, answer, refuse
from swarmops.web.guard import allow, header
from swarmops.web.tokens import Grant

router = subject("agents at work")
INTRODUCTION = 10.0  # seconds in which one has to say who it is
SLOW = 20.0  # seconds in which one has to read what is sent to it
OUT = 250  # messages that may wait for it
PACE, BURST = 200.0, 400.0  # messages a second that are read; what is more waits on the sender's side
FAULTS = 100  # messages that may be wrong on one connection
LOOK = 15.0  # seconds between two looks whether its token still counts
log = logging.getLogger(__name__)


@router.websocket("/agent-connect", dependencies=[is_open()])
async def agent_connect(socket: WebSocket) -> None:
    """Be an agent. Needs the scope agent, asked for before the connection is one."""
    scope = dict(socket.scope)
    try:
        grant = allow(scope, "agent")
    except (Wrong, SwarmError) as e:
        await refuse(answer(e), scope, socket.receive, socket.send)
        return
    offered = scope.get("subprotocols", ())
    await socket.accept(subprotocol="swarmops" if "swarmops" in offered else None)
    await Talk(socket, desk_of(socket), grant).run()


class Close(Exception):
    """End the connection with this code and reason."""

    def __init__(self, code: int, reason: str):
        self.code, self.reason = code, reason
        super().__init__(reason)


class Talk:
    """One connection of one agent."""

    def __init__(self, socket: WebSocket, desk: Desk, grant: Grant):
        self.socket, self.desk, self.grant = socket, desk, grant
        self.remote: Remote | None = None
        self.out: deque[str] = deque()
        self._sending = self._over = False
        self._faults = 0
        self._left, self._since, self._looked = BURST, time.monotonic(), time.monotonic()

    async def run(self) -> None:
        try:
            async with asyncio.timeout(INTRODUCTION):
                while self.remote is None:
                    await self._take(await self._read())
            while True:
                await self._take(await self._read())
        except WebSocketDisconnect:
            pass
        except TimeoutError:
            await self._end(1008, "nothing was registered in time")
        except Close as e:
            await self._end(e.code, e.reason)
        finally:
            self._over = True
            if self.remote is not None and not self.desk.closing:
                await self.desk.hung_up(self.remote, self.push)

    # -- out

    def push(self, message: dict[str, Any]) -> None:
        """Send this when it can be sent. Does not wait."""
        if self._over:
            return
        if len(self.out) >= OUT:
            self._over = True
            self.desk.spawn(self._end(1013, "it does not read what is sent to it"))
            return
        self.out.append(json.dumps(message, ensure_ascii=False, separators=(",", ":")))
        if not self._sending:
            self._sending = True
            self.desk.spawn(self._send())
        if message.get("fatal"):
            self._over = True

    async def _send(self) -> None:
        try:
            while self.out:
                await self._still_good()
                async with asyncio.timeout(SLOW):
                    await self.socket.send_text(self.out.popleft())
                await asyncio.sleep(0)  # whether the connection is gone is learned between two messages
            if self._over:
                await self._end(1008, "another connection registered this agent")
        except Close as e:
            await self._end(e.code, e.reason)
        except TimeoutError:
            await self._end(1013, "it does not read what is sent to it")
        except (WebSocketDisconnect, RuntimeError, OSError):
            self._over = True
        finally:
            self._sending = False

    async def _end(self, code: int, reason: str) -> None:
        self._over = True
        if self.socket.application_state is WebSocketState.CONNECTED:
            with contextlib.suppress(RuntimeError, OSError, WebSocketDisconnect, TimeoutError):
                async with asyncio.timeout(SLOW):
                    await self.socket.close(code, reason)

    # -- in

    async def _read(self) -> str:
        """The next message. Reads no faster than PACE, which the sender feels."""
        now = time.monotonic()
        self._left = min(BURST, self._left + (now - self._since) * PACE) - 1
        self._since = now
        # Messages that came together are there already: without a pause between them nobody else would be served.
        await asyncio.sleep(max(0.0, -self._left / PACE))
        message = await self.socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        if self._over:  # it was told so: another connection is this agent now, or it does not read
            raise WebSocketDisconnect(1008)
        if message.get("text") is None:
            raise Close(1003, "binary messages are not understood: send JSON as text")
        await self._still_good()
        text: str = message["text"]
        return text

    async def _still_good(self) -> None:
        """A token may have been revoked, or be over, while the connection lasts."""
        now = time.monotonic()
        if now - self._looked < LOOK:
            return
        self._looked = now
        if await self.socket.app.state.tokens.check(_said(self.socket)) is None:
            raise Close(1008, "the token counts no more")

    async def _take(self, text: str) -> None:
        said: Any = None
        try:
            said = wire.loads(text, "message")
            if not isinstance(said, dict):
                raise Invalid("message", "is not an object")
            await self._heed(said)
        except SwarmError as e:
            self._wrong(said, json.loads(bytes(answer(e).body)), isinstance(e, Invalid))
        except Close:
            raise
        except Exception:
            log.exception("a message of an agent")
            self._wrong(said, {"error": OURS}, False)

    def _wrong(self, said: Any, told: dict[str, Any], fault: bool) -> None:
        """Say what is wrong with a message, and go on. What is no fault of the sender may be sent again."""
        named = said if isinstance(said, dict) else {}
        echo = {k: named[k] for k in ("task_id", "attempt") if isinstance(named.get(k), str | int)}
        kind = str(named.get("type", ""))[:63]
        self.push({"type": "error", **told, **echo, **({"about": kind} if kind else {}), "again": not fault})
        self._faults += fault
        if self._faults > FAULTS:
            raise Close(1008, f"more than {FAULTS} messages were wrong")

    async def _heed(self, said: dict[str, Any]) -> None:
        kind = said.get("type")
        if kind == "register":
            await self._register(said)
            return
        known = {
            "heartbeat": self._heartbeat,
            "result": self._result,
            "progress": self._progress,
            "config_ack": self._config_ack,
            "unregister": self._unregister,
        }
        if not isinstance(kind, str) or kind not in known:
            raise Invalid("type", f"{str(kind)[:63]!r} is none of register, {', '.join(known)}")
        if self.remote is None:
            raise Invalid("type", "register comes first")
        if said.get("agent_id") not in (None, self.remote.id):
            raise Invalid("agent_id", f"this connection is that of {self.remote.id}")
        await known[kind](self.remote, said)

    async def _register(self, said: dict[str, Any]) -> None:
        if self.remote is not None and said.get("agent_id") not in (None, self.remote.id):
            raise Invalid("agent_id", f"this connection is that of {self.remote.id}")
        if self.remote is not None:
            said = {**said, "agent_id": self.remote.id}
        told = await self.desk.register(self.grant.id, said, "websocket", self.push)
        self.remote = self.desk.remotes[told["agent_id"]]
        self.socket.app.state.kinds.stale()
        self.push({"type": "registered", **told})

    async def _heartbeat(self, remote: Remote, said: dict[str, Any]) -> None:
        self.push({"type": "heartbeat", **await self.desk.heartbeat(remote, said)})

    async def _result(self, remote: Remote, said: dict[str, Any]) -> None:
        def tell(why: str) -> None:
            about = {"task_id": said["task_id"], "attempt": said["attempt"]}
            self.push({"type": "refused", **about, "error": why} if why else {"type": "accepted", **about})

        await self.desk.result(remote, said, tell)

    async def _progress(self, remote: Remote, said: dict[str, Any]) -> None:
        await self.desk.progress(remote, said)

    async def _config_ack(self, remote: Remote, said: dict[str, Any]) -> None:
        await self.desk.applied(remote, said.get("version"))

    async def _unregister(self, remote: Remote, said: dict[str, Any]) -> None:
        self.push({"type": "unregistered", "given_back": await self.desk.unregister(self.grant.id, remote.id)})
        self.remote = None


def _said(socket: WebSocket) -> str:
    """Its token, as an Authorization header holds it."""
    offered = (p for p in socket.scope.get("subprotocols", ()) if p.startswith("bearer."))
    return header(dict(socket.scope), b"authorization") or f"Bearer {next(offered, '').removeprefix('bearer.')}"
