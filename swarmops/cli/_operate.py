"""First steps of the verbs that work on services of a fleet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from swarmops.cli._project import json_option, open_project, place_options

if TYPE_CHECKING:
    from swarmops.model.project import Project
    from swarmops.operate.units import Unit
    from swarmops.planning.plan import Plan


def chosen_units(
    inventory: str | None, root: str | None, words: Iterable[str], tier: str | None = None
) -> tuple[Project, list[Unit]]:
    """The project, and the services that `words` name in it. Raises InputError."""
    from swarmops.operate.units import chosen

    project, plans = planned(inventory, root, tier)
    return project, chosen(project, plans, words)


def planned(inventory: str | None, root: str | None, tier: str | None = None) -> tuple[Project, dict[str, Plan]]:
    """The project and the plan of each of its hosts. Raises InputError."""
    from swarmops.model.faults import Faults
    from swarmops.planning.plan import make_plans

    faults = Faults()
    project = open_project(tier, inventory, root)
    plans = make_plans(project, faults=faults)
    faults.stop_if_any()
    return project, plans


def control_command(verb: str) -> Callable[..., int]:
    """The click command that starts, stops or restarts services."""

    @click.command(
        help=f"{verb.capitalize()} services: of a role, of a host, or `all`, one host after the other.\n\n"
        "Exit code: 0 it is so everywhere, 1 somewhere it is not, 3 a host is out of reach."
    )
    @click.argument("words", nargs=-1, required=True, metavar="ROLE|HOST|all...")
    @place_options
    @json_option
    def command(words: tuple[str, ...], inventory: str | None, root: str | None, as_json: bool) -> int:
        from swarmops.cli._output import echo, emit_json, one_line
        from swarmops.delivery.local import rootless, shut_down
        from swarmops.operate.control import control

        project, units = chosen_units(inventory, root, words)
        rows = []
        for done in control(project, verb, units):
            if not as_json:
                line = f"{done.unit.host}  {done.unit.name}  {one_line(done.text)}"
                echo(line, "red" if done.code else "")
            unit = done.unit
            rows.append({"host": unit.host, "role": unit.role, "unit": unit.name, "text": done.text, "code": done.code})
        if verb == "stop" and "all" in words and rootless(project):
            shut_down(project)
        if as_json:
            emit_json({"verb": verb, "services": rows})
        codes = [row["code"] for row in rows]
        return 1 if 1 in codes else 3 if 3 in codes else 0

    return command
