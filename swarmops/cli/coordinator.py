"""Lead swarms: distribute work, share, settle conflicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._runtime import print_result, runtime_options, table

if TYPE_CHECKING:
    from swarmops.runtime import Runtime
    from swarmops.runtime.coordinator.conflicts import Conflict

STRATEGIES = ("least_loaded", "round_robin", "priority", "capability")


@click.group()
def command() -> None:
    """The leader of many swarms: its loop, and what it decides about."""


@command.command()
@click.option("--name", default="", metavar="NAME", help="Who this is among the candidates (default: a new name).")
@click.option("--lease", type=float, metavar="S", help="A leader that is silent so long is replaced.")
@click.option("--distribute", default=5.0, show_default=True, metavar="S", help="Distribute so often, and on hints.")
@click.option("--batch", default=10, show_default=True, metavar="N", help="Tasks a cycle of distribution.")
@click.option("--resources", default=15.0, show_default=True, metavar="S", help="Take back shares so often.")
@click.option("--health", default=30.0, show_default=True, metavar="S", help="Look for the dead so often.")
@click.option("--conflicts", default=5.0, show_default=True, metavar="S", help="End votes so often.")
@click.option("--snapshots", default=15.0, show_default=True, metavar="S", help="Look so often which states are due.")
@runtime_options
def run(rt: Runtime, as_json: bool, name: str, lease: float | None, batch: int, **pace: float) -> int:
    """Campaign, and do the duties while leading.

    Until SIGTERM or Ctrl-C. Start it on as many machines as you like: one leads,
    the others wait. It waits for a Redis that is away.
    """
    from swarmops.cli._hold import held
    from swarmops.cli._output import progress
    from swarmops.runtime.coordinator.duties import Pace
    from swarmops.runtime.coordinator.loop import Coordinator

    with held() as wait, Coordinator(rt, name, Pace(**pace, batch=batch), lease) as coordinator:
        progress(f"{coordinator.id} campaigns at {rt.settings.place}")
        wait()
    body = {"schema": "swarmops.coordinator-run/1", "id": coordinator.id, **coordinator.done.as_dict()}
    done = coordinator.done
    print_result(body, as_json, lambda: f"led {done.terms} times, distributed {done.distributed} tasks")
    return 0


@command.command()
@runtime_options
def status(rt: Runtime, as_json: bool) -> None:
    """Who leads, what waits to be distributed, and who has how much."""
    from swarmops.runtime.op import good

    who, backlog = good(rt.run_many([rt.leader.who.op(), rt.distribution.backlog.op()]))
    leader = who.holder if who else ""
    body = {"schema": "swarmops.coordinator/1", "leader": leader, "term": who.term if who else 0, **backlog.as_dict()}

    def text() -> str:
        lines = [
            f"leader    {leader or 'nobody'}",
            f"strategy  {backlog.strategy}",
            f"tasks     {backlog.pending} wait, {backlog.assigned} with swarms, {backlog.ended} ended",
        ]
        if backlog.stuck:
            lines.append(f"stuck     {backlog.stuck} that no active swarm can do: {', '.join(backlog.stuck_ids[:10])}")
        rows = [[swarm, str(n)] for swarm, n in backlog.loads.items()]
        return "\n".join(lines) + ("\n\n" + table(rows, ["SWARM", "OPEN"]) if rows else "")

    print_result(body, as_json, text)


@command.command()
@click.argument("new", type=click.Choice(STRATEGIES))
@runtime_options
def strategy(rt: Runtime, as_json: bool, new: str) -> None:
    """Distribute by another strategy from now on."""
    found = rt.distribution.strategy(new)
    body = {"schema": "swarmops.coordinator-strategy/1", "strategy": found.strategy}
    print_result(body, as_json, lambda: f"tasks are distributed by {found.strategy}")


@command.command()
@click.argument("description")
@click.option("--type", "kind", default="task", show_default=True, metavar="NAME", help="What kind of task it is.")
@click.option(
    "--priority",
    type=click.Choice(["high", "normal", "low"]),
    default="normal",
    show_default=True,
    help="How urgent it is.",
)
@click.option("--needs", default="", metavar="A,B", help="Capabilities that the swarm must have.")
@click.option("--effort", default=1.0, show_default=True, metavar="N", help="How much work it is, in units of yours.")
@click.option("--id", "which", metavar="ID", help="Accepted once, however often it is sent.")
@runtime_options
def distribute(
    rt: Runtime, as_json: bool, description: str, kind: str, priority: str, needs: str, effort: float, which: str | None
) -> None:
    """Hand in a task for whichever swarm the strategy chooses."""
    wants = [one.strip() for one in needs.split(",") if one.strip()]
    found = rt.distribution.submit(description, kind, priority, wants, effort, which)
    body = {"schema": "swarmops.distributed/1", **found.as_dict()}
    print_result(body, as_json, lambda: f"{found.id} {found.where} {found.swarm or found.leader}".rstrip())


@command.command()
@click.argument("id")
@runtime_options
def task(rt: Runtime, as_json: bool, id: str) -> None:
    """Where a distributed task is, or how it ended."""
    from swarmops.cli._hold import pairs

    found = rt.distribution.get(id).as_dict()
    print_result({"schema": "swarmops.distributed-task/1", **found}, as_json, lambda: pairs(found))


@command.command()
@click.argument("swarm")
@click.option("-n", "most", default=10, show_default=True, metavar="N", help="At most so many.")
@click.option("--have", default="", metavar="ID,ID", help="Tasks that are in hand already.")
@runtime_options
def take(rt: Runtime, as_json: bool, swarm: str, most: int, have: str) -> None:
    """What SWARM has been given to do."""
    found = rt.distribution.take(swarm, most, [one.strip() for one in have.split(",") if one.strip()])
    if not found:
        rt.swarms.get(swarm)  # raises NotFound
    rows = [[t.id, str(t.attempt), t.priority, t.type, t.description.replace("\n", " ")[:60]] for t in found]
    body = {"schema": "swarmops.assignments/1", "swarm": swarm, "tasks": [t.as_dict() for t in found]}
    print_result(body, as_json, lambda: table(rows, ["TASK", "ATTEMPT", "PRIORITY", "TYPE", "DESCRIPTION"]))


@command.command()
@click.argument("swarm")
@click.argument("task")
@click.argument("attempt", type=int)
@click.option("--result", default="null", metavar="JSON", help="What came out of it; - reads stdin.")
@click.option("--failed", metavar="WHY", help="It cannot be done, by no swarm.")
@click.option("--back", metavar="WHY", help="This swarm does not do it: another may.")
@runtime_options
def complete(
    rt: Runtime,
    as_json: bool,
    swarm: str,
    task: str,
    attempt: int,
    result: str,
    failed: str | None,
    back: str | None,
) -> int:
    """SWARM has done TASK, which it was given with ATTEMPT. Ends with 1 if another swarm has it by now."""
    from swarmops.cli._values import json_or_text

    if back is not None:
        new = rt.distribution.give_back(swarm, [(task, attempt)], back) == 1
        said = "given back" if new else "not this swarm's any more"
    elif failed is not None:
        new, said = rt.distribution.fail(task, swarm, attempt, failed), "failed"
    else:
        new, said = rt.distribution.complete(task, swarm, attempt, json_or_text(result)), "done"
    body = {"schema": "swarmops.assignment-ended/1", "task": task, "swarm": swarm, "status": said, "new": new}
    print_result(body, as_json, lambda: f"{task} {said}")
    return 0 if new or back is None else 1


@command.command()
@runtime_options
def resources(rt: Runtime, as_json: bool) -> None:
    """All pools, and which swarm holds what of them."""
    found = rt.resources.list()

    def text() -> str:
        pools = [[p.kind, str(p.amount), str(p.used), str(p.left)] for p in found.pools.values()]
        held = [[s, k, str(n)] for s, kinds in found.held.items() for k, n in kinds.items()]
        shares = "\n\n" + table(held, ["SWARM", "POOL", "HOLDS"]) if held else ""
        return table(pools, ["POOL", "AMOUNT", "USED", "LEFT"]) + shares

    print_result({"schema": "swarmops.resources/1", **found.as_dict()}, as_json, text)


@command.command()
@click.argument("kind")
@click.argument("amount", type=int)
@click.option("--idle", type=float, metavar="S", help="Take a share back that was not used for so long (0: never).")
@runtime_options
def pool(rt: Runtime, as_json: bool, kind: str, amount: int, idle: float | None) -> None:
    """Say how much of KIND there is to share.

    As in `pool cpu 800` or `pool memory 4096`; less than is in use is allowed.
    """
    found = rt.resources.define(kind, amount, idle=idle)
    body = {"schema": "swarmops.pool/1", "kind": kind, "amount": found.amount, "used": found.used}
    print_result(body, as_json, lambda: f"{kind}: {found.used} of {found.amount} in use")


@command.command()
@click.argument("swarm")
@click.argument("kind")
@click.argument("amount", type=int)
@runtime_options
def allocate(rt: Runtime, as_json: bool, swarm: str, kind: str, amount: int) -> None:
    """Give SWARM a share of a pool. Ends with 1 if there is not so much left."""
    found = rt.resources.allocate(swarm, kind, amount)
    body = {"schema": "swarmops.share/1", **found.as_dict()}
    print_result(body, as_json, lambda: f"{swarm} holds {found.held} {kind}, {found.left} are left")


@command.command()
@click.argument("swarm")
@click.argument("kind")
@click.argument("amount", type=int, required=False)
@runtime_options
def release(rt: Runtime, as_json: bool, swarm: str, kind: str, amount: int | None) -> None:
    """Give back AMOUNT of a share, or all of it."""
    n = rt.resources.release(swarm, kind, amount)
    if not n:
        rt.swarms.get(swarm)  # raises NotFound
    body = {"schema": "swarmops.released/1", "swarm": swarm, "kind": kind, "amount": n}
    print_result(body, as_json, lambda: f"{swarm} gave back {n} {kind}")


@command.command()
@click.argument("kind")
@click.argument("swarm_a")
@click.argument("swarm_b")
@click.option(
    "--strategy",
    "rule",
    type=click.Choice(["priority", "timestamp", "vote"]),
    default="priority",
    show_default=True,
    help="The rule.",
)
@click.option("--deadline", default=30.0, show_default=True, metavar="S", help="A vote ends then at the latest.")
@click.option("--quorum", default=0, metavar="N", help="So many must vote (default: more than half).")
@runtime_options
def resolve(
    rt: Runtime, as_json: bool, kind: str, swarm_a: str, swarm_b: str, rule: str, deadline: float, quorum: int
) -> None:
    """Decide between two swarms, or let them all vote."""
    _print(rt.conflicts.resolve(kind, swarm_a, swarm_b, rule, deadline=deadline, quorum=quorum), as_json)


@command.command()
@click.argument("conflict")
@click.argument("swarm")
@click.argument("choice")
@runtime_options
def vote(rt: Runtime, as_json: bool, conflict: str, swarm: str, choice: str) -> None:
    """SWARM votes for CHOICE, once."""
    _print(rt.conflicts.vote(conflict, swarm, choice), as_json)


@command.command()
@click.option("--limit", default=100, show_default=True, metavar="N", help="At most so many.")
@runtime_options
def conflicts(rt: Runtime, as_json: bool, limit: int) -> None:
    """Votes that run, and what was decided, newest first."""
    found = rt.conflicts.list(limit)
    rows = [
        [c.id, c.kind, f"{c.a} / {c.b}", c.strategy, c.winner or "-", c.reason or "votes are awaited"] for c in found
    ]
    body = {"schema": "swarmops.conflicts/1", "conflicts": [c.as_dict() for c in found]}
    print_result(body, as_json, lambda: table(rows, ["ID", "KIND", "BETWEEN", "STRATEGY", "WINNER", "REASON"]))


def _print(found: Conflict, as_json: bool) -> None:
    body: dict[str, Any] = {"schema": "swarmops.conflict/1", **found.as_dict()}
    sentence = (
        f"{found.winner}: {found.reason}"
        if found.winner
        else f"{found.id} is open: {found.votes[0]} to {found.votes[1]} of {found.quorum} votes that are needed"
    )
    print_result(body, as_json, lambda: sentence)
