"""`make demo`, once: every service of the six roles on this machine, with tasks in them, and nothing left behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import lacking

ROOT = Path(__file__).parent.parent.parent
ASTRAY = {"SWARMOPS_NAMESPACE": "live", "SWARMOPS_REDIS_URL": "redis://127.0.0.1:1/3", "REDIS_HOST": "127.0.0.1"}


@pytest.mark.timeout(240)
def test_the_story_is_told_and_nothing_is_left() -> None:
    if not (ROOT / "swarmops/gateways/page/dist/index.html").is_file():
        lacking("the dashboard's page is not built (scripts/page.sh)")
    short = tempfile.mkdtemp(prefix="de-")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SWARMOPS_")}
    done = subprocess.run(
        [sys.executable, "scripts/demo.py", "--once"],
        cwd=ROOT,
        env={**kept, **ASTRAY, "TMPDIR": short, "HOME": short},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=220,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert re.search(r"changed=\d+ +failed=0", said) and "changed=0" in said, said
    assert "A worker that falls silent loses its lease" in said, "the search did not find the right text"
    assert re.search(r"worker-a died with \d+ of 300 tasks in hand; [1-9]\d* ran again", said)
    assert re.search(r"the npu service was killed as well: back after", said)
    assert ('says status is "degraded"' in said) == (" says: " in said), "what is not well is told with its reason"
    assert ": good" in said
    assert [p.name for p in Path(short).iterdir() if p.name.startswith("swarmops-demo")] == []
    folder = short.encode()
    left = [p for p in Path("/proc").glob("[0-9]*/cmdline") if folder in _words(p)]
    assert not left, "processes were left"
    shutil.rmtree(short)


def _words(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
