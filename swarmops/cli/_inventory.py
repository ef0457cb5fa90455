"""Options and first steps of the verbs that show an inventory."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from swarmops.model.inventory import Inventory
    from swarmops.model.project import Project


def inventory_options(command: Callable) -> Callable:
    """-i, --project and --vault-password-file."""
    for option in (
        click.option("--vault-password-file", "vault", metavar="FILE", help="Opens ansible-vault values."),
        click.option("--project", "root", metavar="DIR", help="The project's folder."),
        click.option("-i", "--inventory", "named", metavar="TIER|PATH", help="Under inventory/, or a path."),
    ):
        command = option(command)
    return command


def open_project_of(named: str | None, root: str | None, vault: str | None) -> Project:
    """The project that the options name; warnings are said. Raises InputError with every fault."""
    from swarmops.cli._project import open_project

    if vault:
        os.environ["ANSIBLE_VAULT_PASSWORD_FILE"] = vault
    return open_project(None, named, root)


def open_inventory(named: str | None, root: str | None, vault: str | None) -> Inventory:
    """The inventory of that project."""
    return open_project_of(named, root, vault).inventory
