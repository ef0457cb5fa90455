"""The suite once more, on another Redis than the distribution's: what works on 7.0 must work on 6.2 and on 8.

It is watched meanwhile: every script must run at least once, and touch only keys that its head names, in one slot.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from swarmops.runtime import scripts
from tests.runtime.server import Server
from tests.runtime.watching import Watching, faults

HERE = Path(__file__).parent
# Faults, TLS, commands and loops do not change with the version; these would, and reach all scripts.
LEFT_OUT = {"test_cluster", "test_sentinel", "test_tls", "test_embedded", "test_settings", "test_doctor"}
LEFT_OUT |= {"test_other_versions", "test_cli_redis", "test_faults_worker", "test_task_machine", "test_bad_line"}
NOT_ABOUT_KEYS = "not 450_bytes"  # Redis 8 takes more for the same, and one that is watched keeps what it tells


def files() -> list[str]:
    return [str(f) for f in sorted(HERE.glob("test_*.py")) if f.stem not in LEFT_OUT]


def run_on(program: str, folder: Path, *, watch: bool) -> str:
    """The last line of pytest's report. Fails with its output when a test fails."""
    with Server(folder, program=program) as server:
        if not watch:
            return _suite(program, server, "-k", NOT_ABOUT_KEYS)
        with Watching(server) as watching:
            said = _suite(program, server, "-k", f"{NOT_ABOUT_KEYS} and not 100_000 and not 100k and not bulk")
        wrong = faults(watching.runs)
        assert not wrong, "\n".join(wrong)
        never = set(scripts.names()) - {ran.script for ran in watching.runs}
        assert not never, f"no test runs {sorted(never)}"
        return said


def _suite(program: str, server: Server, *more: str) -> str:
    env = {**os.environ, "SWARMOPS_TEST_REDIS": program, "SWARMOPS_TEST_PORT": str(server.port)}
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *more, *files()]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=400, cwd=HERE.parent.parent)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    return done.stdout.strip().splitlines()[-1]
