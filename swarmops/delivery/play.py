"""One wave: its hosts' envelopes out, their events in as records, batch after batch where roles say `serial`.

Hosts of the first batch, and those that take no turns, are changed at once. The others look at the same time, each in
the one program that it is given: where nothing is to be changed a host is done with that, else it waits for its word.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from swarmops.delivery import records
from swarmops.delivery.fleet import Fleet
from swarmops.delivery.options import Options
from swarmops.delivery.tally import Record, Tally
from swarmops.delivery.turns import Turns
from swarmops.model.project import Project
from swarmops.planning.plan import Plan


class Play:
    """Iterate over `run()` to the end. After an `asked` record call `decide`; without a word nothing is applied."""

    def __init__(
        self,
        project: Project,
        fleet: Fleet,
        tally: Tally,
        how: Options,
        plans: Mapping[str, Plan],
        turns: Turns,
    ):
        self.project, self.fleet, self.tally, self.how = project, fleet, tally, how
        self.plans, self.turns = plans, turns
        self.stopped = False
        self._approved = not how.ask
        self._looking = {n for n in plans if not how.check and (how.ask or turns.first_looks(n))}
        self._unsaid: dict[str, list[Record]] = {n: [] for n in self._looking if not how.ask}
        self._open = set(plans)  # not ended
        self._asked: set[str] = set()
        self._told: dict[str, str] = {}  # host -> its word

    def decide(self, go: bool) -> None:
        self._approved, self.stopped = go, not go

    def run(self, contents: Mapping[str, Mapping[str, bytes | Path]]) -> Iterator[Record]:
        met: dict[str, str] = {}
        pythons: dict[str, Record] = {}
        for name in self.plans:
            self.tally.asks(name)
            if name not in self.tally.counts:
                self.tally.none_yet(name)
        self.tally.begun |= set() if self.how.check else set(self.plans) - self._looking
        try:
            for name, event in self.fleet.run(self._envelopes(), contents):
                if event["e"] == "hello":
                    met[name], pythons[name] = event["machine"], event
                yield from self._take(name, event)
                if event["e"] in ("asked", "end"):
                    yield from self._go_on()
        finally:
            records.remember_machines(self.project.state, met, replace=self.how.adopt)
            records.remember_pythons(self.project.state, pythons)

    def _envelopes(self) -> dict[str, dict[str, Any]]:
        machines, how = records.machines(self.project.state), self.how
        return {
            name: {
                "mode": "check" if how.check else "apply",
                "diff": how.diff or how.ask,
                "ask": name in self._looking,
                "confirm": how.confirm,
                "adopt": how.adopt,
                "machine": machines.get(name),
                "owner": f"{self.project.name}/{self.project.tier}",
                "needs": plan.needs,
                "steps": plan.steps,
            }
            for name, plan in self.plans.items()
        }

    def _take(self, name: str, event: Record) -> Iterator[Record]:
        """One event of one host. What it would change is told only where the user is asked: else it is done soon."""
        kind, plan = event["e"], self.plans[name]
        if kind == "step" and name in self._unsaid:
            self._unsaid[name].append(event)
            return
        if kind == "asked":
            self._asked.add(name)
            self.tally.keep_only(name, "would")
            self._unsaid.pop(name, None)
            return
        if kind == "end":
            self._open.discard(name)
            event = self._ended(name, event)
            for earlier in self._unsaid.pop(name, []) if event["status"] == "done" else []:
                yield from self.tally.records(name, plan, earlier)
        yield from self.tally.records(name, plan, event)

    def _ended(self, name: str, event: Record) -> Record:
        if event["status"] != "done":
            return event
        if name in self.turns.held and self._told.get(name) == "stop":
            return {**event, "status": "held", "reason": self.turns.held[name]}
        if name in self._looking - self._asked:  # it looked, and is as it should be
            self.tally.begun.add(name)
        return event

    # -- whose turn it is

    def _go_on(self) -> Iterator[Record]:
        """Ask the user once all have looked; then let go on whose turn it is."""
        if not self._approved and not self.stopped and self._asked and self._open <= self._asked:
            yield {"type": "asked", "would": self.tally.total("would")}
            self.stopped = not self._approved
            if self._approved:
                self.tally.applied_now()
        if self.stopped:
            self._tell("stop", self._asked)
        if not self._approved or self.how.check:
            return
        yield from self._let()
        while self.turns.more and not self._open.intersection(self.turns.batch):
            yield from self._look_after()
            self.turns.next(self.tally.well, self.how.carry_on)
            yield from self._let()

    def _let(self) -> Iterator[Record]:
        waiting = self._asked - set(self._told)
        due = {n for n in waiting if self.turns.may_begin(n)}
        if due.intersection(self.turns.batch) and self.turns.announce():
            hosts = [n for n in self.turns.batch if n in self._open]
            yield {"type": "batch", "number": self.turns.number + 1, "of": len(self.turns.batches), "hosts": hosts}
        self.tally.begun |= due
        self._tell("go", due)
        self._tell("stop", waiting.intersection(self.turns.held))

    def _tell(self, word: str, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._told:
                self._told[name] = word
                self.fleet.tell(name, word)

    def _look_after(self) -> Iterator[Record]:
        """The health gate: before others are changed, those that were changed must be well by their roles' checks."""
        coming = [n for n in self.turns.coming if n in self._open]
        suspects = records.failed(self.project.state)  # unwell in the last deploy, they may be so still
        done = [n for n in self.turns.batch if self.tally.well(n)]
        done = [n for n in done if self.tally.counts[n]["changed"] or n in suspects]
        checks = {n: self._checks(n) for n in [*done, *coming]}
        done = [n for n in done if checks[n]]
        if not (self.how.gate and done and coming):
            return
        began = time.monotonic()
        unwell: dict[str, str] = {}
        noted: set[str] = set()
        for unwell in self.how.gate({n: checks[n] for n in done}, {n: checks[n] for n in coming}):
            for name in set(unwell) - noted:
                yield {"type": "note", "host": name, "text": f"not well yet: {unwell[name]}"}
            noted.update(unwell)
        for name in done:
            self.tally.asks(name)
            if name in unwell:
                yield self.tally.end(name, {**self.tally.ends[name], "status": "unwell", "reason": unwell[name]})
        yield {
            "type": "gate",
            "hosts": done,
            "unwell": unwell,
            "checks": sum(len(checks[n]) for n in done),
            "seconds": round(time.monotonic() - began, 3),
        }

    def _checks(self, name: str) -> list[dict[str, Any]]:
        """The checks of the roles for whose sake the host takes turns."""
        roles = self.turns.roles(name)
        return [c for c in self.plans[name].checks if roles is None or c["role"] in roles]
