"""The asyncio executor. What is awaited at the same time goes out together: one flush, and alike operations as one."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import redis.asyncio as aioredis
from redis import exceptions as rx
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer
from redis.utils import HIREDIS_AVAILABLE

from swarmops.runtime.client.cluster import Place, Slots
from swarmops.runtime.client.connect import check_policy, explained, leaves, options
from swarmops.runtime.client.packing import again, commands, lacks_script, loading, results
from swarmops.runtime.client.sync import HOPELESS
from swarmops.runtime.errors import Refused, SwarmError, Unavailable
from swarmops.runtime.keys import Keys
from swarmops.runtime.op import Async, Op, command
from swarmops.runtime.rooms import Rooms
from swarmops.runtime.settings import Settings

T = TypeVar("T")
Waiting = tuple[Op[Any], "asyncio.Future[Any]"]
_hiredis: Any = HiredisRespSerializer() if HIREDIS_AVAILABLE else None
JOINED = 1000  # items in one script: some milliseconds of Redis' time
FLUSH = 1000  # operations in one flush at most: what waits behind it waits a few milliseconds


def _pool(settings: Settings) -> aioredis.ConnectionPool:
    kwargs = {**options(settings), "max_connections": settings.connections, "retry": Retry(NoBackoff(), 0)}
    if settings.kind == "sentinel":
        from redis.asyncio.sentinel import Sentinel

        ask = {k: v for k, v in kwargs.items() if k.startswith("socket_")}
        kwargs["ssl"] = settings.tls
        sentinels = Sentinel(
            list(settings.nodes), sentinel_kwargs={**ask, "password": settings.sentinel_password or None}, **kwargs
        )
        found: aioredis.ConnectionPool = sentinels.master_for(settings.master).connection_pool
        return found
    if settings.unix_socket:
        return aioredis.ConnectionPool(connection_class=aioredis.UnixDomainSocketConnection, **kwargs)
    connection = aioredis.SSLConnection if settings.tls else aioredis.Connection
    return aioredis.ConnectionPool(connection_class=connection, host=settings.host, port=settings.port, **kwargs)


class AsyncNode:
    """One Redis server: free connections, and a queue of operations that leave together."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.pool = _pool(settings)
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
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(FLUSH, len(self._waiting)))]
            joined = _joined(batch)
            try:
                found = await self.results([op for op, _ in joined])
            except Exception as e:
                found = [e] * len(joined)
            except BaseException:
                for _, future in batch:
                    future.cancel()
                raise
            for (_, takers), result in zip(joined, found):
                if len(takers) > 1 and isinstance(result, Refused):
                    # One of them spoiled it for the others, who meant nothing by going together.
                    for taker, alone in zip(takers, await self._apart(takers)):
                        _hand_out([taker], alone)
                else:
                    _hand_out(takers, result)

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
        replies: list[Any] = []
        while len(replies) < n:
            reply = await _reply(connection, timeout=timeout)
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
        if self._flusher:
            self._flusher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._flusher
        while self._free:
            await self._drop(self._free.pop())
        await self.pool.disconnect()


class AsyncRuntime(Rooms[Async]):
    """The coordination runtime for asyncio: the same rooms as Runtime, each call awaited. One event loop."""

    def __init__(self, settings: Settings | str | None = None, **more: Any):
        if isinstance(settings, Settings):
            self.settings = settings.but(**more) if more else settings
        else:
            self.settings = Settings.find(settings, **more)
        self.keys = Keys(self.settings.namespace)
        self._closed = False
        self._slots = Slots(self.settings) if self.settings.kind == "cluster" else None
        self._nodes: dict[Place, AsyncNode] = {}
        self._node = None if self._slots else AsyncNode(self.settings)

    async def run(self, op: Op[T]) -> T:
        """Carry `op` out. Raises what went wrong as a SwarmError."""
        result: Any = None
        if self._node is not None and not op.block:  # the way that nearly all go, as short as it can be
            result = await self._node.put(op)
            if not isinstance(result, Exception):
                return result
        if result is None or again(op, result):
            result = (await self._persist([op], self.settings.patience))[0]
        if isinstance(result, Exception):
            raise result
        return result

    async def run_many(self, ops: Sequence[Op[Any]], patience: float | None = None) -> list[Any]:
        """Carry several out in one flush. Errors are among the results; raises only if nothing can be said of any."""
        return await self._persist(ops, self.settings.patience if patience is None else patience) if ops else []

    async def connect(self) -> AsyncRuntime:
        """Make sure that Redis answers now. Raises Unavailable or Misconfigured, within the connect timeout."""
        result = (await self._persist([command(self.keys.registry(), "PING")], 0))[0]
        if isinstance(result, Exception):
            raise result
        return self

    async def close(self) -> None:
        self._closed = True
        for node in [self._node, *self._nodes.values()]:
            if node:
                await node.close()

    async def __aenter__(self) -> AsyncRuntime:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- patience

    async def _persist(self, ops: Sequence[Op[Any]], patience: float) -> list[Any]:
        end, pause = time.monotonic() + patience, 0.02
        while True:
            try:
                found = await self._once(ops)
                worst = next((r for r in found if isinstance(r, Unavailable)), None)
                if worst is None or not all(again(op, r) for op, r in zip(ops, found)):
                    return found
            except Unavailable as e:
                if not e.unsent and not all(op.safe for op in ops):
                    raise
                worst, found = e, []
            if worst.kind in HOPELESS or time.monotonic() + pause > end or self._closed:
                if found:
                    return found
                raise worst
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 0.25)

    async def _once(self, ops: Sequence[Op[Any]]) -> list[Any]:
        if self._node is not None:
            if any(op.block for op in ops):  # what waits has a connection to itself, all else shares one
                return await self._node.results(ops)
            return [await outcome for outcome in [self._node.put(op) for op in ops]]
        assert self._slots is not None
        found: list[Any] = [None] * len(ops)
        if self._slots.empty:
            await self._learn()
        groups: dict[Place, list[int]] = {}
        for i, op in enumerate(ops):
            groups.setdefault(self._slots.known(op.keys[0]), []).append(i)
        for place, which in groups.items():
            for i, result in zip(which, await self._at(place).results([ops[i] for i in which])):
                found[i] = self._moved(result)
        return found

    # -- cluster

    def _at(self, place: Place) -> AsyncNode:
        if place not in self._nodes:
            one = self.settings.but(kind="single", nodes=(), host=place[0], port=place[1])
            self._nodes[place] = AsyncNode(one)
        return self._nodes[place]

    async def _learn(self) -> None:
        assert self._slots is not None
        why: SwarmError | None = None
        for place in self.settings.nodes:
            try:
                self._slots.take((await self._at(place).exchange([("CLUSTER", "SLOTS")]))[0], place)
                return
            except Unavailable as e:
                why = e
        raise why or Unavailable("cluster", f"{self.settings.place} is no cluster", unsent=True)

    def _moved(self, result: Any) -> Any:
        if isinstance(result, Unavailable) and result.kind == "moved":
            assert self._slots is not None
            self._slots.forget()
        return result


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


def _hand_out(takers: list[Waiting], result: Any) -> None:
    if len(takers) == 1 or isinstance(result, Exception):
        for _, future in takers:
            if not future.done():
                future.set_result(result)
        return
    at = 0
    for op, future in takers:
        part, at = result[at : at + len(op.items)], at + len(op.items)
        if not future.done():
            try:
                future.set_result(op.read(part))
            except Exception as e:
                future.set_result(e)


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
