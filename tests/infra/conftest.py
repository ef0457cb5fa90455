"""Hosts for infra tests: one lab a test process, from `inventory/lan`.

A lab called `test` that is up already is used (and reset), so that developing does not boot one each time.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import testinfra.backend.base as backend
from testinfra.host import Host

from swarmops.lab import Guest, Lab, guests_of, missing
from tests.conftest import lacking

ROOT = Path(__file__).parents[2]
SIX = {"coordinator": 20, "frontend": 21, "npu": 22, "redis": 23, "ai": 24, "browser": 25}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.infra)


@pytest.fixture(scope="session")
def can_lab() -> None:
    """Skips where no lab can run, with the reason; in CI that is a failure."""
    if found := missing():
        lacking("no lab here: " + "; ".join(found))


@pytest.fixture(scope="session")
def own_name(worker_id: str = "") -> Callable[[str], str]:
    """Names for labs that no other test process uses."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    return lambda name: f"{name}-{worker}" if worker else name


def _six() -> list[Guest]:
    inventory = ROOT / "inventory" / "lan"
    if not inventory.exists():
        return [Guest(f"{name}-1", f"172.16.168.{last}") for name, last in SIX.items()]
    from swarmops.model.faults import Faults
    from swarmops.model.inventory import load

    faults = Faults()
    loaded = load(inventory, faults, root=ROOT)
    faults.stop_if_any()
    return guests_of(loaded.hosts.values())


@pytest.fixture(scope="session")
def lab(can_lab: None, own_name: Callable[[str], str]) -> Iterator[Lab]:
    """Six hosts as new. Tests that change one should `fresh` it first, not tidy up after."""
    lab = Lab(own_name(os.environ.get("SWARMOPS_TEST_LAB", "test")), _six())
    found = lab.is_up()
    if found:
        lab.reset()
    else:
        lab.up()
    yield lab
    if not found:
        lab.down(now=True)


@pytest.fixture
def fresh(lab: Lab) -> Callable[..., Lab]:
    """`fresh("redis-1")` resets those hosts (all without names) before the test goes on."""

    def reset(*hosts: str) -> Lab:
        lab.reset(hosts)
        return lab

    return reset


@pytest.fixture
def healed(lab: Lab) -> Iterator[Lab]:
    """The lab for tests of faults: all hosts are up and well again afterwards, however the test ended."""
    yield lab
    lab.heal()
    lab.start()
    lab.wait()


class Console(backend.BaseBackend):
    """testinfra through a host's console: as root, whatever firewall or sshd the test has made."""

    NAME = "lab"

    def __init__(self, lab: Lab, host: str) -> None:
        super().__init__(host)
        self.lab, self.host = lab, host

    def run(self, command: str, *args: str, **_: object) -> backend.CommandResult:
        text = self.get_command(command, *args)
        return self.run_local(shlex.join(self.lab.host_argv(self.host, ["sh", "-c", text])))


@pytest.fixture(scope="session")
def lab_hosts(lab: Lab) -> dict[str, Host]:
    """testinfra's view of each host, by name."""
    return {g.name: Host(Console(lab, g.name)) for g in lab.guests}
