"""Boot an inventory as real Debian hosts on this machine."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from swarmops.cli._project import json_option, limit_option, project_options

if TYPE_CHECKING:
    from swarmops.lab import Lab

SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
which_lab = click.option("--lab", "name", metavar="NAME", envvar="SWARMOPS_LAB", help="Which lab, when several are up.")
some_hosts = click.argument("hosts", nargs=-1, metavar="[HOST]...")


def _sentences(verb: Callable) -> Callable:
    """Turns what the lab cannot do into lines on stderr and exit 1."""

    @functools.wraps(verb)
    def run(*args: Any, **values: Any) -> int:
        from swarmops.cli._output import progress
        from swarmops.lab import LabError

        try:
            return verb(*args, **values) or 0
        except LabError as e:
            for line in str(e).splitlines():
                progress(line, "red")
            return 1

    return run


def _say(event: dict[str, Any]) -> None:
    from swarmops.cli._output import progress

    if event.get("e") == "up":
        progress(f"  {event['host']} answers SSH after {event['after']:.1f} s", "grey")
    elif event.get("e") == "note":
        progress(event["note"], "grey")


def _running(name: str | None) -> Lab:
    from swarmops.lab import Lab

    lab = Lab.running(name)
    lab.say = _say
    return lab


@click.group()
def command() -> None:
    """Boot an inventory as real Debian hosts on this machine, in a network of their own.

    Rehearse deploys, faults and upgrades there. Needs root and systemd-nspawn. No packet leaves; `down` leaves
    nothing behind.
    """


@command.command()
@project_options
@click.option("--lab", "name", metavar="NAME", help="Name of the lab (default: the tier's).")
@limit_option
@click.option(
    "--release", type=click.Choice(["trixie", "bookworm"]), default="trixie", show_default=True, help="Debian 13 or 12."
)
@_sentences
def up(
    tier: str | None, inventory: str | None, root: str | None, name: str | None, limit: str | None, release: str
) -> None:
    """Boot the hosts of TIER, an inventory under inventory/."""
    from swarmops.cli._lab_releases import prepare
    from swarmops.cli._output import progress
    from swarmops.cli._project import open_project
    from swarmops.lab import Lab, guests_of

    project = open_project(tier, inventory, root)
    lab = Lab(name or project.tier, guests_of(project.inventory.select(limit)), release, _say)
    seconds = lab.up()
    count = f"{len(lab.guests)} host{'s' if len(lab.guests) > 1 else ''}"
    progress(f"lab {lab.name} is up: {count}, {release}, {seconds:.1f} s", "green")
    prepare(project, lab)
    progress("next: swarmops lab exec -- swarmops deploy", "grey")


@command.command()
@which_lab
@click.option("--now", is_flag=True, help="Pull the plug instead of shutting down.")
@_sentences
def down(name: str | None, now: bool) -> None:
    """Shut all hosts down and leave nothing behind.

    Also tidies up after a lab that crashed.
    """
    from swarmops.cli._output import progress
    from swarmops.lab import Lab, labs

    known = list(labs())
    if not name and not known:
        progress("no lab is up", "grey")
        return
    lab = Lab(name or known[0]) if name or len(known) == 1 else _running(name)
    lab.down(now)
    progress(f"lab {lab.name} is gone", "green")


@command.command()
@some_hosts
@which_lab
@_sentences
def reset(hosts: tuple[str, ...], name: str | None) -> None:
    """Make hosts as new, in seconds: all, or those named.

    Addresses and SSH keys stay.
    """
    from swarmops.cli._output import progress

    lab = _running(name)
    seconds = lab.reset(hosts)
    progress(f"{', '.join(hosts) or f'all hosts of {lab.name}'} as new after {seconds:.1f} s", "green")


@command.command()
@which_lab
@json_option
@_sentences
def status(name: str | None, as_json: bool) -> None:
    """Show the hosts of the lab: address, state, faults."""
    from swarmops.cli._output import echo, emit_json

    told = _running(name).status()
    if as_json:
        emit_json(told)
        return
    echo(f"lab {told['lab']}: {told['release']}, up for {told['up_for']:.0f} s, namespace {told['namespace']}")
    rows = [
        (h["host"], h["address"], h["state"], f"{h['boots']} boots", ", ".join(h["faults"]) or "-")
        for h in told["hosts"]
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        echo("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@command.command()
@some_hosts
@which_lab
@_sentences
def start(hosts: tuple[str, ...], name: str | None) -> None:
    """Boot hosts that are off, with the disks they had."""
    _running(name).start(hosts)


@command.command()
@some_hosts
@which_lab
@_sentences
def stop(hosts: tuple[str, ...], name: str | None) -> None:
    """Shut hosts down cleanly; their disks stay."""
    _running(name).stop(hosts)


@command.command()
@some_hosts
@which_lab
@_sentences
def reboot(hosts: tuple[str, ...], name: str | None) -> None:
    """Reboot hosts cleanly and wait for their SSH."""
    _running(name).reboot(hosts)


class _After(click.Command):
    """Leaves what stands after `--` alone."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            args, ctx.meta["argv"] = args[:at], args[at + 1 :]
        return super().parse_args(ctx, args)


