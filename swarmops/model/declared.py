"""Everything that can be said against a project before roles and templates are read, in one call."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from swarmops.model import rolefiles, rules, secretrefs
from swarmops.model.faults import Faults, InputError

if TYPE_CHECKING:
    from swarmops.model.project import Project


def check(project: Project, faults: Faults) -> None:
    """Rules across files, variables that no role has, the secrets' file, and references to secrets."""
    rules.check(project, faults)
    rolefiles.check_variables(project, faults)
    project.store.check(faults)
    with contextlib.suppress(InputError):  # of a store that cannot be read, which its own check names
        secretrefs.check(project, faults)
