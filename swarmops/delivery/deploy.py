"""A deploy: plans to hosts in waves, one stream of records out, and what is kept beside the inventory.

Records are plain dicts with a `type`:
  start {hosts, check, waves: [{hosts, batches}]}
  wave  {number, hosts, batches}  batch {number, of, hosts}
  step  {host, id, role, task, status, ms, was, want, diff, why, after, cmds}
  note  {host, text}              host {host, status, ok, reason, seconds}
  gate  {hosts, unwell, checks, seconds}
  recap {hosts: {name: counts}, ends, why, seconds, execs}
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from swarmops.delivery import local, records, release
from swarmops.delivery.access import access_to
from swarmops.delivery.fleet import Fleet
from swarmops.delivery.options import Options
from swarmops.delivery.play import Play
from swarmops.delivery.tally import Record, Tally
from swarmops.delivery.turns import Turns
from swarmops.model import declared
from swarmops.model.faults import Faults, InputError
from swarmops.model.project import Project
from swarmops.planning.batches import Wave, rolling
from swarmops.planning.plan import Plan, make_plans

KEYS_TAG = "keys"
PUBLIC_KEY = re.compile(r"[A-Za-z0-9+/]{43}=")  # of WireGuard


class Deploy:
    """One run. Iterate over `run()` to the end, then read `tally`."""

    def __init__(self, project: Project, options: Options, faults: Faults | None = None):
        """Plans the whole deploy. Raises InputError with every fault, those already in `faults` among them."""
        self.project, self.options = project, options
        self.tally = Tally(project)
        self.fleet: Fleet | None = None
        self.stopped = False
        self._playing: Play | None = None
        self._files: release.Files = {}
        faults = Faults() if faults is None else faults
        declared.check(project, faults)
        self.plans = self._plan(faults)
        local.check_ports(project, self.plans)

    @property
    def waves(self) -> list[Wave]:
        """Which hosts are changed together, in which order."""
        return rolling(self.plans, self.options.serial)

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
        waves = [{"hosts": w.hosts, "batches": w.batches} for w in self.waves]
        run = self.fleet.run_id
        yield {"type": "start", "hosts": list(self.plans), "check": o.check, "run": run, "waves": waves}
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
                self._remember()
        tally = self.tally
        yield {
            "type": "recap",
            "hosts": tally.counts,
            "ends": {n: e["status"] for n, e in tally.ends.items()},
            "why": tally.why(),
            "execs": tally.execs,
            "seconds": round(time.monotonic() - began, 3),
        }

    def _remember(self) -> None:
        state, begun, ends = self.project.state, self.tally.begun, self.tally.ends
        bad = set(self._failed()) & (begun | set(ends))
        records.remember_failed(state, [n for n in self.plans if n in bad], begun | bad)
        played = begun - {n for n, end in ends.items() if end["status"] == "refused"}  # elsewhere, what was holds
        records.end_deploy(state, played - bad, played & bad)

    def _waves(self) -> Iterator[Record]:
        blocked = ""
        for number, wave in enumerate(self.waves, 1):
            names = [n for n in wave.hosts if self.tally.ends.get(n, {}).get("status") in (None, "done")]
            if self.stopped:
                return
            if blocked and not self.options.carry_on:
                for name in names:
                    yield self.tally.end(name, {"status": "held", "reason": blocked, "seconds": 0.0})
                continue
            yield {"type": "wave", "number": number, "hosts": names, "batches": wave.batches}
            yield from self._play({n: self.plans[n] for n in names}, wave)
            bad = [n for n in wave.hosts if not self.tally.well(n)]
            failed = [n for n in bad if self.tally.ends.get(n, {}).get("status") != "held"]
            blocked = f"not started: {', '.join(failed)} failed in an earlier wave" if bad else ""

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
            for name in list(self.tally.counts):
                self.tally.none_yet(name)

    def _releases(self) -> Iterator[Record]:
        """Choose the wheels of all releases. Hosts whose Python is not known are asked for it first."""
        assert self.fleet is not None
        for name, event in release.ask(self.fleet, self.plans, self.project.state):
            self.tally.asks(name)
            if event["status"] != "done":
                yield self.tally.end(name, event)
        state = self.project.state
        pythons = records.pythons(state)
        for text in release.lacking(self.plans, pythons, state):
            yield {"type": "note", "host": "", "text": text}
        self._files = release.fill(self.plans, pythons, state)

    def decide(self, go: bool) -> None:
        """The user's word after an `asked` record: apply what was shown, or stop here."""
        assert self._playing is not None
        self.stopped = not go
        self._playing.decide(go)

    def _play(self, plans: Mapping[str, Plan], wave: Wave | None = None) -> Iterator[Record]:
        assert self.fleet is not None
        contents: dict[str, dict[str, bytes | Path]]
        contents = {name: {**plan.contents, **self._files.get(name, {})} for name, plan in plans.items()}
        turns = Turns(wave or Wave(list(plans)))
        self._playing = Play(self.project, self.fleet, self.tally, self.options, plans, turns)
        yield from self._playing.run(contents)

    def _failed(self) -> list[str]:
        return [n for n in self.plans if not self.tally.well(n)]

    def exit_code(self, detailed: bool = False) -> int:
        """0 fine, 1 something failed, 3 a host unreachable and nothing else failed, 4 would change (if asked)."""
        if self.stopped:
            return 1
        states = {e["status"] for e in self.tally.ends.values()}
        if self.tally.total("failed") or states - {"done", "unreachable"}:
            return 1
        if "unreachable" in states:
            return 3
        if self._failed():
            return 1
        return 4 if detailed and self.tally.total("would") else 0


def _key_steps(plan: Plan) -> list[dict]:
    return [s for s in plan.steps if s["kind"] == "wireguard_key" and not s.get("skip")]


def _only_keys(plan: Plan) -> Plan:
    """The same plan, with every step left out that making the keys does not need."""
    steps = [s if KEYS_TAG in s.get("tags", []) else {**s, "skip": True} for s in plan.steps]
    return replace(plan, steps=steps)
