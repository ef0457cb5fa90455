"""Look at the fleet again and again, and put right what a restart can put right (S4-48).

A node that misses three looks is offline; one whose service fails has it restarted, three times at most, 300 s apart;
after that it is in error and waits for a hand. A node in maintenance is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from swarmops.health.verdict import HostHealth, Result, State, Verdict
from swarmops.model.project import Project
from swarmops.operate.control import control
from swarmops.operate.nodes import Book, Node, Status, judge
from swarmops.operate.units import Unit

Record = dict[str, Any]


@dataclass(frozen=True)
class Policy:
    """interval, cooldown: seconds between two rounds, and between two restarts of one service; most: restarts.

    act: restart at all; else only the states of nodes are kept.
    """

    interval: float = 60.0
    most: int = 3
    cooldown: float = 300.0
    act: bool = True


def failing(look: HostHealth) -> dict[str, Result]:
    """Roles of a node that answers, with the check of theirs that is critical on its own account."""
    found: dict[str, Result] = {}
    for result in look.troubles:
        if result.state is State.CRITICAL and result.role and result.service in ("", result.role):
            found.setdefault(result.role, result)
    return found if all(r.state is State.OK for r in look.results if r.id == "reach") else {}


def decide(node: Node, ill: Mapping[str, Result], policy: Policy, now: float) -> tuple[Node, list[str]]:
    """The node with what is tried now written down, and the roles whose services to restart. Pure.

    A role that has been well for a cooldown starts anew; one that was restarted `most` times is in error.
    """
    tried = {role: times for role, times in node.tried.items() if role in ill or now - times[-1] < policy.cooldown}
    if node.hand or not policy.act:
        return replace(node, tried=tried), []
    now_due, error = [], ""
    for role, result in ill.items():
        times = tried.get(role, [])
        if times and now - times[-1] < policy.cooldown:
            continue
        if len(times) >= policy.most:
            error = f"restarted {role} {len(times)} times, and still {result.name}: {result.detail}"
            continue
        tried[role] = [*times, now]
        now_due.append(role)
    if error:
        changed = now if node.status is not Status.ERROR else node.since
        node = replace(node, status=Status.ERROR, why=error, since=changed)
    return replace(node, tried=tried), now_due


class Reconciler:
    """The rounds of one fleet. `units`: what may be restarted."""

    def __init__(self, project: Project, units: Sequence[Unit], policy: Policy):
        self.project, self.units, self.policy = project, units, policy

    def round(self, verdict: Verdict, now: float | None = None) -> Iterator[Record]:
        """What changed, and what was done about it: records {type: node | remedy | round, ...}. Saves the book."""
        at = time.time() if now is None else now
        book, looks = Book(self.project.state), {h.name: h for h in verdict.hosts}
        due: list[Unit] = []
        for name in self.project.inventory.hosts:
            before = book.get(name)
            node = judge(before, book.past(name), looks.get(name), at)
            ill = failing(looks[name]) if name in looks else {}
            node, roles = decide(node, ill, self.policy, at)
            due += [u for u in self.units if u.host == name and u.role in roles]
            if node.status is not before.status:
                yield {
                    "type": "node",
                    "node": name,
                    "from": str(before.status),
                    "to": str(node.status),
                    "why": node.why,
                }
            book.put(name, node)
        book.save()
        for done in control(self.project, "restart", due):
            n = len(book.get(done.unit.host).tried.get(done.unit.role, ()))
            told = {"node": done.unit.host, "role": done.unit.role, "unit": done.unit.name, "text": done.text}
            yield {"type": "remedy", **told, "code": done.code, "try": n, "of": self.policy.most}
        states = [str(book.get(n).status) for n in self.project.inventory.hosts]
        yield {"type": "round", "at": round(at, 3), "nodes": {s: states.count(s) for s in dict.fromkeys(states)}}
