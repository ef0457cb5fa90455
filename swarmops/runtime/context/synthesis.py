"""Syntheses: one answer made of many findings (S0-25).

A request waits in its shard until a consumer claims it. The claim is a lease: if it runs out, the request is open
again, and what the late consumer says is refused by the number of the attempt. Whoever waits for the answer is woken.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from swarmops.runtime import wire
from swarmops.runtime.context.contexts import label
from swarmops.runtime.context.shards import shard_keys
from swarmops.runtime.errors import Invalid, Late, NotFound, Refused
from swarmops.runtime.flow import Steps, flow
from swarmops.runtime.ids import name, new_id, number
from swarmops.runtime.op import Arg, Mode, Op, Room, operation

LEASE = 60.0
SOURCES = 1000
_CONTEXT = re.compile(r"ctx:[0-9a-f]{64}")
NAP = 10.0  # seconds that one BLPOP or BLMOVE waits at most


@dataclass(frozen=True, slots=True)
class Synthesis:
    """status: open, claimed, answered, failed. sources: ids of findings, references to contexts. Times in ms."""

    id: str
    shard: str
    status: str
    pass_name: str
    requested_by: str
    instructions: str
    sources: list[str]
    created: int
    attempt: int
    holder: str
    answer: Any
    ended: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Claimed:
    """request: None when there was nothing. due: seconds until somebody's lease runs out, None if nobody has one."""

    request: Synthesis | None
    due: float | None


def split(id: object, path: str = "id") -> tuple[str, str]:
    """Shard and own id of `<shard>.<own id>`. Raises Invalid."""
    shard, dot, own = id.partition(".") if isinstance(id, str) else ("", "", "")
    if not dot:
        raise Invalid(path, f"{str(id)[:80]!r} is not the id of a finding or synthesis (<shard>.<own id>)")
    return name(shard, path), name(own, path)


def _source(value: object, path: str) -> str:
    """`value`, if it is the id of a finding or the reference of a context. Raises Invalid."""
    if isinstance(value, str) and _CONTEXT.fullmatch(value):
        return value
    try:
        return ".".join(split(value))
    except Invalid:
        text = "is neither the id of a finding (<shard>.<own id>) nor a reference to a context (ctx:...)"
        raise Invalid(path, f"{str(value)[:80]!r} {text}") from None


