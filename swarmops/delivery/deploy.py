"""A deploy: plans to hosts in waves, one stream of records out, and what is kept beside the inventory.

Records are plain dicts with a `type`:
  start {hosts, check}            wave {number, hosts}
  step  {host, id, role, task, status, ms, was, want, diff, why, after, cmds}
  note  {host, text}              host {host, status, ok, reason, seconds}
  recap {hosts: {name: counts}, seconds, execs}
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from swarmops.delivery import local, records, release
from swarmops.delivery.access import access_to
from swarmops.delivery.fleet import FORKS, Fleet
from swarmops.delivery.hardware import shortfalls
from swarmops.delivery.session import Answer
from swarmops.delivery.transport import TIMEOUT
from swarmops.model import declared
from swarmops.model.faults import Faults, InputError
from swarmops.model.project import Project
from swarmops.planning.plan import Plan, make_plans, waves

Record = dict[str, Any]
COUNTED = ("ok", "changed", "would", "skipped", "failed")
KEYS_TAG = "keys"
PUBLIC_KEY = re.compile(r"[A-Za-z0-9+/]{43}=")  # of WireGuard


@dataclass
class Options:
    """What the user asked of this deploy."""

    limit: str | None = None
    tags: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    check: bool = False
    diff: bool = False
    ask: bool = False
    forks: int = FORKS
    connect_timeout: float = TIMEOUT
    confirm: float = 30
    retry: bool = False
    adopt: bool = False
    carry_on: bool = False


class Deploy:
    """One run. Iterate over `run()` to the end, then read `counts` and `ends`."""

    def __init__(self, project: Project, options: Options, faults: Faults | None = None):
        """Plans the whole deploy. Raises InputError with every fault, those already in `faults` among them."""
        self.project, self.options = project, options
        self.counts: dict[str, dict[str, int]] = {}
        self.ends: dict[str, Record] = {}
        self.execs: dict[str, int] = {}
        self.fleet: Fleet | None = None
        self.stopped = False
        self.begun: set[str] = set()  # hosts on which something may have been changed
        self._asked: set[str] = set()
        self._files: release.Files = {}
        faults = Faults() if faults is None else faults
        declared.check(project, faults)
        self.plans = self._plan(faults)
        local.check_ports(project, self.plans)

    def _plan(self, faults: Faults) -> dict[str, Plan]:
        o = self.options
        limit = o.limit
        if o.retry:
            failed = [n for n in records.failed(self.project.state) if n in self.project.inventory.hosts]
            if not failed:
                raise InputError.one("there is no failed deploy to retry", hint="deploy without --retry")
            chosen = {h.name for h in self.project.inventory.select(limit)}
            if not chosen & set(failed):
                raise InputError.one(f"none of {limit} failed in its last deploy", hint=f"failed: {', '.join(failed)}")
            limit = ":".join(n for n in failed if n in chosen)
        plans = make_plans(self.project, limit=limit, tags=o.tags or None, extra=o.extra, faults=faults)
        release.check(plans, faults)
        faults.stop_if_any()
        return plans

    def run(self) -> Iterator[Record]:
        began = time.monotonic()
        hosts = {n: self.project.inventory.hosts[n] for n in self.plans}
        accesses = [access_to(h, self.project.store) for h in hosts.values()]
        o = self.options
        known = self.project.state / "known_hosts"
        self.fleet = Fleet(accesses, known, forks=o.forks, connect_timeout=o.connect_timeout)
        yield {"type": "start", "hosts": list(self.plans), "check": o.check, "run": self.fleet.run_id}
        if not o.check:
            records.begin_deploy(self.project.state, self.plans)
        for name, plan in self.plans.items():
            yield from ({"type": "note", "host": name, "text": text} for text in plan.notes)
        try:
            yield from self._first_keys()
            yield from self._releases()
            if not self.stopped:
                yield from self._waves()
        finally:  # also when the user has interrupted it
            self.fleet.close()
            if not o.check:
                bad = set(self._failed()) & (self.begun | set(self.ends))
                records.remember_failed(self.project.state, [n for n in self.plans if n in bad], self.begun | bad)
                records.end_deploy(self.project.state, self.begun - bad, self.begun & bad)
        yield {
            "type": "recap",
            "hosts": self.counts,
            "ends": {n: e["status"] for n, e in self.ends.items()},
            "execs": self.execs,
            "seconds": round(time.monotonic() - began, 3),
        }

    def _waves(self) -> Iterator[Record]:
        blocked = ""
        for number, names in enumerate(waves(self.plans), 1):
            everyone = names
            names = [n for n in names if self.ends.get(n, {}).get("status") in (None, "done")]
            if self.stopped:
                return
            if blocked and not self.options.carry_on:
                for name in names:
                    yield self._end(name, {"status": "held", "reason": blocked, "seconds": 0.0})
                continue
            yield {"type": "wave", "number": number, "hosts": names}
            yield from self._play({n: self.plans[n] for n in names})
            bad = [n for n in everyone if not self._well(n)]
            blocked = f"not started: {', '.join(bad)} failed in an earlier wave" if bad else ""

    def _first_keys(self) -> Iterator[Record]:
        """Make WireGuard keys on hosts whose public key is not recorded yet, record them, and plan again.

        In check mode nothing is made: the plan then lacks those peers, and says so.
        """
        known = records.peers(self.project.state)
        lacking = {n: p for n, p in self.plans.items() if n not in known and _key_steps(p)}
        if not lacking:
            return
        if self.options.check:
            yield {"type": "note", "host": "", "text": f"no WireGuard key recorded yet: {', '.join(lacking)}"}
            return
        made: dict[str, str] = {}
        for record in self._play({n: _only_keys(p) for n, p in lacking.items()}):
            public = (record.get("out") or {}).get("public") if record["type"] == "step" else None
            if isinstance(public, str) and PUBLIC_KEY.fullmatch(public):
                made[record["host"]] = public
            if record["type"] != "host" or not record["ok"]:
                yield record
        if made:
            records.remember_peers(self.project.state, made)
            yield {
                "type": "note",
                "host": "",
                "text": f"recorded the public keys of {', '.join(sorted(made))}",
            }
            self.plans = {n: p for n, p in self._plan(Faults()).items() if n in self.plans}
            for name in list(self.counts):
                self.counts[name] = dict.fromkeys(COUNTED, 0)

    def _releases(self) -> Iterator[Record]:
        """Choose the wheels of all releases. Hosts whose Python is not known are asked for it first."""
        assert self.fleet is not None
        for name, event in release.ask(self.fleet, self.plans, self.project.state):
            self.execs[name] = self.execs.get(name, 0) + 1
            if event["status"] != "done":
                yield self._end(name, event)
        state = self.project.state
        pythons = records.pythons(state)
        for text in release.lacking(self.plans, pythons, state):
            yield {"type": "note", "host": "", "text": text}
        self._files = release.fill(self.plans, pythons, state)

    def decide(self, go: bool) -> None:
        """The user's word after an `asked` record: apply what was shown, or stop here."""
        assert self.fleet is not None
        self.stopped = not go
        if go:
            self.begun |= self._asked
            for counts in self.counts.values():
                counts["would"] = 0
        self.fleet.answer.give("go" if go else "stop")

    def _play(self, plans: Mapping[str, Plan]) -> Iterator[Record]:
        assert self.fleet is not None
        o = self.options
        self.fleet.answer = Answer()
        machines = records.machines(self.project.state)
        envelopes = {
            name: {
                "mode": "check" if o.check else "apply",
                "diff": o.diff or o.ask,
                "ask": o.ask,
                "confirm": o.confirm,
                "adopt": o.adopt,
                "machine": machines.get(name),
                "owner": f"{self.project.name}/{self.project.tier}",
                "needs": plan.needs,
                "steps": plan.steps,
            }
            for name, plan in plans.items()
        }
        contents: dict[str, dict[str, bytes | Path]]
        contents = {name: {**plan.contents, **self._files.get(name, {})} for name, plan in plans.items()}
        met: dict[str, str] = {}
        pythons: dict[str, Record] = {}
        waiting, askers = set(plans), 0
        self._asked = set(plans)
        self.begun |= set() if o.ask or o.check else set(plans)
        for name in plans:
            self.execs[name] = self.execs.get(name, 0) + 1
            self.counts.setdefault(name, dict.fromkeys(COUNTED, 0))
        try:
            for name, event in self.fleet.run(envelopes, contents):
                if event["e"] == "hello":
                    met[name], pythons[name] = event["machine"], event
                if event["e"] in ("asked", "end"):
                    waiting.discard(name)
                    askers += event["e"] == "asked"
                yield from self._record(name, plans[name], event)
                if askers and not waiting and not self.fleet.answer.given:
                    yield {"type": "asked", "would": sum(c["would"] for c in self.counts.values())}
        finally:
            records.remember_machines(self.project.state, met, replace=o.adopt)
            records.remember_pythons(self.project.state, pythons)

    def _record(self, name: str, plan: Plan, event: Record) -> Iterator[Record]:
        kind = event["e"]
        if kind == "step":
            step = plan.steps[event["i"]]
            status = event["s"]
            self.counts[name][status] += 1
            shown: Record = {k: event[k] for k in ("was", "want", "diff", "why", "after", "cmds", "out") if k in event}
            base = {
                "type": "step",
                "host": name,
                "id": step["id"],
                "role": step["role"],
                "task": step["name"],
            }
            yield {**base, "status": status, "ms": event["ms"], "tags": step.get("tags", []), **shown}
        elif kind == "asked":
            for status in COUNTED:
                if status != "would":
                    self.counts[name][status] = 0
        elif kind == "hello":
            for shortfall in shortfalls(self.project, self.project.inventory.hosts[name], event):
                yield {"type": "note", "host": name, "text": f"has {shortfall}"}
        elif kind == "waiting":
            yield {
                "type": "note",
                "host": name,
                "text": f"waiting for a run of {event['by']} that lost its way",
            }
        elif kind == "note":
            yield {"type": "note", "host": name, "text": event["text"]}
        elif kind == "unconfirmed":
            yield {"type": "note", "host": name, "text": f"no new connection: {event['reason']}"}
        elif kind == "end":
            yield self._end(name, event)

    def _end(self, name: str, event: Record) -> Record:
        self.counts.setdefault(name, dict.fromkeys(COUNTED, 0))
        self.ends[name] = {k: v for k, v in event.items() if k != "e"}
        return {"type": "host", "host": name, "ok": self._well(name), **self.ends[name]}

    def _well(self, name: str) -> bool:
        end = self.ends.get(name, {})
        return end.get("status") == "done" and bool(end.get("ok")) and not self.counts[name]["failed"]

    def _failed(self) -> list[str]:
        return [n for n in self.plans if not self._well(n)]

    def exit_code(self, detailed: bool = False) -> int:
        """0 fine, 1 something failed, 3 a host unreachable and nothing else failed, 4 would change (if asked)."""
        if self.stopped:
            return 1
        states = {e["status"] for e in self.ends.values()}
        if any(c["failed"] for c in self.counts.values()) or states - {"done", "unreachable"}:
            return 1
        if "unreachable" in states:
            return 3
        if self._failed():
            return 1
        return 4 if detailed and any(c["would"] for c in self.counts.values()) else 0


def _key_steps(plan: Plan) -> list[dict]:
    return [s for s in plan.steps if s["kind"] == "wireguard_key" and not s.get("skip")]


def _only_keys(plan: Plan) -> Plan:
    """The same plan, with every step left out that making the keys does not need."""
    steps = [s if KEYS_TAG in s.get("tags", []) else {**s, "skip": True} for s in plan.steps]
    return replace(plan, steps=steps)
