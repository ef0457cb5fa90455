"""Show or export the inventory as ansible-inventory does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from swarmops.cli._inventory import inventory_options, open_inventory

if TYPE_CHECKING:
    from swarmops.model.inventory import Host, Inventory


@click.command()
@click.argument("action", required=False, type=click.Choice(["export"]))
@click.option("--list", "as_list", is_flag=True, help="Groups, hosts and every host's variables, as JSON.")
@click.option("--host", metavar="NAME", help="One host's variables, as JSON.")
@click.option("--graph", "as_graph", is_flag=True, help="A tree of groups and hosts (this is the default).")
@click.option("--vars", "show_vars", is_flag=True, help="With --graph: variables too.")
@click.option("-y", "--yaml", "as_yaml", is_flag=True, help="YAML in place of JSON.")
@click.option("-l", "--limit", metavar="PATTERN", help="Only these hosts, such as 'redis:&lan:!redis-2'.")
@inventory_options
def command(
    action: str | None,
    as_list: bool,
    host: str | None,
    as_graph: bool,
    show_vars: bool,
    as_yaml: bool,
    limit: str | None,
    inventory: str | None,
    root: str | None,
    vault: str | None,
) -> None:
    """Show the inventory as ansible-inventory does: a tree, or with --list and --host its JSON.

    `export` prints one YAML file that stands for all of it, group_vars and host_vars folded in. Vault texts
    stay encrypted in everything that is printed.
    """
    forms = {"export": action, "--list": as_list, "--host": host, "--graph": as_graph}
    chosen = [name for name, wanted in forms.items() if wanted]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)} exclude each other.")
    what = chosen[0] if chosen else "--graph"
    if show_vars and what != "--graph":
        raise click.UsageError("--vars goes with --graph; the other forms show variables anyway.")
    if as_yaml and what == "--graph":
        raise click.UsageError("--yaml goes with --list and --host.")
    _print(open_inventory(inventory, root, vault), what, host, limit, as_yaml, show_vars)


def _print(
    inventory: Inventory, what: str, host: str | None, limit: str | None, as_yaml: bool, show_vars: bool
) -> None:
    from swarmops.cli._output import echo
    from swarmops.model.inventory import export

    only = [h.name for h in inventory.select(limit)] if limit else None
    if what == "--graph":
        echo(export.graph(inventory, only=only, show_vars=show_vars))
    elif what == "export":
        echo(export.to_yaml(export.exported(inventory, only)).rstrip("\n"))
    elif what == "--host":
        values = export.host_vars(one_host(inventory, host or ""))
        echo(export.to_yaml(values, sort=True).rstrip("\n") if as_yaml else export.to_json(values))
    elif as_yaml:
        echo(export.to_yaml(export.yaml_listing(inventory, only), sort=True).rstrip("\n"))
    else:
        echo(export.to_json(export.listing(inventory, only)))


def one_host(inventory: Inventory, name: str) -> Host:
    """The host of that name. Raises InputError with the closest name."""
    from swarmops.model.faults import InputError, closest
    from swarmops.model.textfile import shown

    if name not in inventory.hosts:
        sentence = f"there is no host '{name}' in {shown(inventory.path)}"
        raise InputError.one(sentence, hint=closest(name, inventory.hosts))
    return inventory.hosts[name]