@command.command(cls=_After, name="exec")
@click.argument("host", required=False, metavar="[HOST] -- COMMAND")
@which_lab
@click.option("--outside", is_flag=True, help="From outside, as a stranger in another network.")
@click.pass_context
@_sentences
def exec_(ctx: click.Context, host: str | None, name: str | None, outside: bool) -> None:
    """Run a command on HOST as root, or on the controller.

    \b
    swarmops lab exec redis-1 -- journalctl -b     on a host, past its SSH and network
    swarmops lab exec -- swarmops deploy lan       a program of this machine, in the lab's network
    """
    from swarmops.lab import LabError

    argv = ctx.meta.get("argv")
    if not argv:
        raise click.UsageError("write the command after --, as in: swarmops lab exec redis-1 -- uptime")
    if outside and host:
        raise click.UsageError("a stranger has no HOST; leave it away")
    lab = _running(name)
    full = lab.host_argv(host, argv) if host else lab.controller_argv(argv, outside=outside)
    # sudo and unactivated environments have a PATH without the swarmops that is running.
    path = f"{os.environ.get('PATH', os.defpath)}:{os.path.dirname(sys.executable)}"  # noqa: PTH120
    try:
        os.execvpe(full[0], full, {**os.environ, **lab.environment(), "PATH": path})  # noqa: S606
    except FileNotFoundError:
        raise LabError(f"{full[0]} is not installed on this machine") from None


@command.group()
def fault() -> None:
    """Make something go wrong on hosts; `heal` ends it."""


def _fault(kind: str, **options: Any) -> Callable[[Callable], Callable]:
    """A fault verb: hosts, --lab, --off."""

    def wrap(verb: Callable) -> Callable:
        verb = click.option("--off", is_flag=True, help="End it.")(which_lab(_sentences(verb)))
        return fault.command(kind, **options)(click.argument("hosts", nargs=-1, required=True)(verb))

    return wrap


@_fault("cut")
@click.option("--from", "other", metavar="HOST", help="Only from this other host (a partition).")
def cut(hosts: tuple[str, ...], name: str | None, off: bool, other: str | None) -> None:
    """Unplug the network cable of HOSTS."""
    _running(name).fault("cut", *hosts, other=other, off=off)


def _with_number(kind: str, metavar: str, low: float, high: float, words: str) -> None:
    def verb(hosts: tuple[str, ...], name: str | None, off: bool, value: float) -> None:
        _running(name).fault(kind, *hosts, value=value, off=off)

    verb.__doc__ = words
    wrapped = click.option("--off", is_flag=True, help="End it.")(which_lab(_sentences(verb)))
    wrapped = click.argument("hosts", nargs=-1, required=True)(wrapped)
    kind_of = click.FloatRange(low, high)
    fault.command(kind)(click.argument("value", type=kind_of, metavar=metavar)(wrapped))


_with_number("loss", "PERCENT", 0, 100, "Lose PERCENT of the frames of HOSTS, each way.")
_with_number("delay", "MS", 0, 10_000, "Delay the frames of HOSTS by MS, each way.")


@_fault("pause")
def pause(hosts: tuple[str, ...], name: str | None, off: bool) -> None:
    """Freeze every process of HOSTS.

    Their kernels still answer ping and accept TCP.
    """
    _running(name).fault("pause", *hosts, off=off)


@_fault("poweroff")
def poweroff(hosts: tuple[str, ...], name: str | None, off: bool) -> None:
    """Pull the plug of HOSTS.

    `--off`, or `swarmops lab start`, boots them with the same disk.
    """
    _running(name).fault("poweroff", *hosts, off=off)


@_fault("full")
@click.option("--free", default="0", metavar="SIZE", help="What is left free, as in 200k or 5M (default: 0).")
def full(hosts: tuple[str, ...], name: str | None, off: bool, free: str) -> None:
    """Fill the disks of HOSTS."""
    size = re.fullmatch(r"(\d+)([kmg]?)b?", free.lower())
    if not size:
        raise click.BadParameter(f"'{free}' is no size (200k, 5M)", param_hint="--free")
    _running(name).fault("full", *hosts, value=int(size[1]) * SIZES[size[2]], off=off)


@fault.command()
@click.argument("hosts", nargs=-1, required=True, metavar="HOST...|all")
@which_lab
@_sentences
def heal(hosts: tuple[str, ...], name: str | None) -> None:
    """End every fault of HOSTS, or of all.

    A host without power stays off: `swarmops lab start` boots it.
    """
    _running(name).heal(*(() if hosts == ("all",) else hosts))
