"""Show a host's variables and who set them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._inventory import inventory_options, open_inventory

if TYPE_CHECKING:
    from swarmops.model.inventory import Host, Origin


@click.command()
@click.argument("host")
@click.option("--why", is_flag=True, help="The line that set each value, and what it overrides.")
@click.option("--json", "as_json", is_flag=True, help="As JSON; origins included.")
@inventory_options
def command(host: str, why: bool, as_json: bool, named: str | None, root: str | None, vault: str | None) -> None:
    """Shows the variables that HOST has from the inventory, group_vars and host_vars.

    With --why each comes with the file and line that set it, and below it the layers that it overrides, the
    strongest first.
    """
    from swarmops.cli._output import echo
    from swarmops.cli.inventory import one_host
    from swarmops.model.inventory import export

    found = one_host(open_inventory(named, root, vault), host)
    if as_json:
        body = {name: _entry(found, name) for name in sorted(found.vars)}
        echo(export.to_json({"schema": "swarmops.vars/1", "host": found.name, "groups": found.groups, "vars": body}))
        return
    for name in sorted(found.vars):
        first, *lower = reversed(found.why[name])
        echo(f"{name} = {_shown(first.value)}")
        if why:
            echo(f"    {first.mark}  {first.layer}")
            for origin in lower:
                echo(f"    over {origin.mark}  {origin.layer}: {_shown(origin.value)}")


def _entry(host: Host, name: str) -> dict[str, Any]:
    origins = list(reversed(host.why[name]))
    return {"value": host.vars[name], "set_by": _origin(origins[0]), "over": [_origin(o) for o in origins[1:]]}


def _origin(origin: Origin) -> dict[str, Any]:
    mark = origin.mark
    return {"layer": origin.layer, "file": mark.file, "line": mark.line, "column": mark.column, "value": origin.value}


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
    return json.dumps(json_ready(value), ensure_ascii=False, sort_keys=True)
