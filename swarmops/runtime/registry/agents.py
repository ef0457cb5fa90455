"""Agents: who is there, what they can do, how busy they are (S0-18, S2-02, S2-03, S2-15, S2-37, X-02).

An agent beats every `settings.heartbeat` seconds. After two missed beats it is suspect, after three dead: readers see
that by Redis' clock even if nobody has swept yet, and any register, beat or sweep takes the dead out of all indexes.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from swarmops.runtime import wire
from swarmops.runtime.errors import Invalid
from swarmops.runtime.ids import name, names, number
from swarmops.runtime.op import Arg, Mode, Op, Room, operation

MOST = 10_000  # live agents in one registry
LEVELS = 3  # coordinator, worker, sub-agent
METADATA = 64 * 1024  # bytes of an agent's facts and metadata
_INDEXES = ("agents", "agents_due", "roster", "agent_load", "events", "stats")


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent as it was when Redis answered.

    health: alive, suspect or dead. status: its own word, as idle or busy. load: tasks it has open. Times are
    milliseconds of Redis' clock.
    """

    id: str
    health: str
    status: str
    load: int
    capabilities: tuple[str, ...]
    parent: str | None
    beat_ms: int
    registered_ms: int
    _rest: str = field(repr=False)

    @property
    def facts(self) -> dict[str, Any]:
        """What was found on its host: cpu_cores, memory_gb and so on. What is absent was not found."""
        found: dict[str, Any] = json.loads(self._rest)[0]
        return found

    @property
    def metadata(self) -> dict[str, Any]:
        """What its owner said of it."""
        found: dict[str, Any] = json.loads(self._rest)[1]
        return found

    def as_dict(self) -> dict[str, Any]:
        facts, metadata = json.loads(self._rest)
        plain = {f: getattr(self, f) for f in ("id", "health", "status", "load", "parent", "beat_ms", "registered_ms")}
        return {**plain, "capabilities": list(self.capabilities), "facts": facts, "metadata": metadata}


