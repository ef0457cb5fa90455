"""Look at the fleet again and again, and put right what a restart or the release before can put right (S4-48).

A node that misses three looks is offline; one whose service fails has it restarted, three times at most, 300 s apart;
after that it is in error and waits for a hand. A service that turned ill within 600 s of its new release goes back to
the one before (see `window`). A node in maintenance, or one that a deploy is at work on, is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from swarmops.health.verdict import HostHealth, Result, State, Verdict
from swarmops.health.verdict import result as made
from swarmops.model.project import Project
from swarmops.operate import releases, window
from swarmops.operate.control import control
from swarmops.operate.nodes import Book, Node, Past, Status, judge
from swarmops.operate.units import Unit, every
from swarmops.operate.window import Policy, Switch
from swarmops.planning.plan import Plan

Record = dict[str, Any]
STATE = {"id": "state", "role": "", "name": "state of the node", "probe": "reconcile", "from": "controller"}


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
    seen = {**node.seen, **dict.fromkeys(ill, now)}
    over = now - policy.cooldown
    tried = {r: times for r, times in node.tried.items() if r in ill or max(times[-1], seen.get(r, 0.0)) > over}
    node = replace(node, tried=tried, seen={r: at for r, at in seen.items() if r in tried or r in ill})
    if node.hand or not policy.act:
        return node, []
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
        why = f"{node.gone_back}; {error}" if node.gone_back else error
        node = replace(node, status=Status.ERROR, why=why, since=changed)
    return replace(node, tried=tried), now_due


@dataclass(frozen=True)
class Way:
    """A role of a host that goes back, and why."""

    host: str
    role: str
    switch: Switch
    why: str

    @property
    def text(self) -> str:
        return f"{self.role} went back from {self.switch.now} to {self.switch.before}: {self.why}"


class Reconciler:
    """The rounds of one fleet. look: how a host is looked at again after it went back; `again` has what that saw."""

    def __init__(
        self,
        project: Project,
        plans: Mapping[str, Plan],
        policy: Policy,
        look: Callable[[str], HostHealth | None] = lambda _: None,
    ):
        self.project, self.plans, self.policy, self._look = project, plans, policy, look
        self.units = every(plans)
        self.again: dict[str, HostHealth] = {}

    def round(self, verdict: Verdict, now: float | None = None) -> Iterator[Record]:
        """What changed, and what was done about it: records {type: node | back | remedy | round, ...}. Saves the
        book."""
        at = time.time() if now is None else now
        book, looks = Book(self.project.state), {h.name: h for h in verdict.hosts}
        self.again = {}
        pasts = {name: book.past(name) for name in self.project.inventory.hosts}
        nodes = {name: judge(book.get(name), past, looks.get(name), at) for name, past in pasts.items()}
        ill = {name: failing(looks[name]) for name in nodes if name in looks and not pasts[name].deploying}
        switches = self._switches(nodes, pasts, ill)
        due: list[Unit] = []
        ways: list[Way] = []
        for name, before in ((n, book.get(n)) for n in nodes):
            node = nodes[name]
            if name in ill:
                mine, loops = self._own(name, looks, ill, switches), window.looping(looks[name])
                node, back, wait = window.weigh(node, ill[name], mine, loops, self.policy, at)
                ways += [Way(name, r, mine[r], f"{ill[name][r].name}: {ill[name][r].detail}") for r in back]
                units = [u for u in self.units if u.host == name]
                ours = {u.role for u in units} - {*back, *wait}  # a full disk is not put right by any restart
                node, roles = decide(node, {r: why for r, why in ill[name].items() if r in ours}, self.policy, at)
                due += [u for u in units if u.role in roles]
            book.put(name, node)
            if node.status is not before.status:
                yield _turned(name, before, node)
        book.save()
        for way in ways:  # what was set by hand while we asked the hosts counts, too
            if not book.get(way.host).hand:
                yield from self._back(book, way, at) if self.policy.act else [_would(way)]
        yield from self._restart(book, [unit for unit in due if not book.get(unit.host).hand])
        states = [str(book.get(n).status) for n in self.project.inventory.hosts]
        yield {"type": "round", "at": round(at, 3), "nodes": {s: states.count(s) for s in dict.fromkeys(states)}}

    def _switches(
        self, nodes: Mapping[str, Node], pasts: Mapping[str, Past], ill: Mapping[str, Mapping[str, Result]]
    ) -> dict[str, dict[str, Switch]]:
        """Asked of hosts only where something is ill that might go back."""
        if not self.policy.window:
            return {}
        free = [n for n in ill if ill[n] and not (nodes[n].hand or nodes[n].gone_back or pasts[n].failed)]
        return releases.switches(self.project, self.plans, {name: ill[name].keys() for name in free})

    def _own(
        self,
        name: str,
        looks: Mapping[str, HostHealth],
        ill: Mapping[str, Mapping[str, Result]],
        switches: Mapping[str, Mapping[str, Switch]],
    ) -> dict[str, Switch]:
        """The releases of a host's ill roles, without those whose trouble may be another one's: something that has no
        new release of its own is down beside them, or on a host that comes before this one."""
        near = [name, *self.plans[name].after]
        silent = any(r.state is not State.OK for n in near if n in looks for r in looks[n].results if r.id == "reach")
        down = {(n, role) for n in near for role in ill.get(n, ())}
        down -= {(n, role) for n in near for role, switch in switches.get(n, {}).items() if switch.before}
        return {} if silent or down else dict(switches.get(name, {}))

    def _back(self, book: Book, way: Way, at: float) -> Iterator[Record]:
        """Go back, and look again. That it went is written down before, so that it never goes twice."""
        before = book.get(way.host)
        gone = replace(
            before,
            status=Status.ERROR,
            why=way.text,
            since=at,
            gone_back="; ".join(filter(None, [before.gone_back, way.text])),
            gone_back_at=at,
            left={**before.left, way.role: [*before.left.get(way.role, ()), way.switch.now][-10:]},
            tried={role: times for role, times in before.tried.items() if role != way.role},
        )
        book.put(way.host, gone)
        book.save()
        code, text = releases.go_back(self.project, self.plans[way.host], way.switch)
        if code == releases.DONE:
            code, text = self._looked_again(way, text)
        if code == releases.ILL:
            gone = replace(gone, gone_back=f"{gone.gone_back}; {text}")
        gone = replace(gone, why=gone.gone_back) if code != releases.NOT_DONE else before
        book.put(way.host, gone)
        book.save()
        yield {**_told(way), "why": way.why, "text": text, "code": code}
        if gone.status is not before.status:
            yield _turned(way.host, before, gone)

    def _looked_again(self, way: Way, text: str) -> tuple[int, str]:
        look = self._look(way.host)
        if look is None:
            return releases.DONE, text
        self.again[way.host] = look
        still = failing(look).get(way.role)
        return (releases.ILL, f"{text}, and still {still.name}: {still.detail}") if still else (releases.DONE, text)

    def _restart(self, book: Book, due: list[Unit]) -> Iterator[Record]:
        for done in control(self.project, "restart", due):
            n = len(book.get(done.unit.host).tried.get(done.unit.role, ()))
            told = {"node": done.unit.host, "role": done.unit.role, "unit": done.unit.name, "text": done.text}
            yield {"type": "remedy", **told, "code": done.code, "try": n, "of": self.policy.most}


def with_states(verdict: Verdict, book: Book, again: Mapping[str, HostHealth] | None = None) -> Verdict:
    """The verdict as a dashboard shall show it: nodes in error say so and why, by a check of its own.

    again: what a later look saw of some hosts.
    """

    def told(host: HostHealth) -> HostHealth:
        host, node = (again or {}).get(host.name, host), book.get(host.name)
        if node.status is not Status.ERROR:
            return host
        return replace(host, results=(*host.results, made(host.name, STATE, State.CRITICAL, node.why)))

    return replace(verdict, hosts=tuple(map(told, verdict.hosts)))


def _turned(name: str, before: Node, node: Node) -> Record:
    return {"type": "node", "node": name, "from": str(before.status), "to": str(node.status), "why": node.why}


def _told(way: Way) -> Record:
    return {
        "type": "back",
        "node": way.host,
        "role": way.role,
        "from": way.switch.now,
        "to": way.switch.before,
        "age": way.switch.age,
    }


def _would(way: Way) -> Record:
    """What is said where nothing is done."""
    return {**_told(way), "why": way.why, "would": True, "text": "would go back if restarts do not help", "code": 0}
