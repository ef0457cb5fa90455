"""The synchronous executor: sends operations, reads the answers, and tries again where that is harmless."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeVar

import redis
from redis import exceptions as rx

from swarmops.runtime.client.cluster import Slots
from swarmops.runtime.client.connect import check_policy, explained, leaves, pool
from swarmops.runtime.client.packing import again, commands, lacks_script, loading, results
from swarmops.runtime.errors import SwarmError, Unavailable
from swarmops.runtime.keys import Keys
from swarmops.runtime.op import Op, Sync, command
from swarmops.runtime.rooms import Rooms
from swarmops.runtime.settings import Settings

T = TypeVar("T")
IDLE = 1.0  # seconds after which a connection is looked at before it is used again
HOPELESS = {"login", "certificate", "tls", "permission", "name"}  # trying again does not help


class Node:
    """One Redis server: the connections to it that are free, and the pool that makes new ones."""

    def __init__(self, settings: Settings, unfit: bool = False):
        self.settings = settings
        self.pool = pool(settings)
        self._free: deque[tuple[redis.Connection, float]] = deque()
        self._checked = unfit

    def exchange(self, sent: Sequence[tuple[Any, ...]], block: float = 0.0) -> list[Any]:
        """Replies to `sent`, in order; errors of Redis are among them. Raises Unavailable.

        block: seconds that some of them may wait. After an error nobody waits for the others: they share its reply.
        """
        connection = self._take()
        left = False
        try:
            connection.send_packed_command(connection.pack_commands(sent), check_health=False)
            left = True
            if block:
                replies = self._waited(connection, len(sent), block + self.settings.timeout)
            else:
                replies = [_reply(connection) for _ in sent]
        except BaseException as e:
            self._drop(connection)
            if isinstance(e, rx.RedisError | OSError):
                raise explained(e, self.settings, unsent=not left) from None
            raise
        if any(isinstance(r, Exception) and (block or leaves(r)) for r in replies):
            self._drop(connection)
        else:
            self._free.append((connection, time.monotonic()))
        return replies

    def _waited(self, connection: redis.Connection, n: int, timeout: float) -> list[Any]:
        replies: list[Any] = []
        while len(replies) < n:
            reply = _reply(connection, timeout=timeout)
            replies += [reply] if not isinstance(reply, Exception) else [reply] * (n - len(replies))
        return replies

    def _take(self) -> redis.Connection:
        while self._free:
            try:
                connection, used = self._free.pop()
            except IndexError:
                break
            if time.monotonic() - used < IDLE or not _spoiled(connection):
                return connection
            self._drop(connection)
        try:
            connection = self.pool.get_connection()
        except (rx.RedisError, OSError) as e:
            raise explained(e, self.settings, unsent=True) from None
        if not self._checked:
            self._check(connection)
        return connection

    def _check(self, connection: redis.Connection) -> None:
        try:
            connection.send_command("INFO", "memory", check_health=False)
            info = _reply(connection)
            if isinstance(info, bytes):  # a user without INFO is not told
                check_policy(info, self.settings)
        except (rx.RedisError, OSError) as e:
            self._drop(connection)
            raise explained(e, self.settings, unsent=True) from None
        except SwarmError:
            self._drop(connection)
            raise
        self._checked = True

    def _drop(self, connection: redis.Connection) -> None:
        connection.disconnect()
        self.pool.release(connection)

    def close(self) -> None:
        while self._free:
            self._drop(self._free.pop()[0])
        self.pool.disconnect()


class Runtime(Rooms[Sync]):
    """The coordination runtime on one Redis. Threads may share it.

    Raises Unavailable at the first operation if Redis cannot be used (`connect` asks at once), Misconfigured if it
    may lose data. An operation that is safe to repeat is repeated for `settings.patience` seconds while Redis is away.
    unfit: take one that may lose data, too, for who only looks at what is wrong with it.
    """

    def __init__(self, settings: Settings | str | None = None, *, unfit: bool = False, **more: Any):
        if isinstance(settings, Settings):
            self.settings = settings.but(**more) if more else settings
        else:
            self.settings = Settings.find(settings, **more)
        self.keys = Keys(self.settings.namespace)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._slots = Slots(self.settings) if self.settings.kind == "cluster" else None
        self._nodes: dict[tuple[str, int], Node] = {}
        self._unfit = unfit
        self._node = None if self._slots else Node(self.settings, unfit)

    # -- operations

    def run(self, op: Op[T]) -> T:
        """Carry `op` out. Raises what went wrong as a SwarmError."""
        result = self._persist([op], self.settings.patience)[0]
        if isinstance(result, Exception):
            raise result
        return result

    def run_many(self, ops: Sequence[Op[Any]], patience: float | None = None) -> list[Any]:
        """Carry several out in one flush. Errors are among the results; raises only if nothing can be said of any."""
        return self._persist(ops, self.settings.patience if patience is None else patience) if ops else []

    def connect(self) -> Runtime:
        """Make sure that Redis answers now. Raises Unavailable or Misconfigured, within the connect timeout."""
        result = self._persist([command(self.keys.registry(), "PING")], 0)[0]
        if isinstance(result, Exception):
            raise result
        return self

    def close(self) -> None:
        """Close all connections, and end waits for Redis to come back."""
        self._closed.set()
        for node in [self._node, *self._nodes.values()]:
            if node:
                node.close()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- patience

    def _persist(self, ops: Sequence[Op[Any]], patience: float) -> list[Any]:
        end, pause = time.monotonic() + patience, 0.02
        while True:
            try:
                found = self._once(ops)
                worst = next((r for r in found if isinstance(r, Unavailable)), None)
                if worst is None or not all(again(op, r) for op, r in zip(ops, found)):
                    return found
            except Unavailable as e:
                if not e.unsent and not all(op.safe for op in ops):
                    raise
                worst, found = e, []
            if worst.kind in HOPELESS or time.monotonic() + pause > end or self._closed.is_set():
                if found:
                    return found
                raise worst
            self._closed.wait(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 0.25)

    def _once(self, ops: Sequence[Op[Any]]) -> list[Any]:
        if self._node:
            return self._on(self._node, ops)
        found: list[Any] = [None] * len(ops)
        assert self._slots is not None
        groups: dict[tuple[str, int], list[int]] = {}
        for i, op in enumerate(ops):
            groups.setdefault(self._slots.node_of(op.keys[0], self._ask), []).append(i)
        for place, which in groups.items():
            for i, result in zip(which, self._on(self._at(place), [ops[i] for i in which])):
                found[i] = result
        return found

    def _on(self, node: Node, ops: Sequence[Op[Any]]) -> list[Any]:
        sent = commands(ops, node.settings)
        block = sum(op.block for op in ops)
        replies = node.exchange(sent, block)
        if lacking := [i for i, r in enumerate(replies) if lacks_script(r)]:
            node.exchange(loading(ops, lacking))
            lacking = sorted({*lacking, *range(len(ops), len(sent))})
            for i, reply in zip(lacking, node.exchange([sent[i] for i in lacking], block)):
                replies[i] = reply
        found = results(ops, replies, node.settings)
        if self._slots and any(isinstance(r, Unavailable) and r.kind == "moved" for r in found):
            self._slots.forget()  # it did not run: the next try asks where everything is
        return found

    # -- cluster

    def _at(self, place: tuple[str, int]) -> Node:
        with self._lock:
            if place not in self._nodes:
                one = self.settings.but(kind="single", nodes=(), host=place[0], port=place[1])
                self._nodes[place] = Node(one, self._unfit)
            return self._nodes[place]

    def _ask(self, place: tuple[str, int], sent: tuple[Any, ...]) -> Any:
        return self._at(place).exchange([sent])[0]


def _reply(connection: redis.Connection, **more: Any) -> Any:
    try:
        return connection.read_response(disconnect_on_error=False, **more)
    except rx.ResponseError as e:
        return e


def _spoiled(connection: redis.Connection) -> bool:
    """Something came unasked, or the other end has hung up."""
    try:
        return bool(connection.can_read())
    except (rx.RedisError, OSError):
        return True
