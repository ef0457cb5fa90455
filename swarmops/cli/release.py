"""What the hosts' releases of Python are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._project import json_option, open_project, project_options

if TYPE_CHECKING:
    from swarmops.delivery.release.lock import Lock


@click.group()
def command() -> None:
    """Show which wheels the releases for hosts are made of, and choose newer ones.

    A deploy chooses them once and locks them; see docs/releases.md.
    """


@command.command()
@project_options
@json_option
def show(tier: Any, inventory: Any, root: Any, as_json: bool) -> int:
    """Show what is locked for the hosts of TIER."""
    from swarmops.cli._output import echo, emit_json
    from swarmops.delivery.release.cache import own

    locks = _locks(open_project(tier, inventory, root))
    if as_json:
        emit_json([lock.as_dict() for lock in locks])
        return 0
    ours = own()[0]
    for lock in locks:
        wheels = [ours, *lock.wheels]
        echo(f"{lock.name}: {lock.target}, {len(wheels)} wheels, {sum(w.size for w in wheels) / 1e6:.1f} MB", "bold")
        for wheel in wheels:
            echo(f"  {wheel.name:<24} {wheel.version:<12} {wheel.size / 1e6:>7.1f} MB  {wheel.sha256[:12]}")
    if not locks:
        echo("nothing is locked yet: the first deploy of a role with a release chooses its wheels")
    return 0


@command.command()
@project_options
def update(tier: Any, inventory: Any, root: Any) -> int:
    """Choose the newest wheels that fit, for all that is locked. The next deploy brings them to the hosts."""
    from swarmops.cli._output import echo
    from swarmops.delivery.release.lock import locked

    project = open_project(tier, inventory, root)
    moved = 0
    for lock in _locks(project):
        before = {w.name: w for w in lock.wheels}
        now = {w.name: w for w in locked(lock.folder, lock.extras, lock.target, fresh=True)}
        for name in sorted({n for n in {*before, *now} if before.get(n) != now.get(n)}):
            was, to = (x.version if x else "-" for x in (before.get(name), now.get(name)))
            echo(f"{lock.name}, {lock.target}: {name} {was} -> {to}", "yellow")
            moved += 1
    echo(f"{moved} changed" if moved else "all is as it was")
    return 0


def _locks(project: Any) -> list[Lock]:
    from swarmops.delivery import release
    from swarmops.delivery.release.lock import locks

    return locks(release.locks(project.state))
