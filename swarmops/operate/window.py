"""The rollback window: whether a service that turned ill goes back to the release before (S4-48). Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from swarmops.health.verdict import HostHealth, Result, State
from swarmops.operate.nodes import Node

LOOP = 3  # times that systemd has started a service again by itself: it crash-loops


@dataclass(frozen=True)
class Policy:
    """interval, cooldown: seconds between two rounds, and between two restarts of one service; most: restarts.

    act: restart at all and go back; else only the states of nodes are kept. window: seconds in which a service with a
    new release may turn ill and goes back to the one before; 0: it never does.
    """

    interval: float = 60.0
    most: int = 3
    cooldown: float = 300.0
    act: bool = True
    window: float = 600.0


@dataclass(frozen=True)
class Switch:
    """What a host says of a role's release. step: the id of the task that brought it; age: seconds that the service
    is known to run with `now`; before: the release before, "" when there is none to go back to."""

    step: str
    now: str
    before: str = ""
    age: float = 0.0


def looping(look: HostHealth) -> set[str]:
    """Roles of which systemd has started a service again and again since it was last started on purpose."""
    return {
        r.role
        for r in look.results
        if r.probe == "systemd" and r.state in (State.WARNING, State.CRITICAL) and (r.value or 0) >= LOOP
    }


def weigh(
    node: Node,
    ill: Mapping[str, Result],
    switches: Mapping[str, Switch],
    loops: Collection[str],
    policy: Policy,
    now: float,
) -> tuple[Node, list[str], list[str]]:
    """The node with when its roles turned ill; the roles that go back now; those whose last restart is too fresh for
    a word on it. All others are for a restart, as ever. now: the controller's clock; ages are the hosts' own.

    A role goes back when it turned ill within the window, and crash-loops or is still ill after the restarts that fit
    into the window; never a second time from one release, nor while the node waits for a deploy after going back.
    """
    node = replace(node, ill={role: node.ill.get(role, now) for role in ill})
    back, wait = list[str](), list[str]()
    if node.hand or node.gone_back:
        return node, back, wait
    for role in ill:
        switch = switches.get(role)
        if switch is None or not _in_window(node, role, switch, policy, now):
            continue
        tried = [t for t in node.tried.get(role, []) if now - t <= switch.age]  # what it got before, another one got
        others = {r: times for r, times in node.tried.items() if r != role}
        node = replace(node, tried={**others, role: tried} if tried else others)
        if role in loops or not policy.act or not policy.most:
            back.append(role)
        elif tried and now - tried[-1] < min(policy.interval, policy.cooldown):
            wait.append(role)
        elif tried and not _another_fits(tried, switch, policy, now):
            back.append(role)
    return node, back, wait


def _in_window(node: Node, role: str, switch: Switch, policy: Policy, now: float) -> bool:
    """Whether the role turned ill within the window: not before the switch either, which it then had not caused."""
    turned = switch.age - (now - node.ill[role])
    return bool(switch.before) and switch.now not in node.left.get(role, ()) and 0 <= turned <= policy.window


def _another_fits(tried: list[float], switch: Switch, policy: Policy, now: float) -> bool:
    """Whether there may be one more restart before the window closes."""
    due = max(0.0, tried[-1] + policy.cooldown - now)
    return len(tried) < policy.most and switch.age + due <= policy.window
