"""What the synchronous and the asyncio inbox have in common: handlers, and what becomes of what they did."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from swarmops.runtime.errors import Refused, SwarmError
from swarmops.runtime.messages.desk import Delivery, Desk, Handler
from swarmops.runtime.messages.envelope import REQUEST
from swarmops.runtime.messages.room import TRIES, VISIBLE
from swarmops.runtime.op import Op, good
from swarmops.runtime.rooms import Rooms

Rt = TypeVar("Rt", bound=Rooms[Any])
OnError = Callable[[Delivery, Exception], None]
log = logging.getLogger(__name__)


def logged(delivery: Delivery, e: Exception) -> None:
    envelope = delivery.envelope
    log.warning(
        "%s: %s %s failed: %s: %s", delivery.address, envelope.type, envelope.id, type(e).__name__, str(e)[:200]
    )


class Receiver(Generic[Rt]):
    """What both kinds have in common. What each waits with is made in its `_prepare`."""

    _ready: threading.Event | asyncio.Event  # set when the channels are joined

    def __init__(
        self,
        rt: Rt,
        address: str = "",
        channels: Sequence[str] = ("global",),
        *,
        visible: float = VISIBLE,
        tries: int = TRIES,
        on_error: OnError = logged,
    ):
        self.rt, self._on_error = rt, on_error
        self.desk = Desk(rt.messages, visible, tries)
        self.trouble: SwarmError | None = None  # why receiving waits
        self._prepare()
        if address:
            self.desk.add(address, channels)

    def _prepare(self) -> None:
        raise NotImplementedError

    def on(self, type: str, handler: Handler, address: str = "") -> Callable[[], None]:
        """Call `handler(payload, envelope)` for messages of `type` ("*": all), for one address or for all of them.

        The result takes the handler away again. An inbox keeps messages that nobody handles, and gives them up at last.
        """
        return self.desk.on(type, handler, address)

    @property
    def missed(self) -> int:
        """Messages of channels that were older than a channel keeps when we came to read them."""
        return self.desk.missed

    def _trouble(self, e: SwarmError) -> None:
        self.trouble = e
        self.desk.unheard()
        log.warning("receiving waits: %s", e)

    def _came(self, joins: Sequence[Any], takes: Sequence[Any], found: list[Any]) -> list[Delivery]:
        """What the answers to joins and takes bring: the messages to handle now."""
        for (channel, who, _), places in zip(joins, good(found[: len(joins)])):
            self.desk.joined(channel, who, places)
        self.trouble = None
        self._ready.set()
        arrived = self.desk.due()
        for (address, _), envelopes in zip(takes, found[len(joins) :]):
            arrived += self._took(address, envelopes)
        return arrived

    def _took(self, address: str, outcome: Any) -> list[Delivery]:
        """What an inbox gave. One that is broken does not hold up the others."""
        if isinstance(outcome, Refused):
            log.warning("%s: %s", address, outcome)
            self.desk.broken.add(address)
            return []
        return self.desk.took(address, *good([outcome]))

    def _outcome(self, delivery: Delivery, handled: int, answer: Any, errors: list[Exception]) -> list[Op[Any]]:
        """What the handlers made of a message. The answer to send, if it was a request."""
        envelope = delivery.envelope
        if not handled and not delivery.channel:
            errors = [LookupError(f"nobody handles {envelope.type}")]
        for e in errors:
            self._on_error(delivery, e)
        if envelope.asks and envelope.type == REQUEST and (errors or answer is not None):
            self.desk.done(delivery)
            return [self._answer(delivery, answer, errors)]
        if errors:
            self.desk.fail(delivery)
        else:
            self.desk.done(delivery)
        return []

    def _answer(self, delivery: Delivery, answer: Any, errors: list[Exception]) -> Op[Any]:
        room, who = self.desk.room, delivery.address
        try:
            if not errors:
                return room.reply.op(delivery.envelope, answer, sender=who)
        except SwarmError as e:  # no JSON, or too large
            errors = [e]
            self._on_error(delivery, e)
        why = f"{type(errors[0]).__name__}: {errors[0]}"
        return room.reply.op(delivery.envelope, error=why[:2000].encode(errors="replace").decode(), sender=who)