class Syntheses(Room[Mode]):
    """Ask for one, claim, answer, wait."""

    @operation
    def request(
        self,
        shard: str,
        pass_name: str,
        sources: Sequence[str] = (),
        *,
        instructions: str = "",
        by: str = "unknown",
        id: str | None = None,
    ) -> Op[str]:
        """Somebody is to answer; the id. Sources are ids of findings, those of this shard must be there, and references
        to contexts.

        Raises NotFound (shard or source), Full (1,000 wait), Invalid.
        """
        return self._put(shard, pass_name, sources, instructions, by, id, b"")

    @operation
    def put(
        self,
        shard: str,
        pass_name: str,
        answer: Any,
        sources: Sequence[str] = (),
        *,
        by: str = "unknown",
        id: str | None = None,
    ) -> Op[str]:
        """Keep a synthesis that is made already, linked to its sources; the id. Raises like `request`."""
        return self._put(shard, pass_name, sources, "", by, id, wire.dumps(answer, "answer"))

    @operation
    def claim(self, shard: str, consumer: str, lease: float = LEASE) -> Op[Claimed]:
        """The oldest open request, ours for `lease` seconds. Raises NotFound (no such shard)."""
        parts = ("meta", "open", "held", "done", "events")
        args = (shard, name(consumer, "consumer"), _ms(lease))
        return Op(
            "synthesis_claim", shard_keys(self.keys, name(shard, "shard"), *parts), args, partial(_claimed, shard)
        )

    @flow
    def next(self, shard: str, consumer: str, timeout: float, lease: float = LEASE) -> Steps[Synthesis | None]:
        """The same, and waits up to `timeout` seconds for one to come: woken, not polling."""
        end = time.monotonic() + number(timeout, "timeout", 0, 86400)
        key = shard_keys(self.keys, name(shard, "shard"), "wake")[0]
        while True:
            found: Claimed = (yield [self.claim.op(shard, consumer, lease)])[0]
            left = end - time.monotonic()
            if found.request or left <= 0:
                return found.request
            nap = round(max(0.01, min(left, NAP, found.due or NAP)), 3)
            yield [Op("", (key,), ("BLPOP", key, nap), block=nap)]

    @operation
    def renew(self, id: str, consumer: str, attempt: int, lease: float = LEASE) -> Op[bool]:
        """Hold it so much longer from now on. Raises LeaseLost, NotFound."""
        return self._answer(id, consumer, attempt, b"", lease)

    @operation
    def answer(self, id: str, consumer: str, attempt: int, answer: Any) -> Op[bool]:
        """What the holder made of it. Saying the same twice is fine. Raises LeaseLost, NotFound, TooLarge."""
        return self._answer(id, consumer, attempt, wire.dumps(answer, "answer"), 0)

    @operation
    def get(self, id: str) -> Op[Synthesis]:
        """Raises NotFound."""
        shard, own = split(id)
        key = shard_keys(self.keys, shard, "synthesis")[0] + f":{own}"
        return Op("", (key,), ("HGETALL", key), partial(_synthesis, shard, own), safe=True)

    @operation
    def list(self, shard: str, status: str = "open", limit: int = 100) -> Op[list[Synthesis]]:
        """Oldest first. status: open, held (claimed), done (answered or failed; the last 1,000 are kept)."""
        if status not in ("open", "held", "done"):
            raise Invalid("status", f"{str(status)[:80]!r} is none of open, held, done")
        key = shard_keys(self.keys, name(shard, "shard"), status)
        most = int(number(limit, "limit", 1, 10_000))
        return Op("synthesis_list", key, (most,), partial(_listed, shard), safe=True)

    @flow
    def wait(self, id: str, timeout: float = 60.0) -> Steps[Synthesis]:
        """The answered synthesis, as soon as it is. Raises Late, NotFound, Refused (five consumers died of it)."""
        shard, own = split(id)
        end = time.monotonic() + number(timeout, "timeout", 0, 86400)
        key = shard_keys(self.keys, shard, "answer")[0] + f":{own}"
        while True:
            found: Synthesis = (yield [self.get.op(id)])[0]
            if found.status == "failed":
                raise Refused(f"synthesis {id} has failed: {found.attempt} consumers took it and none answered")
            if found.status == "answered":
                return found
            left = end - time.monotonic()
            if left <= 0:
                raise Late(f"synthesis {id} is still {found.status} after {timeout:g} s")
            nap = round(max(0.01, min(left, NAP)), 3)
            # The token moves onto its own list: it stays for the others who wait.
            yield [Op("", (key,), ("BLMOVE", key, key, "LEFT", "RIGHT", nap), block=nap, safe=True)]

    def _put(
        self,
        shard: str,
        pass_name: str,
        sources: Sequence[str],
        instructions: str,
        by: str,
        id: str | None,
        answer: bytes,
    ) -> Op[str]:
        own = name(id, "id") if id is not None else new_id()
        parts = ("meta", "finding", "open", "done", "events")
        if isinstance(sources, str) or len(sources) > SOURCES:
            raise Invalid("sources", f"is not a list of at most {SOURCES} ids")
        asked = [_source(s, f"sources[{i}]") for i, s in enumerate(sources)]
        here: tuple[str, ...] = tuple(s.partition(".")[2] for s in asked if s.startswith(f"{shard}."))
        body = wire.dumps({"sources": asked, "instructions": instructions}, "instructions")
        args: tuple[Arg, ...] = (
            shard,
            own,
            label(pass_name, "pass_name"),
            label(by, "by"),
            body,
            answer,
            len(here),
            *here,
        )
        keys = shard_keys(self.keys, name(shard, "shard"), *parts)
        return Op("synthesis_put", keys, args, lambda _: f"{shard}.{own}", safe=True, durable=True)

    def _answer(self, id: str, consumer: str, attempt: int, answer: bytes, lease: float) -> Op[bool]:
        shard, own = split(id)
        args = (shard, own, name(consumer, "consumer"), int(attempt), answer, _ms(lease) if not answer else 0)
        keys = shard_keys(self.keys, shard, "meta", "held", "done", "events")
        return Op("synthesis_answer", keys, args, bool, safe=True, durable=bool(answer))


def _ms(seconds: float) -> int:
    return int(number(seconds, "lease", 0.01, 86400) * 1000)


def _synthesis(shard: str, own: str, flat: Any) -> Synthesis:
    if not flat:
        raise NotFound(f"there is no synthesis {shard}.{own} here")
    said = {k.decode(): v for k, v in zip(flat[::2], flat[1::2])}
    body = wire.loads(said["body"], "synthesis")
    return Synthesis(
        id=f"{shard}.{own}",
        shard=shard,
        status=said["status"].decode(),
        pass_name=said["pass"].decode(),
        requested_by=said["by"].decode(),
        instructions=body["instructions"],
        sources=body["sources"],
        created=int(said["created"]),
        attempt=int(said["attempts"]),
        holder=said.get("holder", b"").decode(),
        answer=wire.loads(said["answer"], "answer") if "answer" in said else None,
        ended=int(said.get("ended", 0)),
    )


def _claimed(shard: str, reply: Any) -> Claimed:
    own, flat, due = reply
    request = _synthesis(shard, own.decode(), flat) if own else None
    return Claimed(request, due / 1000 if due >= 0 else None)


def _listed(shard: str, reply: Any) -> list[Synthesis]:
    return [_synthesis(shard, own.decode(), flat) for own, flat in zip(reply[::2], reply[1::2]) if flat]
