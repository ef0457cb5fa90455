"""Requests and their answers, with a deadline (S3-16, case 92)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.client.sync import Runtime
from swarmops.runtime.errors import Late, SwarmError
from swarmops.runtime.ids import new_id
from swarmops.runtime.messages.envelope import FAILED, REQUEST, Envelope
from swarmops.runtime.messages.records import Sent, read_entries
from swarmops.runtime.op import Op

DEADLINE = 30.0  # seconds


class RequestFailed(SwarmError):
    """The one who was asked says why there is no answer."""


def request(rt: Runtime, to: str, payload: Any = None, *, timeout: float = DEADLINE, sender: str = "") -> Any:
    """Ask `to` and wait for the payload of its answer.

    Raises RequestFailed with its reason, Late after `timeout` seconds, NotFound at once
    if there is no such address, and whatever `send` raises.
    """
    end = time.monotonic() + timeout
    sent = rt.run(_asked(rt, to, payload, timeout, sender))
    while (left := end - time.monotonic()) > 0:
        if answer := rt.run(_look(rt, sent.id, left)):
            return _said(answer[0], to)
    raise _late(sent, timeout)


async def arequest(
    rt: AsyncRuntime, to: str, payload: Any = None, *, timeout: float = DEADLINE, sender: str = ""
) -> Any:
    """The same for asyncio."""
    end = asyncio.get_running_loop().time() + timeout
    sent = await rt.run(_asked(rt, to, payload, timeout, sender))
    while (left := end - asyncio.get_running_loop().time()) > 0:
        if answer := await rt.run(_look(rt, sent.id, left)):
            return _said(answer[0], to)
    raise _late(sent, timeout)


def _asked(rt: Runtime | AsyncRuntime, to: str, payload: Any, timeout: float, sender: str) -> Op[Sent]:
    return rt.messages.send.op(to, REQUEST, payload, sender=sender, id=new_id(), ttl=timeout, asks=True)


def _look(rt: Runtime | AsyncRuntime, id: str, left: float) -> Op[list[Envelope]]:
    key, ms = rt.keys.registry("reply", id), max(1, round(left * 1000))
    args = ("XREAD", "COUNT", 1, "BLOCK", ms, "STREAMS", key, "0")
    return Op("", (key,), args, lambda r: read_entries(r[0][1]) if r else [], safe=True, block=ms / 1000)


def _said(answer: Envelope, to: str) -> Any:
    if answer.type == FAILED:
        raise RequestFailed(f"{to}: {answer.payload.get('error')}")
    return answer.payload


def _late(sent: Sent, timeout: float) -> Late:
    others = f", whose inbox held {sent.waiting - 1} other messages" if sent.waiting > 1 else ""
    return Late(f"no answer from {sent.to} within {timeout:g} s{others}")
