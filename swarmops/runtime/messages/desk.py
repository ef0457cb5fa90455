"""What a receiver knows: its addresses, where it is in each channel, what failed. Nothing here waits; see inbox.py."""

from __future__ import annotations

import heapq
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from swarmops.runtime.errors import Invalid
from swarmops.runtime.ids import name, new_id
from swarmops.runtime.messages.envelope import Envelope, check_type, from_entry, inbox_address
from swarmops.runtime.messages.records import Place
from swarmops.runtime.messages.room import TRIES, VISIBLE, Messages
from swarmops.runtime.op import Arg, Op

Handler = Callable[[Any, Envelope], Any]
BATCH = 64  # messages of one stream in one answer
SLICE = 5.0  # seconds that one wait lasts at most
REFRESH = 300.0  # seconds after which a member says that it is still there
KNOWN = 10_000  # ids of handled messages that are remembered, so that one whose ack was lost is not handled again
FAILING = 1000  # messages of one channel that wait to be tried again


@dataclass(slots=True)
class Spot:
    """Where one address is in one channel. `kept` is what Redis knows, and does not pass what still fails."""

    at: tuple[int, int]
    read: Place
    kept: Place
    missed: int = 0
    failing: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message for one address. channel "" is its inbox."""

    address: str
    channel: str
    envelope: Envelope


class Desk:
    """The bookkeeping of an Inbox and an AsyncInbox, which carry its operations out and call the handlers."""

    def __init__(self, room: Messages[Any], visible: float = VISIBLE, tries: int = TRIES):
        self.room, self.visible, self.tries = room, visible, tries
        self.bell = room.keys.registry("bell", new_id())
        self.channels: dict[str, dict[str, Spot]] = {}
        self.handlers: dict[tuple[str, str], tuple[Handler, ...]] = {}
        self.woken: set[str] = set()
        self.failed = 0
        self.broken: set[str] = set()  # inboxes that are looked at from time to time only
        self._hints: dict[str, str] = {}
        self._rung = "0-0"
        self._unjoined: list[tuple[str, str]] = []
        self._acks: dict[str, list[str]] = {}
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._later: list[tuple[float, int, Delivery]] = []
        self._sweep = self._refresh = 0.0

    # -- who listens to what

    def add(self, address: str, channels: Sequence[str]) -> None:
        where = inbox_address(address, "address")
        if isinstance(channels, str):
            raise Invalid("channels", "is not a list of names")
        for channel in dict.fromkeys(channels):
            self._unjoined.append((name(channel, "channel"), where))
        self._hints.setdefault(where, "0-0")
        self.woken.add(where)

    def remove(self, address: str) -> list[Op[Any]]:
        """Stop listening for `address`; the operations that forget its places."""
        self._hints.pop(address, None)
        self.woken.discard(address)
        return [self.room.leave.op(c, address) for c, spots in self.channels.items() if spots.pop(address, None)]

    def on(self, type: str, handler: Handler, address: str = "") -> Callable[[], None]:
        """Call `handler(payload, envelope)` for messages of `type` ("*": all). The result takes it away again."""
        key = (address, type if type == "*" else check_type(type))
        self.handlers[key] = (*self.handlers.get(key, ()), handler)

        def remove() -> None:
            held = list(self.handlers.get(key, ()))
            if handler in held:
                held.remove(handler)
            self.handlers[key] = tuple(held)

        return remove

    def who(self, delivery: Delivery) -> list[Handler]:
        type = delivery.envelope.type
        keys = ((delivery.address, type), ("", type), (delivery.address, "*"), ("", "*"))
        return [h for key in keys for h in self.handlers.get(key, ())]

    # -- what to ask of Redis

    def joins(self) -> list[tuple[str, list[str], Op[list[Place]]]]:
        """Channels to join, and who joins them; `joined` gets each answer."""
        wanted: dict[str, list[str]] = {}
        for channel, address in list(self._unjoined):
            wanted.setdefault(channel, []).append(address)
        return [(c, who, self.room.join.op(c, *who)) for c, who in wanted.items()]

    def joined(self, channel: str, who: list[str], places: list[Place]) -> None:
        spots = self.channels.setdefault(channel, {})
        for address, place in zip(who, places):
            spots.setdefault(address, Spot(order(place.mark), place, place))
            self._unjoined.remove((channel, address))
            if address not in self._hints:  # taken away meanwhile
                spots.pop(address)

    def takes(self) -> list[tuple[str, Op[list[Envelope]]]]:
        """Inboxes to look into: those that something came for, and from time to time all, for what is due again."""
        now = time.monotonic()
        if now >= self._sweep:
            self._sweep = now + max(self.visible / 2, 0.02)
            self.woken.update(self._hints)
        found = [(a, self.room.take.op(a, BATCH, visible=self.visible, tries=self.tries)) for a in sorted(self.woken)]
        self.woken.clear()
        return found

    def took(self, address: str, envelopes: list[Envelope]) -> list[Delivery]:
        if address not in self._hints:
            return []
        self.broken.discard(address)
        if len(envelopes) == BATCH:
            self.woken.add(address)
        for envelope in envelopes:
            if order(envelope.mark) > order(self._hints[address]):
                self._hints[address] = envelope.mark
        return [Delivery(address, "", e) for e in envelopes]

    def flush(self) -> list[Op[Any]]:
        """Acknowledgements that Redis has not heard yet."""
        ops: list[Op[Any]] = []
        for address, marks in self._acks.items():
            ops += [self.room.ack.op(address, *marks[i : i + 1000]) for i in range(0, len(marks), 1000)]
        self._acks = {}
        now = time.monotonic()
        late = now >= self._refresh
        self._refresh = now + REFRESH if late else self._refresh
        for channel, spots in list(self.channels.items()):
            moved = {a: s.read for a, s in list(spots.items()) if not s.failing and (late or s.kept != s.read)}
            for address in moved:
                spots[address].kept = spots[address].read
            if moved:
                ops.append(self.room.seen.op(channel, moved))
        return ops

    def unheard(self) -> None:
        """A flush may not have arrived: places are said again, and inboxes hand out again what they still hold."""
        self._refresh = 0.0

    def wait(self) -> Op[list[tuple[str, list[Any]]]]:
        """Wait for anything new, until something is due again."""
        due = min([self._sweep, *(t for t, _, _ in self._later[:1])]) - time.monotonic()
        ms = max(1, round(min(SLICE, due) * 1000))
        streams = {self.room.key_of(a): mark for a, mark in list(self._hints.items()) if a not in self.broken}
        for channel, spots in list(self.channels.items()):
            if spots:
                streams[self.room.key_of(channel=channel)] = min(list(spots.values()), key=lambda s: s.at).read.mark
        streams[self.bell] = self._rung
        args: tuple[Arg, ...] = ("XREAD", "COUNT", BATCH, "BLOCK", ms, "STREAMS", *streams, *streams.values())
        return Op("", (self.bell,), args, _streams, safe=True, block=ms / 1000)

    def ring(self) -> list[Op[Any]]:
        """What ends a wait."""
        return [
            Op("", (self.bell,), ("XADD", self.bell, "MAXLEN", 1, "*", "r", 1)),
            Op("", (self.bell,), ("PEXPIRE", self.bell, 60000)),
        ]

    # -- what came

    def came(self, streams: list[tuple[str, list[Any]]]) -> list[Delivery]:
        """Messages of channels; inboxes that something came for are woken."""
        found: list[Delivery] = []
        inboxes = {self.room.key_of(a): a for a in list(self._hints)}
        channels = {self.room.key_of(channel=c): c for c in list(self.channels)}
        for key, entries in streams:
            if key == self.bell:
                self._rung = entries[-1][0].decode()
            elif key in inboxes:
                self._hints[inboxes[key]] = entries[-1][0].decode()
                self.woken.add(inboxes[key])
            elif key in channels:
                for mark, fields in entries:
                    found += self._read(channels[key], mark, fields)
        return found

    def _read(self, channel: str, mark: bytes, fields: list[bytes]) -> list[Delivery]:
        at = order(mark.decode())
        try:
            envelope = from_entry(mark, fields)
        except ValueError:  # somebody else wrote it: step over
            envelope = Envelope("", "", "", channel, None, mark=mark.decode())
        found = []
        for address, spot in list(self.channels[channel].items()):
            if spot.at >= at:
                continue
            if envelope.seq > spot.read.seq + 1:
                spot.missed += envelope.seq - spot.read.seq - 1
            spot.at, spot.read = at, Place(envelope.mark, envelope.seq or spot.read.seq)
            if envelope.id and envelope.sender != address:
                found.append(Delivery(address, channel, envelope))
        return found

    def due(self) -> list[Delivery]:
        """Messages of channels that are tried again now."""
        found = []
        while self._later and self._later[0][0] <= time.monotonic():
            found.append(heapq.heappop(self._later)[2])
        return found

    # -- what became of it

    def wanted(self, delivery: Delivery) -> bool:
        """False if it was handled before; then it is done."""
        if (delivery.address, delivery.envelope.id) in self._known:
            self.done(delivery)
            return False
        return True

    def done(self, delivery: Delivery) -> None:
        envelope = delivery.envelope
        self._known[delivery.address, envelope.id] = None
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        if not delivery.channel:
            self._acks.setdefault(delivery.address, []).append(envelope.mark)
        elif spot := self.channels[delivery.channel].get(delivery.address):
            spot.failing.discard(envelope.mark)

    def fail(self, delivery: Delivery) -> bool:
        """Try again later; False if that was the last time (an inbox puts it among the dead by itself)."""
        self.failed += 1
        envelope = delivery.envelope
        if not delivery.channel:
            return envelope.retry_count + 1 < self.tries
        spot = self.channels[delivery.channel].get(delivery.address)
        if spot is None or envelope.retry_count + 1 >= self.tries or len(spot.failing) >= FAILING:
            self.done(delivery)
            return False
        spot.failing.add(envelope.mark)
        again = replace(delivery, envelope=replace(envelope, retry_count=envelope.retry_count + 1))
        heapq.heappush(self._later, (time.monotonic() + self.visible, id(again), again))
        return True

    @property
    def missed(self) -> int:
        """Messages of channels that had been trimmed before we came to read them."""
        return sum(s.missed for spots in self.channels.values() for s in spots.values())


def order(mark: str) -> tuple[int, int]:
    ms, _, n = mark.partition("-")
    return int(ms), int(n)


def _streams(reply: Any) -> list[tuple[str, list[Any]]]:
    return [(key.decode(), entries) for key, entries in reply or ()]
