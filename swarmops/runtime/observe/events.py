"""The audit trail (S2-13): every change of state, from the registry's stream and those of the queues, in one order.

A stream keeps about the last 10,000 entries. Who must keep more exports them: `swarmops events --follow --export FILE`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swarmops.runtime.flow import Steps, flow
from swarmops.runtime.ids import names, number
from swarmops.runtime.op import Arg, Mode, Op, Room, operation

if TYPE_CHECKING:
    from swarmops.runtime.client.aio import AsyncRuntime
    from swarmops.runtime.client.sync import Runtime

SLICE = 5.0  # seconds that one wait lasts


@dataclass(frozen=True, slots=True)
class Event:
    """what: <thing>.<verb>. id: of the thing (several are separated by blanks). mark: its place in its stream."""

    mark: str
    queue: str  # "" for the registry
    what: str
    id: str
    fields: dict[str, str]

    @property
    def at_ms(self) -> int:
        """By the clock of Redis."""
        return int(self.mark.partition("-")[0])

    def to_json(self) -> dict[str, Any]:
        return {
            "at": self.at_ms,
            "what": self.what,
            "id": self.id,
            "queue": self.queue,
            "fields": self.fields,
            "mark": self.mark,
        }


class Events(Room[Mode]):
    """read, page, trim. `follow` and `afollow` below wait for more."""

    @operation
    def page(self, queue: str = "", since: int | str = 0, limit: int = 1000) -> Op[list[Event]]:
        """Events of one stream from `since` on (ms, or a mark, which is left out itself), the oldest first."""
        key = self._stream(queue)
        low = f"({since}" if isinstance(since, str) else str(int(since))
        args = ("XRANGE", key, low, "+", "COUNT", int(number(limit, "limit", 1, 100_000)))
        return Op("", (key,), args, lambda r: [_event(queue, *one) for one in r], safe=True)

    @operation
    def newest(self, queue: str = "", since: int = 0, limit: int = 1000) -> Op[list[Event]]:
        """The newest `limit` events of one stream not before `since` (ms), the oldest of them first."""
        key = self._stream(queue)
        args = ("XREVRANGE", key, "+", str(int(since)), "COUNT", int(number(limit, "limit", 1, 100_000)))
        return Op("", (key,), args, lambda r: [_event(queue, *one) for one in reversed(r)], safe=True)

    @operation
    def trim(self, queue: str = "", *, keep: int | None = None, before_ms: int | None = None) -> Op[int]:
        """Drop the oldest events beyond `keep`, or those before `before_ms`. How many went."""
        key = self._stream(queue)
        if before_ms is not None:
            how: tuple[str | int, ...] = ("MINID", int(before_ms))
        else:
            how = ("MAXLEN", int(number(keep, "keep", 0, 10_000_000)))
        return Op("", (key,), ("XTRIM", key, *how), int, safe=True)

    @flow
    def read(self, since: int = 0, queues: Sequence[str] = ("default",), limit: int = 1000) -> Steps[list[Event]]:
        """The newest `limit` events not before `since` (ms) of the registry and of `queues`, by time. One flush."""
        return merged((yield [self.newest.op(q, since, limit) for q in ("", *names(queues, "queues", 1000))]))[-limit:]

    def waiting(self, marks: Mapping[str, str], seconds: float = SLICE) -> Op[list[Event]]:
        """Wait for events after `marks` (queue -> mark, "" for the registry)."""
        streams: dict[str, str] = {self._stream(queue): queue for queue in marks}
        ms = max(1, round(seconds * 1000))
        args: tuple[Arg, ...] = ("XREAD", "COUNT", 1000, "BLOCK", ms, "STREAMS", *streams, *marks.values())

        def read(reply: Any) -> list[Event]:
            return merged([[_event(streams[key.decode()], *one) for one in entries] for key, entries in reply or ()])

        return Op("", (next(iter(streams)),), args, read, safe=True, block=ms / 1000)

    def _stream(self, queue: str) -> str:
        return self.keys.queue(*names([queue], "queue"), "events") if queue else self.keys.registry("events")


def follow(rt: Runtime, queues: Sequence[str] = ("default",), since: int = 0, seconds: float = 0) -> Iterator[Event]:
    """Events not before `since` (ms), and then as they happen; without end, or until `seconds` have passed."""
    watch = _Watch(rt, queues, since, seconds)
    while not watch.over():
        for group in watch.groups():
            yield from watch.seen(rt.run(rt.events.waiting(group, watch.slice())))


async def afollow(
    rt: AsyncRuntime, queues: Sequence[str] = ("default",), since: int = 0, seconds: float = 0
) -> AsyncIterator[Event]:
    """The same for asyncio."""
    watch = _Watch(rt, queues, since, seconds)
    while not watch.over():
        for group in watch.groups():
            for event in watch.seen(await rt.run(rt.events.waiting(group, watch.slice()))):
                yield event


class _Watch:
    """Where a follower is. On a cluster each stream is another node's, and they are asked in turn."""

    def __init__(self, rt: Runtime | AsyncRuntime, queues: Sequence[str], since: int, seconds: float):
        import time

        self._clock, self._end = time.monotonic, time.monotonic() + seconds if seconds else float("inf")
        self.marks = {
            q: f"{max(0, since - 1)}-{(1 << 64) - 1}" if since else "0-0" for q in ("", *names(queues, "queues"))
        }
        self._apart = rt.settings.kind == "cluster"

    def over(self) -> bool:
        return self._clock() >= self._end

    def slice(self) -> float:
        return max(0.001, min(0.2 if self._apart else SLICE, self._end - self._clock()))

    def groups(self) -> list[dict[str, str]]:
        return [{q: mark} for q, mark in self.marks.items()] if self._apart else [self.marks]

    def seen(self, events: list[Event]) -> list[Event]:
        for event in events:
            self.marks[event.queue] = event.mark
        return events


def merged(streams: Sequence[Any]) -> list[Event]:
    """By time; what Redis wrote in the same millisecond stays in the order of its stream."""
    return sorted((e for stream in streams for e in stream), key=lambda e: e.at_ms)


def _event(queue: str, mark: bytes, flat: list[bytes]) -> Event:
    pairs = {k.decode(errors="replace"): v.decode(errors="replace") for k, v in zip(flat[::2], flat[1::2])}
    return Event(mark.decode(), queue, pairs.pop("what", ""), pairs.pop("id", ""), pairs)
