"""Options and first steps that verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from swarmops.model.faults import Faults
    from swarmops.model.project import Project


limit_option = click.option("-l", "--limit", metavar="PATTERN", help="Only these hosts (Ansible patterns).")
extra_option = click.option(
    "-e", "--extra-vars", "extra", multiple=True, metavar="K=V", help="Variables that win over all (also @FILE, JSON)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


def place_options(command: Callable) -> Callable:
    """-i and --project: which inventory of which project is meant."""
    words = "The project's folder (default: the nearest one above)."
    command = click.option("--project", "root", metavar="DIR", help=words)(command)
    words = "An inventory: its name under inventory/, or a path."
    return click.option("-i", "--inventory", metavar="TIER|PATH", help=words)(command)


def project_options(command: Callable) -> Callable:
    """TIER, -i and --project."""
    return click.argument("tier", required=False)(place_options(command))


def open_project(tier: str | None, inventory: str | None, root: str | None, faults: Faults | None = None) -> Project:
    """Load the project and set up redaction.

    Raises InputError with every fault of it; with `faults` given they are added there, for verbs that go on to plan
    and name all mistakes at once.
    """
    from swarmops.cli._output import redact_with
    from swarmops.model.faults import Faults, InputError
    from swarmops.model.project import Project
    from swarmops.model.redactor import Redactor

    if tier and inventory:
        raise InputError.one("a tier and -i both name an inventory", hint="give one of them")
    found = Faults() if faults is None else faults
    project = Project.open(root, inventory or tier, found)
    if faults is None:
        say_warnings(found)
        found.stop_if_any()
    redact_with(Redactor(project.store.values()))
    return project


def say_warnings(faults: Faults) -> None:
    from swarmops.cli._output import progress

    for warning in sorted(faults.warnings):
        progress(str(warning), "yellow")


def extra_vars(pairs: tuple[str, ...]) -> dict[str, Any]:
    """`-e k=v`, `-e '{"k": ...}'` and `-e @file`, as in Ansible. Raises InputError."""
    from pathlib import Path

    import yaml

    from swarmops.model.faults import InputError

    found: dict[str, Any] = {}
    for pair in pairs:
        try:
            if pair.startswith(("@", "{")):
                text = Path(pair[1:]).read_text() if pair[0] == "@" else pair
                value = yaml.safe_load(text)
                if not isinstance(value, dict):
                    raise ValueError("it is not a map")
                found.update(value)
            else:
                name, sign, value = pair.partition("=")
                if not sign or not name.isidentifier():
                    raise ValueError("write name=value")
                found[name] = yaml.safe_load(value) if value.strip()[:1] in "[{" and value.strip() else value
        except (ValueError, OSError, yaml.YAMLError) as e:
            raise InputError.one(f"-e {pair.split('=')[0]}: {str(e).splitlines()[0]}") from None
    return found


def split_tags(tags: tuple[str, ...]) -> list[str]:
    return [t.strip() for text in tags for t in text.split(",") if t.strip()]
