"""The suite once more, on another Redis than the distribution's: what works on 7.0 must work on 6.2 and on 8."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# What speaks to Redis through scripts. Faults, TLS and commands do not change with its version.
FILES = ["test_executors.py", "test_tasks*.py", "test_workflows.py", "test_agents.py", "test_swarms.py"]
FILES += ["test_leader.py", "test_messages.py", "test_requests.py", "test_state.py", "test_recovery.py"]
FILES += ["test_breaker.py", "test_contexts.py", "test_shards.py", "test_resources.py", "test_conflicts.py"]
FILES += ["test_wire_format.py", "test_coordinator*.py"]


def run_on(program: str) -> str:
    """The last line of pytest's report. Fails with its output when a test fails."""
    paths = [str(p) for pattern in FILES for p in sorted(HERE.glob(pattern))]
    env = {**os.environ, "SWARMOPS_TEST_REDIS": program}
    argv = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *paths]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=280, cwd=HERE.parent.parent)
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout.strip().splitlines()[-1]
