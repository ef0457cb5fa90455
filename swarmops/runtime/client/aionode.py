"""One Redis server for asyncio. What is awaited at the same time goes out together, alike operations as one."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import redis.asyncio as aioredis
from redis import exceptions as rx
from redis.connection import HiredisRespSerializer
from redis.utils import HIREDIS_AVAILABLE

from swarmops.runtime.client.connect import check_policy, explained, leaves, pool
from swarmops.runtime.client.packing import commands, lacks_script, loading, results
from swarmops.runtime.errors import Refused, SwarmError
from swarmops.runtime.op import Op
from swarmops.runtime.settings import Settings

Waiting = tuple[Op[Any], "asyncio.Future[Any]"]
Answered = tuple[list[Waiting], Any]  # those who wait for a part of a result, and the result
_hiredis: Any = HiredisRespSerializer() if HIREDIS_AVAILABLE else None
JOINED = 1000  # items in one script: some milliseconds of Redis' time
LONGER = 3600.0  # seconds: never the first to end
FLUSH = 1000  # operations in one flush at most: what waits behind it waits a few milliseconds
HALVED = 100  # where more wait, half go first, so that Redis and those who ask work at the same time


class AsyncNode:
    """One Redis server: free connections, and a queue of operations that leave together."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.pool = pool(settings, aioredis)
        self._free: deque[Any] = deque()
        self._waiting: deque[Waiting] = deque()
        self._flusher: asyncio.Task[None] | None = None
        self._checked = False

    def put(self, op: Op[Any]) -> asyncio.Future[Any]:
        """The raw outcome of `op`, in time: a reply, or an exception as its result."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((op, future))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        return future

    async def _flush(self) -> None:
        batch: list[Waiting] = []
        answered: list[Answered] = []
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(_share(len(self._waiting)))]
                # Who was answered goes on when this batch has left, while Redis works for it.
                asyncio.get_running_loop().call_soon(_hand_out, answered)
                answered = await self._answers(batch)
        finally:
            _hand_out(answered)
            for _, future in batch:
                future.cancel()  # nothing happens to those that are done

    async def _answers(self, batch: list[Waiting]) -> list[Answered]:
        joined = _joined(batch)
        try:
            found = await self.results([op for op, _ in joined])
        except Exception as e:
            found = [e] * len(joined)
        answered: list[Answered] = []
        for (_, takers), result in zip(joined, found):
            if len(takers) > 1 and isinstance(result, Refused):
                # One of them spoiled it for the others, who meant nothing by going together.
                answered += [([taker], alone) for taker, alone in zip(takers, await self._apart(takers))]
            else:
                answered.append((takers, result))
        return answered

    async def _apart(self, takers: Sequence[Waiting]) -> list[Any]:
        try:
            return await self.results([op for op, _ in takers])
        except Exception as e:
            return [e] * len(takers)

    async def results(self, ops: Sequence[Op[Any]]) -> list[Any]:
        """Results of `ops` in one flush; errors are among them. Raises Unavailable."""
        sent = commands(ops, self.settings)
        block = sum(op.block for op in ops)
        replies = await self.exchange(sent, block)
        if lacking := [i for i, r in enumerate(replies) if lacks_script(r)]:
            await self.exchange(loading(ops, lacking))
            lacking = sorted({*lacking, *range(len(ops), len(sent))})
            for i, reply in zip(lacking, await self.exchange([sent[i] for i in lacking], block)):
                replies[i] = reply
        return results(ops, replies, self.settings)

    async def exchange(self, sent: Sequence[tuple[Any, ...]], block: float = 0.0) -> list[Any]:
        connection = await self._take()
        left = False
        try:
            await connection.send_packed_command(_bytes(connection, sent), check_health=False)
            left = True
            if block:
                replies = await self._waited(connection, len(sent), block + self.settings.timeout)
            else:
                replies = [await _reply(connection) for _ in sent]
        except BaseException as e:
            await self._drop(connection)
            if isinstance(e, rx.RedisError | OSError):
                raise explained(e, self.settings, unsent=not left) from None
            raise
        if any(isinstance(r, Exception) and (block or leaves(r)) for r in replies):
            await self._drop(connection)
        else:
            self._free.append(connection)
        return replies

    async def _waited(self, connection: Any, n: int, timeout: float) -> list[Any]:
        """Raises TimeoutError. The timeout of redis-py would give None instead, which is also how nil is read, and the
        late answer would then be taken for that of the next operation."""
        replies: list[Any] = []
        async with asyncio.timeout(timeout):
            while len(replies) < n:
                reply = await _reply(connection, timeout=timeout + LONGER)
                replies += [reply] if not isinstance(reply, Exception) else [reply] * (n - len(replies))
        return replies

    async def _take(self) -> Any:
        while self._free:
            connection = self._free.pop()
            if connection.is_connected and not connection._reader.at_eof():
                return connection
            await self._drop(connection)
        try:
            connection = await self.pool.get_connection()
        except (rx.RedisError, OSError) as e:
            raise explained(e, self.settings, unsent=True) from None
        if not self._checked:
            await self._check(connection)
        return connection

    async def _check(self, connection: Any) -> None:
        try:
            await connection.send_command("INFO", "memory", check_health=False)
            info = await _reply(connection)
            if isinstance(info, bytes):
                check_policy(info, self.settings)
        except (rx.RedisError, OSError) as e:
            await self._drop(connection)
            raise explained(e, self.settings, unsent=True) from None
        except SwarmError:
            await self._drop(connection)
            raise
        self._checked = True

    async def _drop(self, connection: Any) -> None:
        with contextlib.suppress(rx.RedisError, OSError):
            await connection.disconnect(nowait=True)
        await self.pool.release(connection)

    async def close(self) -> None:
        """Whoever waits still is cancelled."""
        waiting, self._waiting = self._waiting, deque()
        while self._flusher and not self._flusher.done():
            self._flusher.cancel()  # until it hears: wait_for of Python 3.11 may swallow one
            await asyncio.wait([self._flusher], timeout=0.05)
        for _, future in waiting:
            future.cancel()
        while self._free:
            await self._drop(self._free.pop())
        await self.pool.disconnect()


def _joined(batch: list[Waiting]) -> list[tuple[Op[Any], list[Waiting]]]:
    """The operations to send, each with those who wait for a part of its reply."""
    found: list[tuple[Op[Any], list[Waiting]]] = []
    places: dict[tuple[Any, ...], int] = {}
    sizes: dict[tuple[Any, ...], int] = {}
    for op, future in batch:
        if future.cancelled():
            continue
        if not op.items:
            found.append((op, [(op, future)]))
            continue
        like = (op.script, op.keys, op.args)
        if like in places and sizes[like] + len(op.items) <= JOINED:
            found[places[like]][1].append((op, future))
            sizes[like] += len(op.items)
        else:
            places[like], sizes[like] = len(found), len(op.items)
            found.append((op, [(op, future)]))
    return [(_whole(op, takers), takers) for op, takers in found]


def _whole(op: Op[Any], takers: list[Waiting]) -> Op[Any]:
    if len(takers) == 1:
        return op
    items = tuple(item for taker, _ in takers for item in taker.items)
    return replace(op, items=items, read=list, safe=all(t.safe for t, _ in takers))


def _share(waiting: int) -> int:
    """How many of those that wait go out now."""
    return min(waiting, FLUSH, max(HALVED, waiting // 2))


def _hand_out(answered: Sequence[Answered]) -> None:
    for takers, result in answered:
        at = 0
        for op, future in takers:
            mine = result
            if len(takers) > 1 and not isinstance(result, Exception):
                part, at = result[at : at + len(op.items)], at + len(op.items)
                try:
                    mine = op.read(part)
                except Exception as e:
                    mine = e
            if not future.done():
                future.set_result(mine)


def _bytes(connection: Any, sent: Sequence[tuple[Any, ...]]) -> list[bytes]:
    """On asyncio redis-py writes commands in Python even where hiredis is there, which is several times as fast."""
    if _hiredis is None:
        packed: list[bytes] = connection.pack_commands(sent)
        return packed
    return [b"".join([part for command in sent for part in _hiredis.pack(*command)])]


async def _reply(connection: Any, **more: Any) -> Any:
    try:
        return await connection.read_response(disconnect_on_error=False, **more)
    except rx.ResponseError as e:
        return e
