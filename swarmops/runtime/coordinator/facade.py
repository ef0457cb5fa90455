"""Many swarms in one object, with the verbs of the sources (S3-50, S3-51, S3-69). It puts rooms and loops together.

with createMultiSwarmCoordination(host="127.0.0.1", port=6379, password="...", tls=True, ca="ca.crt") as ms:
    swarm = ms.create_swarm("index the docs", metadata={"capabilities": ["search"]}).id
    ms.distribute_task("read chapter one", capabilities=["search"])
    for task in ms.take_tasks(swarm):
        ms.complete_task(task, swarm, {"pages": 12})
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from swarmops.runtime.client.sync import Runtime
from swarmops.runtime.coordinator.conflicts import Conflict
from swarmops.runtime.coordinator.distribution import Given, Submitted
from swarmops.runtime.coordinator.duties import Pace
from swarmops.runtime.coordinator.loop import Coordinator
from swarmops.runtime.coordinator.resources import Share
from swarmops.runtime.errors import Illegal, Invalid, NotFound, Stale, SwarmError
from swarmops.runtime.ids import name, new_id
from swarmops.runtime.messages import Sent
from swarmops.runtime.messages.envelope import CONFLICT_VOTE_REQUEST, TASK_ASSIGNMENT, Envelope
from swarmops.runtime.messages.inbox import Inbox
from swarmops.runtime.registry.beating import Beating, SwarmBeat
from swarmops.runtime.registry.swarms import Swarm
from swarmops.runtime.settings import Settings
from swarmops.runtime.state.record import Mark
from swarmops.runtime.state.recovery import Interrupted, Recovery

# What the coordinator tells swarms lies in Redis anyway: whoever does not listen for it need not.
_NEWS = (TASK_ASSIGNMENT, CONFLICT_VOTE_REQUEST, "conflict.resolved", "resource.reclaimed")


@dataclass(frozen=True, slots=True)
class Created:
    """A new swarm. leader: the process that made it leads."""

    id: str
    leader: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def default_pools() -> dict[str, int]:
    """This machine: cpu in hundredths of a core, memory in MiB."""
    pools = {"cpu": 100 * (os.cpu_count() or 1)}
    if hasattr(os, "sysconf"):
        pools["memory"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return pools


def createMultiSwarmCoordination(options: Mapping[str, Any] | None = None, **more: Any) -> MultiSwarm:
    """A MultiSwarm, not initialized, from the fields of Settings (host, port, db, username, password, tls, ca, ...).

    `url` may stand for all of them, `ssl` for tls. Besides: id, pace, lease, pools as of MultiSwarm. Raises Invalid.
    """
    said = {**(options or {}), **more}
    own = {which: said.pop(which) for which in ("id", "pace", "lease", "pools") if which in said}
    if "ssl" in said:
        said["tls"] = said.pop("ssl")
    url = said.pop("url", None)
    try:
        settings = Settings.of(url, **said) if url else Settings(**said)
    except TypeError as e:
        raise Invalid("options", str(e).partition("() ")[2] or str(e)) from None
    return MultiSwarm(settings, **own)


class MultiSwarm:
    """initialize and shutdown, or `with`. Threads may share it.

    id: who this is among the candidates for leadership. pace, lease: see Coordinator. pools: kind -> amount, defined
    where they are not there yet; by default what this machine has.
    """

    def __init__(
        self,
        settings: Settings,
        id: str = "",
        pace: Pace | None = None,
        lease: float | None = None,
        pools: Mapping[str, int] | None = None,
    ):
        self.id = name(id or f"coordinator-{new_id()}", "id")
        self.rt = Runtime(settings)
        self._pools = default_pools() if pools is None else dict(pools)
        self._coordinator = Coordinator(self.rt, self.id, pace, lease)
        self._beat = SwarmBeat(self.rt)
        self._beating = Beating(self._beat)
        self._inbox = Inbox(self.rt)
        self._messages = self.rt.messages.bound(self.id)
        self._running = self._ended = False

    # -- life

    def initialize(self) -> MultiSwarm:
        """Begin to campaign, beat and receive. Raises Unavailable, Misconfigured. Twice is as once."""
        if self._ended:
            raise Illegal("it was shut down: make another")
        if not self._running:
            self.rt.connect()
            self._running = True
            self.rt.run_many([self.rt.resources.define.op(k, n, if_absent=True) for k, n in self._pools.items()])
            for kind in _NEWS:
                self._inbox.on(kind, lambda payload, envelope: None)
            self._inbox.start()
            self._beating.start()
            self._coordinator.start()
        return self

    def shutdown(self) -> None:
        """Snapshot the states of our swarms, resign if we lead, end all threads, close all connections.

        Our swarms stay as they are: another process may go on with them, else they are interrupted after three beats.
        """
        if self._ended:
            return
        self._ended = True
        if self._running:
            self._inbox.stop()
            self._beating.close()
            ops = [self.rt.state.snapshot.op(one, "shutdown", by=self.id) for one in list(self._beat.ids)]
            with contextlib.suppress(SwarmError):  # Redis is away: there is the last automatic snapshot
                self.rt.run_many(ops, patience=0)
        self._coordinator.close()
        self.rt.close()

    def __enter__(self) -> MultiSwarm:
        return self.initialize()

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    @property
    def is_leader(self) -> bool:
        return self._coordinator.leading

    # -- swarms

    def create_swarm(
        self,
        objective: str,
        strategy: str = "development",
        mode: str = "mesh",
        max_agents: int = 5,
        metadata: Mapping[str, Any] | None = None,
        id: str | None = None,
    ) -> Created:
        """A swarm of this process: active, beating, reading its inbox. Raises as Swarms.create does."""
        made = self.rt.swarms.create(objective, strategy, mode, max_agents, metadata, id=id)
        self.rt.swarms.status(made.id, "active", f"created by {self.id}")
        self._adopt(made.id)
        return Created(made.id, self.is_leader)

    def _adopt(self, swarm: str) -> None:
        self._beat.add(swarm)
        self._inbox.add(f"swarm.{swarm}")

    def complete_swarm(self, swarm: str, status: str = "completed", why: str = "") -> None:
        """The swarm has ended, completed or failed; what it had open goes back to the backlog. Raises Illegal."""
        self.rt.swarms.status(swarm, status, why)
        self._beat.discard(swarm)
        self._inbox.remove(f"swarm.{swarm}")

    def get_swarm(self, swarm: str) -> Swarm:
        """Raises NotFound."""
        return self.rt.swarms.get(swarm)

    def get_swarms(self, status: str | None = None) -> list[Swarm]:
        """Newest first, at most 1,000."""
        return self.rt.swarms.list(status, limit=1000)

    # -- work

    def distribute_task(
        self,
        description: str,
        type: str = "task",
        priority: str = "normal",
        capabilities: Sequence[str] = (),
        estimated_effort: float = 1.0,
        id: str | None = None,
    ) -> Submitted:
        """Accept a task. `where` is distributed if we lead and a swarm has it, forwarded to the leader, or queued."""
        which, submit = id or new_id(), self.rt.distribution.submit
        told = (description, type, priority, capabilities, estimated_effort, which)
        if term := self._coordinator.term:
            try:
                return submit(*told, by=self.id, term=term)
            except Stale:
                pass  # another leads by now
        return submit(*told, by=self.id)

    def set_strategy(self, strategy: str) -> None:
        """least_loaded, round_robin, priority or capability, for all, from the next cycle on."""
        self.rt.distribution.strategy(strategy)

    def take_tasks(self, swarm: str, n: int = 10, have: Sequence[str] = ()) -> list[Given]:
        """See Distribution.take: all that the swarm has been given, but for `have`."""
        return self.rt.distribution.take(swarm, n, have)

    def complete_task(self, task: Given, swarm: str, result: Any = None) -> bool:
        """Raises Late if the task was given to another swarm meanwhile."""
        return self.rt.distribution.complete(task.id, swarm, task.attempt, result)

    # -- messages

    def send_message(self, to: str, type: str, payload: Any = None, *, sender: str = "") -> Sent:
        """To a swarm, or to an address such as agent.<id>. Raises NotFound, Full."""
        room = self.rt.messages.bound(f"swarm.{sender}") if sender else self._messages
        return room.send(to if "." in to else f"swarm.{to}", type, payload)

    def broadcast(self, type: str, payload: Any = None, *, channel: str = "global", sender: str = "") -> Sent:
        """To all who listen on a channel; the swarms of all processes do on `global`."""
        room = self.rt.messages.bound(f"swarm.{sender}") if sender else self._messages
        return room.broadcast(type, payload, channel=channel)

    def on_message(
        self, type: str, handler: Callable[[Any, Envelope], Any], swarm: str | None = None
    ) -> Callable[[], None]:
        """Call handler(payload, envelope) for messages to our swarms, or to one. The result takes it away again."""
        return self._inbox.on(type, handler, f"swarm.{swarm}" if swarm else "")

    # -- resources and conflicts

    def allocate_resource(self, swarm: str, kind: str, amount: int) -> Share:
        """Raises Full."""
        return self.rt.resources.allocate(swarm, kind, amount)

    def release_resource(self, swarm: str, kind: str, amount: int | None = None) -> int:
        """At most what it holds; how much that was."""
        return self.rt.resources.release(swarm, kind, amount)

    def resolve_conflict(
        self, type: str, swarm_a: str, swarm_b: str, strategy: str = "priority", **vote: Any
    ) -> Conflict:
        """winner, strategy and reason; for a vote it is open at first (deadline, quorum: see Conflicts.resolve)."""
        return self.rt.conflicts.resolve(type, swarm_a, swarm_b, strategy, **vote)

    # -- state

    def save_state(self, swarm: str, state: Any, version: int | None = None) -> int:
        """The new version. version: over that one only, else Conflict; without it, over whatever is there."""
        if version is not None:
            return self.rt.state.save(swarm, state, version, by=self.id)
        return self.rt.state.update(swarm, lambda _: state, by=self.id)

    def load_state(self, swarm: str) -> Any:
        """None if there is none. Raises Corrupt."""
        try:
            return self.rt.state.load(swarm).value
        except NotFound:
            return None

    def create_snapshot(self, swarm: str, label: str = "") -> Mark:
        return self.rt.state.snapshot(swarm, label, by=self.id)

    def restore_from_snapshot(self, swarm: str, which: str = "") -> Any:
        """What the state is now. which: an id or a label, '' is the newest. Raises NotFound, Corrupt."""
        self.rt.state.restore(swarm, which, by=self.id)
        return self.rt.state.load(swarm).value

    def discover_interrupted_swarms(self) -> list[Interrupted]:
        """Those that wait for recovery; what has not beaten in time is found first."""
        self.rt.swarms.sweep()
        return self.rt.state.discover_interrupted()

    def recover_swarm(self, swarm: str, reason: str = "") -> Recovery:
        """Bring it back, as one of ours. Raises Conflict (another recovers it), Illegal (not interrupted)."""
        went = self.rt.state.recover(swarm, by=self.id, reason=reason)
        if went.recovered:
            self._adopt(swarm)
        return went

    # -- numbers

    def get_statistics(self) -> dict[str, Any]:
        """The names of S3-51, and how the distribution stands."""
        found: dict[str, Any] = self.rt.stats.snapshot().statistics()
        backlog = self.rt.distribution.backlog()
        found["coordinator"] |= {"isLeader": self.is_leader, "strategy": backlog.strategy, "backlog": backlog.as_dict()}
        return found
