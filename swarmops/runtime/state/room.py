"""State that many may write and nobody loses: versions by compare-and-set (S3-39, S3-40), fenced where a leader writes.

version = rt.state.save("swarm-1", {"tasks": {}})              # the first: there must be none yet
rt.state.save("swarm-1", {"tasks": {}, "x": 1}, version)       # Conflict if somebody wrote meanwhile
rt.state.update("swarm-1", lambda old: {**(old or {}), "x": 2})  # reads, changes, tries again on a conflict
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from typing import Any

from swarmops.runtime.errors import Conflict, NotFound
from swarmops.runtime.flow import Steps, flow
from swarmops.runtime.ids import name as checked
from swarmops.runtime.ids import new_id, number
from swarmops.runtime.op import Arg, Mode, Op, operation
from swarmops.runtime.state.checkpoints import Checkpoints
from swarmops.runtime.state.record import Listed, State, label_of, read_state, regs, seal, term_of
from swarmops.runtime.state.recovery import Recoveries
from swarmops.runtime.state.snapshots import Snapshots


class States(Snapshots[Mode], Checkpoints[Mode], Recoveries[Mode]):
    """save, load, update, list, delete; and the snapshots, checkpoints and recoveries of the parent classes."""

    @operation
    def save(
        self,
        name: str,
        value: Any,
        version: int | None = None,
        *,
        by: str = "",
        term: int | None = None,
        ttl: float | None = None,
        restored_from: str = "",
    ) -> Op[int]:
        """Write `value` over `version` (None: there is none yet); the new version. Raises Conflict, naming both.

        term: the writer's fencing token, for what only the leader may write; raises Stale. ttl: seconds until it is
        forgotten; by default never, but settings.swarm_ttl for the state of a swarm that has ended.
        """
        data, checksum = seal(value)
        end = "" if ttl is None else int(number(ttl, "ttl", 0.001, 1e9) * 1000)
        expected = "" if version is None else int(number(version, "version", 1, 1 << 53))
        dead, interval = int(self.settings.swarm_ttl * 1000), int(self.settings.snapshot_interval * 1000)
        writer, token = label_of(by, "by"), term_of(term)
        what: tuple[Arg, ...] = (checked(name, "name"), expected, new_id(), data, checksum)
        how: tuple[Arg, ...] = (writer, end, dead, interval, token, label_of(restored_from, "restored_from"))
        keys = regs(self.keys, "state state_writes state_written", name) + regs(self.keys, "states snapshot_due")
        keys += regs(self.keys, "swarm", name) + regs(self.keys, "swarm_archived term leader events stats")
        return Op("state_save", keys, what + how, int, safe=True, durable=True)

    @operation
    def load(self, name: str) -> Op[State]:
        """The state as it is. Raises NotFound; Corrupt when its checksum is wrong or it is no JSON."""
        key = self.keys.registry("state", checked(name, "name"))
        return Op("", (key,), ("HGETALL", key), lambda reply: read_state(name, reply), safe=True)

    @operation
    def list(self, limit: int = 100, offset: int = 0) -> Op[list[Listed]]:
        """States, the last written first, at most 1000 at once."""
        limit, offset = int(number(limit, "limit", 1, 1000)), int(number(offset, "offset", 0, 1 << 53))
        return Op("state_list", regs(self.keys, "states snapshot_due"), (offset, limit), _listed, safe=True)

    @operation
    def delete(self, name: str, version: int | None = None, *, term: int | None = None) -> Op[bool]:
        """Forget a state, its snapshots and checkpoints. True if there was anything. Raises Conflict, Stale."""
        checked(name, "name")
        keys = regs(self.keys, "state", name) + regs(self.keys, "states snapshot_due")
        keys += regs(self.keys, "snapshots snapshot checkpoints checkpoint recovery", name)
        args = (name, "" if version is None else version, term_of(term))
        return Op("state_delete", keys + regs(self.keys, "term leader events"), args, bool, safe=True)

    @flow
    def update(
        self, name: str, change: Callable[[Any], Any], *, by: str = "", term: int | None = None, tries: int = 1000
    ) -> Steps[int]:
        """Save `change(value)`, value being None where there is no state yet; again whenever another was faster.

        The new version. Each success is one step of the version: no update is lost. Raises Conflict after `tries`.
        On an AsyncRuntime `change` may be a coroutine function.
        """
        for attempt in range(1, tries + 1):
            try:
                now = yield self.load.op(name)
                value, version = now.value, now.version
            except NotFound:
                value, version = None, None
            changed = change(value)
            if inspect.isawaitable(changed):
                changed = yield changed
            try:
                saved: int = yield self.save.op(name, changed, version, by=by, term=term)
                return saved
            except Conflict:
                yield random.uniform(0, min(0.0005 * attempt, 0.02))
        raise Conflict(f"state {name} was changed by others {tries} times in a row")


def _listed(reply: Any) -> list[Listed]:
    found = []
    for name, version, at, by, stored, left in reply:
        end = left / 1000 if left >= 0 else None
        found.append(Listed(name.decode(), int(version), int(at), by.decode("utf-8", "replace"), stored, end))
    return found