class Agents(Room[Mode]):
    """register, beat, list, find, get, remove, sweep, assign, release."""

    @operation
    def register(
        self,
        id: str,
        capabilities: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        parent: str | None = None,
        heartbeat: float | None = None,
        *,
        facts: Mapping[str, Any] | None = None,
        status: str = "idle",
        load: int | None = None,
    ) -> Op[bool]:
        """Take an agent up, or up again with what is new about it. True if it was not there.

        parent: a live agent; when that goes, so does this one. heartbeat: seconds between its beats. facts: see
        capabilities.detect. Raises Invalid; NotFound (parent), Conflict (it has another parent), Illegal (level), Full.
        """
        beat = number(heartbeat if heartbeat is not None else self.settings.heartbeat, "heartbeat", 0.01, 86400)
        rest = wire.dumps([_object(facts, "facts"), _object(metadata, "metadata")], "metadata", METADATA)
        args = (
            name(id, "id"),
            name(status, "status"),
            round(beat * 1000 * self.settings.suspect_after),
            round(beat * 1000 * self.settings.dead_after),
            "-" if parent is None else name(parent, "parent"),
            ",".join(names(capabilities, "capabilities")) or "-",
            "" if load is None else _count(load, "load"),
            rest,
            MOST,
            LEVELS,
        )
        return Op("agent_register", self._registry(*_INDEXES), args, bool, safe=True)

    @operation
    def beat(self, id: str, load: int | None = None, status: str | None = None) -> Op[float]:
        """It lives; seconds until it would be dead. Raises NotFound if Redis does not know it: register again."""
        args = (
            name(id, "id"),
            "" if load is None else _count(load, "load"),
            "" if status is None else name(status, "status"),
        )
        return Op("agent_beat", self._registry(*_INDEXES), args, lambda ms: ms / 1000, safe=True)

    @operation
    def list(self, *, dead: bool = False) -> Op[Found]:
        """All agents by id. `dead`: also those that are dead and not yet swept."""
        return self._listing((), dead)

    @operation
    def find(self, capabilities: Sequence[str], *, dead: bool = False) -> Op[Found]:
        """Those that have all these capabilities, by id; from the indexes."""
        return self._listing(names(capabilities, "capabilities"), dead)

    @operation
    def get(self, id: str) -> Op[Agent]:
        """Raises NotFound. The agent's health may be dead."""
        keys = self._registry("agents", "roster", "agent_load")
        return Op("agent_get", keys, (name(id, "id"),), lambda r: _agents(r, True)[0], safe=True)

    @operation
    def remove(self, id: str, why: str = "removed") -> Op[Ids]:
        """It and its children leave every index at once; their ids. Raises NotFound."""
        return Op("agent_remove", self._registry(*_INDEXES), (name(id, "id"), str(why)[:200]), _texts)

    deregister = remove

    @operation
    def sweep(self, most: int = 1000) -> Op[Ids]:
        """The dead and their children leave every index at once; their ids."""
        return Op("agent_sweep", self._registry(*_INDEXES), (_count(most, "most"),), _texts, safe=True)

    @operation
    def assign(self, needs: Sequence[str] = (), n: int = 1) -> Op[Ids]:
        """For each of `n` tasks (at most 100) the least loaded live agent that has `needs`; its load grows at once.

        Raises NotFound if no live agent can.
        """
        args: tuple[Arg, ...] = (int(number(n, "n", 1, 100)), *names(needs, "needs"))
        return Op("agent_assign", self._registry("agents", "agents_due", "roster", "agent_load"), args, _texts)

    @operation
    def release(self, id: str, n: int = 1) -> Op[int]:
        """`n` of its tasks are done; what it has open still."""
        return Op("agent_release", self._registry("agent_load"), (name(id, "id"), _count(n, "n")), int)

    def _listing(self, capabilities: tuple[str, ...], dead: bool) -> Op[Any]:
        keys = self._registry("agents", "roster", "agent_load")
        return Op("agent_list", keys, capabilities, lambda r: _agents(r, dead), safe=True)


Found = list[Agent]
Ids = list[str]


def stable_id(name_: str = "", host: str | None = None) -> str:
    """The id of an agent on a host, the same after every start: `<host>-<name>`, or the host's name alone (S1-15).

    Two agents on one host need two names. Raises Invalid for a name that is none.
    """
    said = (host if host is not None else socket.gethostname()).split(".")[0].lower()
    slug = "".join(c if c.isascii() and c.isalnum() else "-" for c in said).strip("-") or "host"
    if not name_:
        return name(slug[:63], "host")
    return name(f"{slug[: max(1, 62 - len(name_))]}-{name(name_, 'name')}", "name")


def _agents(reply: Any, dead: bool) -> list[Agent]:
    now, lines, beats, loads = reply
    if not lines:
        return []
    said = beats.decode().split("\n")
    last = dict(zip(said[::2], said[1::2]))
    said = loads.decode().split("\n")
    load = dict(zip(said[::2], said[1::2]))
    found = []
    for line in lines.decode().split("\n"):
        status, suspect, lost, since, parent, caps, id, rest = line.split(" ", 7)
        beat = int(last[id])
        age = now - beat
        health = "dead" if age >= int(lost) else "suspect" if age >= int(suspect) else "alive"
        if dead or health != "dead":
            able = tuple(caps.split(",")) if caps != "-" else ()
            up = None if parent == "-" else parent
            found.append(Agent(id, health, status, int(load.get(id, 0)), able, up, beat, int(since), rest))
    found.sort(key=_id)
    return found


def _id(agent: Agent) -> str:
    return agent.id


def _texts(reply: list[bytes]) -> list[str]:
    return [one.decode() for one in reply]


def _count(value: int, path: str) -> int:
    return int(number(value, path, 0, 1_000_000))


def _object(value: Mapping[str, Any] | None, path: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Invalid(path, "is not an object")
    return dict(value)
