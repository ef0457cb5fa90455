"""Messages (S3-11 to S3-20, S2-01, S1-06): inboxes that keep what is sent until it is acknowledged, and channels.

An inbox (`agent.<id>`, `swarm.<id>`) holds each message until `ack`; what was taken and not acknowledged in time is
handed out again. A channel keeps the last 1,000 messages of the last hour; each member has a place in it that only
moves forward when it says so. The loops that receive are in inbox.py, requests in requests.py.
"""

from __future__ import annotations

from typing import Any

from swarmops.runtime.errors import Forbidden, Invalid
from swarmops.runtime.ids import name, new_id, number
from swarmops.runtime.messages.envelope import (
    CONFIG_UPDATE,
    DEAD,
    FAILED,
    RESPONSE,
    Envelope,
    address,
    check_payload,
    check_type,
    inbox_address,
)
from swarmops.runtime.messages.records import (
    Configuration,
    Place,
    Sent,
    checked_mark,
    configuration,
    cost,
    limits,
    place,
    read_entries,
    taken,
)
from swarmops.runtime.op import Executor, Mode, Op, Room, operation, same
from swarmops.runtime.wire import dumps

VISIBLE = 60.0  # seconds that somebody may take to handle a message
TRIES = 5  # deliveries


class Messages(Room[Mode]):
    """Sending, taking and acknowledging, channels, the pushed configuration. `bound(sender)` signs all."""

    def __init__(self, runtime: Executor, sender: str = ""):
        super().__init__(runtime)
        self.sender = sender and address(sender, "sender")

    def bound(self, sender: str) -> Messages[Mode]:
        """The same room for one sender: it can send as nobody else (case 75)."""
        return Messages(self.runtime, sender)

    # -- sending

    @operation
    def send(
        self,
        to: str,
        type: str,
        payload: Any = None,
        *,
        sender: str = "",
        id: str = "",
        correlation: str = "",
        ttl: float = 0,
        asks: bool = False,
    ) -> Op[Sent]:
        """Put a message into the inbox `to`, where it stays until acknowledged, also while nobody is there.

        Raises NotFound for an address that nobody ever registered or read, Full if its inbox has 1,000 unread ones or
        the sender is too fast (see `retry_after`), Forbidden for somebody else's name, Invalid, TooLarge.
        ttl: seconds after which nobody wants it (0: never). asks: an answer is waited for so long (see requests.py).
        """
        target, kind, data = inbox_address(to, "to"), check_type(type), self._payload(type, payload)
        id = name(id, "id") if id else new_id()
        correlation = correlation and name(correlation, "correlation")
        made: Envelope = Envelope(id, kind, self._from(sender), target, None, correlation=correlation, asks=asks)
        who = target.partition(".")
        keys = (
            self._key("inbox", target),
            self._key(who[0], who[2]),
            self._key("inboxes"),
            self._key("request", id),
            *self._sending(made.sender),
        )
        number(ttl, "ttl", 0.001 if asks else 0, 7 * 86400)
        args = (target, made.sender, id, made.header, data, cost(data), round(ttl * 1000), int(asks))
        return Op(
            "message_send", keys, args, lambda r: Sent(id, target, r[0] == 1, waiting=r[1]), safe=True, durable=True
        )

    @operation
    def broadcast(
        self, type: str, payload: Any = None, *, channel: str = "global", sender: str = "", id: str = ""
    ) -> Op[Sent]:
        """Put a message into a channel: each member gets it once, the sender does not. Raises as `send` does."""
        where = name(channel, "channel")
        if where == DEAD:
            raise Invalid("channel", f"{DEAD} is where messages are put that were given up")
        kind, data = check_type(type), self._payload(type, payload)
        id = name(id, "id") if id else new_id()
        made: Envelope = Envelope(id, kind, self._from(sender), where, None)
        keys = (
            self._key("channel", where),
            self._key("member", where),
            self._key("channels"),
            self._key("channel_numbers"),
            *self._sending(made.sender),
        )
        args = (where, made.sender, id, made.header, data, cost(data))
        return Op(
            "message_publish", keys, args, lambda r: Sent(id, where, r[0] == 1, members=r[1]), safe=True, durable=True
        )

    @operation
    def reply(
        self, to: Envelope | str, payload: Any = None, *, error: str = "", sender: str = "", id: str = ""
    ) -> Op[bool]:
        """Answer a request (its envelope or id), once; `error`: why not. Raises Late, Forbidden if not asked."""
        request = to.id if isinstance(to, Envelope) else name(to, "to")
        asked, caller = (to.to, to.sender) if isinstance(to, Envelope) else ("", "client")
        kind = FAILED if error else RESPONSE
        data: bytes = self._payload(kind, {"error": error} if error else payload)
        made: Envelope = Envelope(id or new_id(), kind, self._from(sender or asked), caller, None, correlation=request)
        keys = (self._key("request", request), self._key("reply", request), self._key("stats"))
        return Op(
            "message_reply", keys, (made.sender, name(made.id, "id"), made.header, data, request), bool, safe=True
        )

    # -- inboxes

    @operation
    def take(self, inbox: str, count: int = 64, *, visible: float = VISIBLE, tries: int = TRIES) -> Op[list[Envelope]]:
        """Up to `count` messages, which nobody else gets for `visible` seconds. Acknowledge them when handled.

        A message taken `tries` times without that goes to the channel `dead`. Entries that are no messages are
        passed over, and end there too. Taking opens the inbox: from now on it can be written to.
        """
        number(count, "count", 1, 1000)
        number(visible, "visible", 0.001, 86400)
        number(tries, "tries", 1, 1000)
        where = inbox_address(inbox, "inbox")
        keys = (
            self._key("inbox", where),
            self._key("inboxes"),
            self._key("channel", DEAD),
            self._key("events"),
            self._key("stats"),
        )
        return Op("message_take", keys, (where, int(count), round(visible * 1000), int(tries)), taken, safe=True)

    @operation
    def ack(self, inbox: str, *marks: str) -> Op[int]:
        """Handled: forget these messages (by `mark`). The number that was still there."""
        if not 1 <= len(marks) <= 1000:
            raise Invalid("marks", f"{len(marks)} marks; from 1 to 1,000 at once")
        where = inbox_address(inbox, "inbox")
        return Op(
            "message_ack",
            (self._key("inbox", where), self._key("stats")),
            tuple(checked_mark(m, "marks") for m in marks),
            int,
            safe=True,
        )

    @operation
    def peek(self, inbox: str, count: int = 100) -> Op[list[Envelope]]:
        """The oldest unacknowledged messages of an inbox. Takes nothing."""
        where = self._key("inbox", inbox_address(inbox, "inbox"))
        return Op("", (where,), ("XRANGE", where, "-", "+", "COUNT", int(count)), read_entries, safe=True)

    @operation
    def undelivered(self, inbox: str) -> Op[int]:
        """How many messages an inbox holds that nobody has acknowledged."""
        where = self._key("inbox", inbox_address(inbox, "inbox"))
        return Op("", (where,), ("XLEN", where), int, safe=True)

    # -- channels

    @operation
    def history(self, channel: str = "global", limit: int = 100) -> Op[list[Envelope]]:
        """The newest of a channel first: at most 1,000, none older than an hour (S3-15). `dead`: of any age."""
        where: str = name(channel, "channel")
        number(limit, "limit", 1, 1_000_000)
        keys = (self._key("channel", where), self._key("message_limits"))
        return Op("message_history", keys, (int(limit), int(where == DEAD)), read_entries, safe=True)

    @operation
    def join(self, channel: str, *members: str) -> Op[list[Place]]:
        """Receive what is sent to a channel from now on, or from where one stopped. The members' places."""
        where: str = name(channel, "channel")
        keys: tuple[str, ...] = (*self._members(where), self._key("channel_numbers"))
        return Op(
            "message_join",
            (self._key("channel", where), *keys),
            (*(inbox_address(m, "members") for m in members), where),
            lambda r: [place(one) for one in r],
            safe=True,
        )

    @operation
    def leave(self, channel: str, member: str) -> Op[int]:
        """Receive no more of a channel, and forget one's place in it."""
        cursor, member_key = self._members(name(channel, "channel"))
        return Op("message_leave", (cursor, member_key), (inbox_address(member, "member"),), int, safe=True)

    @operation
    def seen(self, channel: str, places: dict[str, Place]) -> Op[int]:
        """Move members' places forward (never back): what lies before is handled."""
        args: list[str | int] = []
        for member, at in places.items():
            args += [inbox_address(member, "member"), checked_mark(at.mark, "mark"), at.seq]
        return Op("message_seen", self._members(name(channel, "channel")), tuple(args), int, safe=True)

    @operation
    def members(self, channel: str) -> Op[list[str]]:
        """Who receives a channel, longest unseen first."""
        where = self._members(name(channel, "channel"))[1]
        return Op("", (where,), ("ZRANGE", where, 0, -1), lambda r: [m.decode() for m in r], safe=True)

    @operation
    def channels(self) -> Op[list[str]]:
        """Channels that were written to, the newest last."""
        where = self._key("channels")
        return Op("", (where,), ("ZRANGE", where, 0, -1), lambda r: [m.decode() for m in r], safe=True)

    # -- configuration

    @operation
    def push_config(self, config: dict[str, Any], *, sender: str = "", id: str = "") -> Op[int]:
        """Send a configuration to all in the channel `agents`, as its next version, which is the result (S1-06)."""
        check_payload(CONFIG_UPDATE, {"version": 0, "config": config})
        made: Envelope = Envelope(id or new_id(), CONFIG_UPDATE, self._from(sender), "agents", None)
        keys = (
            self._key("config"),
            self._key("config_confirmed"),
            self._key("channel", "agents"),
            self._key("channels"),
            self._key("channel_numbers"),
            self._key("message_limits"),
            self._key("events"),
            self._key("stats"),
        )
        args = (made.sender, name(made.id, "id"), made.header, dumps(config, "config"))
        return Op("message_config", keys, args, int, safe=True, durable=True)

    @operation
    def config(self, member: str = "", applied: int = 0) -> Op[Configuration]:
        """What holds and who applied it; with `member`, it has applied version `applied`."""
        keys = (self._key("config"), self._key("config_confirmed"), self._key("member", "agents"))
        said = (inbox_address(member, "member"), int(number(applied, "applied", 0, 1 << 53))) if member else ()
        return Op("message_configured", keys, said, configuration, safe=True)

    @operation
    def configure(
        self,
        *,
        rate: float | None = None,
        burst: int | None = None,
        inbox: int | None = None,
        history: int | None = None,
        age: float | None = None,
    ) -> Op[int]:
        """Limits for all, at once: messages a second and sender, burst, inbox length, channel length, age (s)."""
        where = self._key("message_limits")
        said: list[str] = limits({"rate": rate, "burst": burst, "inbox": inbox, "history": history, "age": age})
        return Op("", (where,), ("HSET", where, *said), same, safe=True)

    # -- parts

    def key_of(self, inbox: str = "", *, channel: str = "") -> str:
        """The stream of an inbox or a channel, to wait for."""
        return self._key("channel", channel) if channel else self._key("inbox", inbox)

    def _key(self, *parts: str) -> str:
        return self.keys.registry(*parts)

    def _members(self, channel: str) -> tuple[str, str]:
        return self._key("cursor", channel), self._key("member", channel)

    def _sending(self, sender: str) -> tuple[str, ...]:
        return self._key("sent", sender), self._key("rate", sender), self._key("message_limits"), self._key("stats")

    def _from(self, sender: str) -> str:
        found = address(sender, "sender") if sender else self.sender or "client"
        if self.sender and found != self.sender:
            raise Forbidden(f"{self.sender} cannot send as {found}")
        return found

    def _payload(self, type: str, payload: Any) -> bytes:
        held = {} if payload is None else payload
        check_payload(type, held)
        return dumps(held, "payload")
