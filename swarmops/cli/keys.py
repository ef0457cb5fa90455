"""Pin host keys; set up the login key of the deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._project import json_option, limit_option, open_project, project_options

if TYPE_CHECKING:
    from swarmops.delivery.access import Access
    from swarmops.model.project import Project


@click.group()
def command() -> None:
    """Pin host keys, and give the hosts the deployment's own login key."""


def _accesses(project: Project, limit: str | None) -> list[Access]:
    from swarmops.delivery.access import access_to

    ways = [access_to(h, project.store) for h in project.inventory.select(limit)]
    remote = [way for way in ways if not way.local]
    if not remote:
        from swarmops.cli._output import progress

        progress(f"nothing to do: no host {'of ' + limit if limit else 'of this tier'} is reached over SSH")
    return remote


@command.command()
@project_options
@limit_option
@json_option
def scan(tier: Any, inventory: Any, root: Any, limit: str | None, as_json: bool) -> int:
    """Show the hosts' keys and whether they are pinned.

    Exit code: 0 all are pinned, 1 some are new or changed, 3 a host is unreachable.
    """
    from swarmops.delivery import hostkeys

    project = open_project(tier, inventory, root)
    seen = hostkeys.scan(_accesses(project, limit), project.state / "known_hosts")
    _show(seen, as_json)
    states = {s.state for s in seen}
    return 3 if "unreachable" in states else 1 if states - {"pinned"} else 0


def _show(seen: list, as_json: bool) -> None:
    from swarmops.cli._output import echo, emit_json, plain

    if as_json:
        emit_json([{k: v for k, v in vars(s).items() if k != "key"} for s in seen])
        return
    for s in seen:
        was = f"  was {s.pinned}" if s.pinned else ""
        echo(plain(f"{s.state:<12} {s.host}  {s.where}  {s.fingerprint or s.reason}{was}"))


@command.command()
@project_options
@limit_option
@click.option("--replace", is_flag=True, help="Also pin keys that have changed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def pin(tier: Any, inventory: Any, root: Any, limit: str | None, replace: bool, yes: bool) -> int:
    """Keep the keys that the hosts show now.

    Compare the fingerprints with those that each host's console shows (ssh-keygen -lf) before you say yes.
    """
    import sys

    from swarmops.cli._output import echo, progress
    from swarmops.delivery import hostkeys
    from swarmops.model.faults import InputError

    project = open_project(tier, inventory, root)
    if not (accesses := _accesses(project, limit)):
        return 0
    known = project.state / "known_hosts"
    seen = hostkeys.scan(accesses, known)
    _show(seen, False)
    wanted = [s for s in seen if s.state == "new" or (replace and s.state == "changed")]
    if wanted and not yes:
        if not sys.stdin.isatty():
            raise InputError.one("there is no terminal to compare fingerprints on", hint="--yes pins what is seen")
        if not click.confirm(f"Pin {len(wanted)} keys?", err=True):
            return 1
    done = hostkeys.pin(wanted, {a.name: a for a in accesses}, known)
    echo(f"pinned {len(done)}" + (f": {', '.join(done)}" if done else ""))
    changed = [s.host for s in seen if s.state == "changed" and not replace]
    if changed:
        progress(f"not pinned, the key has changed: {', '.join(changed)} (--replace pins the new ones)", "red")
    if any(s.state == "unreachable" for s in seen):
        return 3
    return 1 if changed else 0


@command.command()
@project_options
@limit_option
@click.option("--key", "key_path", metavar="FILE", help="The key (default: ~/.ssh/swarmops_NAME).")
@click.option("--ssh-config", "config", metavar="FILE", help="Also manage a block of host aliases in FILE.")
def setup(tier: Any, inventory: Any, root: Any, limit: str | None, key_path: str | None, config: str | None) -> int:
    """Give the hosts a login key, proven by a login.

    The key is made once and kept, installed on every host of TIER, and each host must then let us in with it alone.
    """
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from swarmops.cli._output import echo, plain
    from swarmops.delivery import login_keys

    project = open_project(tier, inventory, root)
    if not (accesses := _accesses(project, limit)):
        return 0
    key = Path(key_path).expanduser() if key_path else Path.home() / f".ssh/swarmops_{project.name}"
    known = project.state / "known_hosts"
    echo(f"{'made' if login_keys.make_key(key) else 'kept'}         {key}")
    with ThreadPoolExecutor(max_workers=25) as pool:
        results = list(pool.map(lambda a: login_keys.install(a, key, known), accesses))
    for r in results:
        echo(f"{r.state:<12} {r.host}  {plain(r.reason)}", "red" if r.state == "failed" else "")
    if config:
        path = Path(config).expanduser()
        block = login_keys.config_block(project.name, accesses, key, known)
        echo(f"{'changed' if login_keys.manage_block(path, project.name, block) else 'ok':<12} {path}")
    return 1 if any(r.state == "failed" for r in results) else 0
