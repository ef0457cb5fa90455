"""A site's Redis and a central one (S0-30, S0-31).

The site works by itself. Every 300 s, or when asked, `sync_now` gives back results of tasks, takes tasks from the
centre, pushes findings, and brings contexts that another site looks for. Each part may be done twice, or end anywhere:

- A finding keeps its id, and the centre takes an id once. How far each shard was pushed is noted after the push.
- A task is claimed at the centre under a lease by the worker `uplink-<site>`, then noted here and submitted here by
  the same id, in one flush. What was claimed and not noted (we died between) is handed back at the next sync. The note
  goes when the centre has the result, or says that it no longer wants it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from swarmops.runtime import wire
from swarmops.runtime.context.contexts import Contexts, sha_of
from swarmops.runtime.context.findings import Findings
from swarmops.runtime.context.shards import Shard, Shards, ShardState
from swarmops.runtime.errors import Corrupt, NotFound, SwarmError
from swarmops.runtime.flow import On, Steps, elsewhere
from swarmops.runtime.ids import name, number
from swarmops.runtime.op import Op
from swarmops.runtime.tasks import Tasks
from swarmops.runtime.tasks.records import ENDED, Claim, Outcome

EVERY = 300.0
HOLD = 500  # tasks of the centre that a site has at a time
PAGE = 500


@dataclass(slots=True)
class Synced:
    """What one synchronisation did."""

    pushed: int = 0
    pulled: int = 0
    returned: int = 0
    sent: int = 0

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class UplinkStatus:
    """behind: findings not pushed yet; lag: age of the oldest of them in seconds; held: tasks of the centre here.

    last_try and last_ok in ms of the site's clock; the counts are since ever.
    """

    site: str
    behind: int
    lag: float
    held: int
    last_try: int
    last_ok: int
    error: str
    failures: int
    pushed: int
    pulled: int
    returned: int
    sent: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Link:
    """What Uplink and AsyncUplink have: the plans that they carry out."""

    def __init__(
        self,
        local: Any,
        central: Any,
        site: str,
        every: float = EVERY,
        *,
        queues: Mapping[str, str] | None = None,
        hold: int = HOLD,
        lease: float | None = None,
    ):
        """queues: of the centre -> of the site (default: `site-<site>` -> `default`). lease: of taken tasks (s)."""
        self.local, self.central, self.site = local, central, name(site, "site")
        self.every = number(every, "every", 0.01, 7 * 86400)
        self.queues = dict(queues or {f"site-{site}": "default"})
        self.hold = int(number(hold, "hold", 1, 10_000))
        self.worker = name(f"uplink-{site}", "site")
        self._lease = int(1000 * (lease or max(60.0, 3 * every)))
        self._note = local.keys.registry("uplink")
        self._table = local.keys.registry("uplink_tasks")
        self._wanted = central.keys.registry("ctx_wanted")
        self._here, self._there = Shards[Any](local), Shards[Any](central)
        self._contexts, self._contexts_there = Contexts[Any](local), Contexts[Any](central)
        self._findings, self._findings_there = Findings[Any](local), Findings[Any](central)
        self._tasks, self._tasks_there = Tasks[Any](local), Tasks[Any](central)

    def _at_centre(self, *ops: Op[Any]) -> On:
        return On(self.central, ops)

    def sync_steps(self) -> Steps[Synced]:
        did = Synced()
        try:
            for queue, into in self.queues.items():
                yield from self._exchange_tasks(queue, into, did)
            yield from self._push(did)
            yield from self._bring(did)
        except SwarmError as e:
            with contextlib.suppress(SwarmError):
                yield [self._noted(did, str(e) or type(e).__name__)]
            raise
        yield [self._noted(did, "")]
        return did

    def _noted(self, did: Synced, error: str) -> Op[Any]:
        args = (int(not error), error, did.pushed, did.pulled, did.returned, did.sent)
        return Op("uplink_note", (self._note,), args)

    # -- tasks

    def _exchange_tasks(self, queue: str, into: str, did: Synced) -> Steps[None]:
        table = (yield [self._command(self._table, "HGETALL", self._table)])[0]
        held = {k.decode(): json.loads(v) for k, v in zip(table[::2], table[1::2])}
        mine = {id: note for id, note in held.items() if note["from"] == queue}
        outcomes = yield from self._outcomes(mine)
        want = max(0, self.hold - len(held) + len(outcomes))
        step = self._tasks_there.step.op(
            self.worker, outcomes, want=want, lease_ms=self._lease, queue=queue, holding=list(mine)
        )
        answer = (yield self._at_centre(step))[0]
        refused = {id for id, _ in answer.refused}
        over = [o.id for o in outcomes] + answer.lost
        if over:
            yield [self._command(self._table, "HDEL", self._table, *over)]
        did.returned += sum(1 for o in outcomes if o.id not in refused)
        if answer.strays:
            back = self._tasks_there.step.op(self.worker, lease_ms=self._lease, queue=queue, released=answer.strays)
            yield self._at_centre(back)
        for claim in answer.tasks:
            yield self._take(claim, queue, into)
        did.pulled += len(answer.tasks)

    def _take(self, claim: Claim, queue: str, into: str) -> Sequence[Op[Any]]:
        note = {
            "attempt": claim.attempt,
            "from": queue,
            "into": into,
            "kind": claim.kind,
            "args": json.loads(claim.args),
        }
        note |= {"timeout": claim.timeout_ms / 1000 or None, "priority": claim.priority, "meta": dict(claim.meta)}
        return [
            self._command(self._table, "HSET", self._table, claim.id, wire.dumps(note, limit=2 * wire.LIMIT)),
            self._submit(claim.id, note),
        ]

    def _submit(self, id: str, note: Mapping[str, Any]) -> Op[Any]:
        return self._tasks.submit.op(
            note["kind"], note["args"], id=id, queue=note["into"], priority=note["priority"], timeout=note["timeout"],
            meta={**note["meta"], "from": "uplink"},
        )  # fmt: skip

    def _outcomes(self, mine: Mapping[str, Mapping[str, Any]]) -> Steps[list[Outcome]]:
        """Of those that have ended here."""
        found: list[Outcome] = []
        tasks = yield [_or_none(self._tasks.get.op(id, queue=note["into"])) for id, note in mine.items()]
        for (id, note), task in zip(mine.items(), tasks):
            if task is None:  # noted, but the flush broke before it was submitted
                yield [self._submit(id, note)]
                continue
            if task.status == "done":
                found.append(Outcome(id, note["attempt"], wire.dumps(task.result, "result")))
            elif task.status in ENDED:
                why = f"{task.status} at site {self.site}: {task.error or ''}"
                found.append(Outcome(id, note["attempt"], error=why, retry=False))
        return found

    # -- findings

    def _push(self, did: Synced) -> Steps[None]:
        shards: Sequence[Shard] = (yield [self._here.list.op(everyone=True)])[0]
        cursors = yield from self._cursors(shards)
        for shard in shards:
            try:
                state: ShardState = (yield [self._here.get.op(shard.id)])[0]
            except NotFound:
                continue
            at = cursors[shard.id]
            if shard.alive or state.last > at:
                yield from self._announce(shard, state)
            while state.last > at:
                page = (yield [self._findings.list.op(shard.id, limit=PAGE, after=at)])[0]
                if page.findings:
                    push = self._findings_there.add_all.op(shard.id, page.findings, self.site)
                    did.pushed += (yield self._at_centre(push))[0]
                at = page.next or state.last
                yield [self._command(self._note, "HSET", self._note, f"cursor:{shard.id}", at)]

    def _announce(self, shard: Shard, state: ShardState) -> Steps[None]:
        """The centre knows the shard, and which context it has; the content goes when somebody asks for it."""
        yield from elsewhere(
            self.central,
            self._there.register.steps(
                shard.id, shard.specialization, context_capacity=shard.context_capacity, queue=shard.queue,
                ttl=3 * self.every if shard.alive else 0.01, site=self.site,
            ),
        )  # fmt: skip
        if state.newest:
            yield self._at_centre(self._there.version_op(shard.id, state.newest))

    def _cursors(self, shards: Sequence[Shard]) -> Steps[dict[str, int]]:
        if not shards:
            return {}
        fields = [f"cursor:{s.id}" for s in shards]
        found = (yield [self._command(self._note, "HMGET", self._note, *fields)])[0]
        return {s.id: int(at or 0) for s, at in zip(shards, found)}

    # -- contexts

    def _bring(self, did: Synced) -> Steps[None]:
        wanted = (yield self._at_centre(self._command(self._wanted, "ZRANGE", self._wanted, 0, -1)))[0]
        for sha in [w.decode() for w in wanted]:
            try:
                data = yield from self._contexts.read.steps(sha)
                about = yield from self._contexts.about.steps(sha)
            except (NotFound, Corrupt):
                continue
            yield from elsewhere(self.central, self._contexts_there.store.steps(data, about.source))
            yield self._at_centre(self._command(self._wanted, "ZREM", self._wanted, sha))
            did.sent += 1

    def resolve_steps(self, ref: str | Mapping[str, Any]) -> Steps[bytes]:
        with contextlib.suppress(NotFound):
            return (yield from self._contexts.resolve.steps(ref))
        sha = sha_of(ref)
        try:
            data = yield from elsewhere(self.central, self._contexts_there.resolve.steps(ref))
            about = yield from elsewhere(self.central, self._contexts_there.about.steps(ref))
        except NotFound:
            yield self._at_centre(Op("uplink_want", (self._wanted,), (sha,), safe=True))
            raise NotFound(
                f"ctx:{sha} is neither here nor at the centre; a site that has it brings it when it synchronises next"
            ) from None
        yield from self._contexts.store.steps(data, about.source)
        return data

    # -- status

    def status_steps(self) -> Steps[UplinkStatus]:
        shards: Sequence[Shard] = (yield [self._here.list.op(everyone=True)])[0]
        cursors = yield from self._cursors(shards)
        behind, oldest = 0, None
        for shard in shards:
            try:
                state: ShardState = (yield [self._here.get.op(shard.id)])[0]
            except NotFound:
                continue
            if state.last > cursors[shard.id]:
                behind += min(state.last - cursors[shard.id], state.findings)
                page = (yield [self._findings.list.op(shard.id, limit=1, after=cursors[shard.id])])[0]
                oldest = min([f.at for f in page.findings] + ([oldest] if oldest else []), default=oldest)
        probe: Op[Any] = Op("ping", (self.local.keys.registry("probe"),), safe=True)
        flat, held, now = yield [
            self._command(self._note, "HGETALL", self._note),
            self._command(self._table, "HLEN", self._table),
            probe,
        ]
        note = {k.decode(): v.decode() for k, v in zip(flat[::2], flat[1::2])}
        counts = {k: int(note.get(k, 0)) for k in ("failures", "pushed", "pulled", "returned", "sent")}
        return UplinkStatus(
            site=self.site,
            behind=behind,
            lag=round((now - oldest) / 1000, 3) if oldest else 0.0,
            held=held,
            last_try=int(note.get("last_try", 0)),
            last_ok=int(note.get("last_ok", 0)),
            error=note.get("error", ""),
            **counts,
        )

    def _command(self, key: str, *args: Any) -> Op[Any]:
        return Op("", (key,), args, safe=True)


def _or_none(op: Op[Any]) -> Op[Any]:
    """The same, and None for what is not found."""

    def read(reply: Any) -> Any:
        with contextlib.suppress(NotFound):
            return op.read(reply)
        return None

    return replace(op, read=read)
