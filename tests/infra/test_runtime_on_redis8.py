"""The runtime on the Redis of Debian 13's hosts, run on this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

from swarmops.lab import Lab
from tests.runtime.other_versions import run_on


def test_the_suite_on_redis_8(lab: Lab, tmp_path: Path) -> None:
    program = lab.environment()["SWARMOPS_REDIS_SERVER"]
    assert "v=8." in subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    print(run_on(program, tmp_path / "eight", watch=False))
