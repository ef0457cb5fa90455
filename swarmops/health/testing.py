"""The same checks in a test suite: each result is one test case.

from swarmops.health.testing import results_for

@pytest.mark.parametrize("found", results_for("path/to/project"), ids=str)
def test_fleet(found):
    found.must_be_ok()
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from swarmops.health.verdict import Result, State


@dataclass(frozen=True)
class Found:
    """A result as a test case; `str` is its name."""

    result: Result

    def __str__(self) -> str:
        return f"{self.result.host}/{self.result.id}"

    def must_be_ok(self) -> None:
        """Raises AssertionError with the check's own words."""
        assert self.result.state is State.OK, f"{self.result.state.name}: {self.result.detail}"


def results_for(root: Path | str | None = None, inventory: str | None = None, limit: str | None = None) -> list[Found]:
    """Look at the fleet once, as `swarmops check-health` does. Raises InputError for what the user wrote wrong."""
    from swarmops.health import collect
    from swarmops.model.faults import Faults
    from swarmops.model.project import Project

    faults = Faults()
    project = Project.open(root, inventory, faults)
    faults.stop_if_any()
    verdict = collect.look(collect.targets(project, limit, None, faults), project.state / "known_hosts")
    return [Found(r) for h in verdict.hosts for r in h.results]
