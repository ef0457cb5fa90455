"""The `swarmops` command: one file a verb, imported only when it is asked for."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import click

HERE = Path(__file__).parent


class Verbs(click.Group):
    """Finds verbs by their files: `check_health.py` holds `check-health` in a click command named `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        files = [p.stem for p in HERE.glob("*.py") if not p.stem.startswith("_")]
        return sorted(stem.rstrip("_").replace("_", "-") for stem in files)

    def _file(self, name: str) -> Path | None:
        stem = name.replace("-", "_")
        return next((p for s in (stem, stem + "_") if (p := HERE / f"{s}.py").is_file()), None)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        import importlib

        file = None if name.startswith("_") else self._file(name)
        return importlib.import_module(f"swarmops.cli.{file.stem}").command if file else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists verbs by the first line of their files, so that `--help` imports none of them."""
        rows = []
        for name in self.list_commands(ctx):
            file = self._file(name)
            with open(file or "") as f:
                rows.append((name, f.readline().strip().strip('"')))
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from swarmops import __version__

        click.echo(f"swarmops {__version__}")
        ctx.exit()


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version and exit."
)
def swarmops() -> None:
    """From one inventory to a running fleet, and the swarm that works on it.

    \b
    Exit codes: 0 fine, 1 something failed, 2 the input is wrong, 3 a host is
    unreachable, 4 would change (deploy --check --detailed-exitcode),
    130 interrupted. check-health uses those of Nagios.
    """


def main() -> None:
    """The program: `run`, and then the end of the process without taking the interpreter apart, which takes 50 ms."""
    try:
        run()
    except SystemExit as e:
        _end(e.code)


def _end(code: str | int | None) -> None:
    import atexit
    import contextlib
    import os
    import threading

    # Joins threads as the interpreter does at its end: pools that a library forgot are told to end first.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # nobody reads on, or it is closed
            stream.flush()
    os._exit(code if isinstance(code, int) else code is not None)


def run() -> None:
    """What `main` does, ended by SystemExit: what users and networks do wrong is one line each and an exit code."""
    gc.set_threshold(100_000)  # imports and plans leave no garbage; looking for it took 5 % of a deploy's CPU time
    try:
        sys.exit(swarmops(standalone_mode=False) or 0)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as e:
        e.show()
        sys.exit(2)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as e:
        for line in _sentences(e):
            click.echo(line, err=True)
        sys.exit(getattr(e, "exit_code", 2))


def _sentences(e: Exception) -> list[str]:
    """What users are told of it; anything else is a fault of the program, and is raised on."""
    errors = sys.modules.get("swarmops.runtime.errors")
    if errors and isinstance(e, errors.SwarmError):
        from swarmops.cli._output import one_line

        return [one_line(line) for line in e.lines()]
    from swarmops.model.faults import InputError

    if not isinstance(e, InputError):
        raise e
    return e.lines()
