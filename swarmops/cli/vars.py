"""Show a host's variables, and the line that set each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._inventory import inventory_options, open_project_of
from swarmops.cli._project import extra_option, extra_vars, json_option

if TYPE_CHECKING:
    from swarmops.model.faults import Faults
    from swarmops.model.inventory import Origin
    from swarmops.model.project import Project

Why = dict[str, "list[Origin]"]


@click.command()
@click.argument("host")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--why", is_flag=True, help="The line that set each value, and what it overrides.")
@extra_option
@json_option
@inventory_options
def command(
    host: str,
    names: tuple[str, ...],
    why: bool,
    extra: tuple[str, ...],
    as_json: bool,
    inventory: str | None,
    root: str | None,
    vault: str | None,
) -> int:
    """Show the variables of HOST (or only those named): the inventory's, and its roles' as <role>_<variable>.

    With --why each comes with the file and line that set it, and below it the layers that it overrides, the
    strongest first. Secrets are shown by their names.
    """
    from swarmops.cli._output import progress
    from swarmops.cli.inventory import one_host
    from swarmops.model.faults import Faults, InputError

    project = open_project_of(inventory, root, vault)
    found, faults = one_host(project.inventory, host), Faults()
    known = _explained(project, found.name, extra_vars(extra), faults)
    shown = _chosen(known, names, found.name)
    if as_json:
        _print_json(found.name, found.groups, shown)
    else:
        _print(shown, why)
    for line in InputError(faults).lines() if faults else []:
        progress(line)
    return 2 if faults else 0


def _explained(project: Project, host: str, extra: dict[str, Any], faults: Faults) -> Why:
    """What is known. Faults of roles hide only what they touch: one asks `why` while something is wrong."""
    from swarmops.model.secrets import StandIns
    from swarmops.planning.explain import explain
    from swarmops.planning.world import World

    project.store = StandIns.of(project.store)
    world = World(project, extra, faults)
    found = explain(world.scope(host))
    world.host_faults.flush(faults)
    return found


def _chosen(known: Why, names: tuple[str, ...], host: str) -> Why:
    from swarmops.model.faults import Faults, Mark, closest

    faults = Faults()
    for name in names:
        if name not in known:
            faults.add(Mark(), name, f"{host} has no variable of this name", closest(name, known))
    faults.stop_if_any()
    return {name: known[name] for name in names or known}


def _print(found: Why, why: bool) -> None:
    from swarmops.cli._output import echo, plain

    for name, origins in found.items():
        first, *lower = reversed(origins)
        echo(plain(f"{name} = {_shown(first.value)}"))
        if why:
            made_of = f": {first.raw}" if first.raw else ""
            echo(plain(f"    {first.mark}  {first.layer}{made_of}"))
            for origin in lower:
                echo(plain(f"    over {origin.mark}  {origin.layer}: {_shown(origin.value)}"))


def _print_json(host: str, groups: tuple[str, ...], found: Why) -> None:
    from swarmops.cli._output import echo
    from swarmops.model.inventory import export

    body = {}
    for name, origins in found.items():
        first, *lower = reversed(origins)
        body[name] = {"value": first.value, "set_by": _origin(first), "over": [_origin(o) for o in lower]}
    echo(export.to_json({"schema": "swarmops.vars/1", "host": host, "groups": groups, "vars": body}))


def _origin(origin: Origin) -> dict[str, Any]:
    mark = origin.mark
    place = {"layer": origin.layer, "file": mark.file, "line": mark.line, "column": mark.column}
    return {**place, "value": origin.value, **({"template": origin.raw} if origin.raw else {})}


def _shown(value: Any) -> str:
    """A value on one line: text as it is where that is plain, all else as JSON; vault texts are not shown."""
    import json

    from swarmops.model.inventory.export import json_ready
    from swarmops.model.inventory.vault import Opened
    from swarmops.model.yaml import Vaulted

    if isinstance(value, Opened | Vaulted):
        return "<vault text>"
    if isinstance(value, str) and value.isprintable() and value.strip() == value and value:
        return str(value)
    return json.dumps(json_ready(value), ensure_ascii=False, sort_keys=True, default=str)
