"""Options and first steps of the verbs that show an inventory."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from swarmops.cli._project import place_options

if TYPE_CHECKING:
    from swarmops.model.inventory import Inventory
    from swarmops.model.project import Project


def inventory_options(command: Callable) -> Callable:
    """-i, --project and --vault-password-file."""
    words = "Opens values that ansible-vault encrypted."
    return place_options(click.option("--vault-password-file", "vault", metavar="FILE", help=words)(command))


def open_project_of(inventory: str | None, root: str | None, vault: str | None) -> Project:
    """The project that the options name; warnings are said. Raises InputError with every fault."""
    from swarmops.cli._project import open_project

    if vault:
        os.environ["ANSIBLE_VAULT_PASSWORD_FILE"] = vault
    return open_project(None, inventory, root)


def open_inventory(inventory: str | None, root: str | None, vault: str | None) -> Inventory:
    """The inventory of that project."""
    return open_project_of(inventory, root, vault).inventory
