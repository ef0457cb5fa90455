"""Register agents, beat, find those that can do something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._runtime import print_result, runtime_options, table

if TYPE_CHECKING:
    from swarmops.runtime import Runtime
    from swarmops.runtime.registry.agents import Agent


@click.group()
def command() -> None:
    """Agents: who is there, what they can do, how busy they are."""


@command.command()
@click.argument("id", required=False)
@click.option("--name", help="Without an ID it is made of the host's name and this.")
@click.option("-c", "--capability", "capabilities", multiple=True, help="What it can do (repeat for more).")
@click.option("--detect/--no-detect", default=True, show_default=True, help="Add what this host has.")
@click.option("--metadata", metavar="JSON", help="An object.")
@click.option("--parent", metavar="ID", help="When that agent goes, so does this one.")
@click.option("--heartbeat", type=float, metavar="SECONDS", help="Time between its beats.")
@click.option("--hold", is_flag=True, help="Stay and beat until SIGTERM or Ctrl-C, then remove it.")
@runtime_options
def register(rt: Runtime, as_json: bool, id: str | None, name: str | None, hold: bool, **said: Any) -> int:
    """Take an agent up, or up again with what is new about it."""
    from swarmops.cli._output import progress
    from swarmops.runtime import wire
    from swarmops.runtime.registry.agents import stable_id
    from swarmops.runtime.registry.beating import AgentBeat, Beating
    from swarmops.runtime.registry.capabilities import Detected, detect

    found = detect() if said.pop("detect") else Detected({}, ())
    which = id or stable_id(name or "")
    said["capabilities"] = sorted({*said["capabilities"], *found.capabilities})
    if said["metadata"] is not None:
        said["metadata"] = wire.loads(said["metadata"], "--metadata")
    if not hold:
        new = rt.agents.register(which, **said, facts=found.facts)
        word = "registered" if new else "registered again"
    else:
        from swarmops.cli._hold import held

        rt.connect()
        with held() as wait, Beating(AgentBeat(rt, which, **said, facts=found.facts)):
            progress(f"{which} is registered and beats until SIGTERM or Ctrl-C")
            wait()
        new, word = True, "removed"
    body = {"schema": "swarmops.agent-registered/1", "id": which, "new": new, "capabilities": said["capabilities"]}
    print_result(body, as_json, lambda: f"{which} {word}")
    return 0


@command.command()
@click.argument("id")
@click.option("--load", type=int, help="Tasks it has open.")
@click.option("--status", help="Its own word, as idle or busy.")
@runtime_options
def beat(rt: Runtime, as_json: bool, id: str, load: int | None, status: str | None) -> int:
    """Say that an agent lives."""
    left = rt.agents.beat(id, load, status)
    body = {"schema": "swarmops.agent-beat/1", "id": id, "dead_after_s": left}
    print_result(body, as_json, lambda: f"{id} lives; without another beat it is dead in {left:g} s")
    return 0


@command.command("list")
@click.option("--dead", is_flag=True, help="Also those that are dead and not yet swept.")
@runtime_options
def list_(rt: Runtime, as_json: bool, dead: bool) -> int:
    """All agents."""
    return _print(rt.agents.list(dead=dead), as_json)


@command.command()
@click.argument("capabilities", nargs=-1, required=True)
@runtime_options
def find(rt: Runtime, as_json: bool, capabilities: tuple[str, ...]) -> int:
    """Agents that have all these capabilities. Ends with 1 if there is none."""
    found = rt.agents.find(capabilities)
    _print(found, as_json)
    return 0 if found else 1


@command.command()
@click.argument("id")
@runtime_options
def show(rt: Runtime, as_json: bool, id: str) -> int:
    """One agent, with all that is known of it."""
    from swarmops.cli._hold import pairs

    it = rt.agents.get(id).as_dict()
    print_result({"schema": "swarmops.agent/1", **it}, as_json, lambda: pairs(it))
    return 0


@command.command()
@click.argument("id")
@runtime_options
def remove(rt: Runtime, as_json: bool, id: str) -> int:
    """Remove an agent and its children."""
    gone = rt.agents.remove(id)
    print_result({"schema": "swarmops.agents-removed/1", "ids": gone}, as_json, lambda: f"removed {', '.join(gone)}")
    return 0


def _print(agents: list[Agent], as_json: bool) -> int:
    def text() -> str:
        head = ["id", "health", "status", "load", "capabilities", "parent"]
        rows = [[a.id, a.health, a.status, str(a.load), ",".join(a.capabilities), a.parent or ""] for a in agents]
        return table(rows, head) if rows else ""

    print_result({"schema": "swarmops.agents/1", "agents": [a.as_dict() for a in agents]}, as_json, text)
    return 0
