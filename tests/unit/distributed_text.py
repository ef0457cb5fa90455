"""A distributed.yaml of a test's own."""

from __future__ import annotations

from pathlib import Path

from swarmops.model import distributed
from swarmops.model.faults import Faults

ROOT = Path(__file__).parents[2]
V = "version: 1\n"
R = "infrastructure: {redis: redis, client: 'all:!redis'}\n"


def read(tmp_path: Path, text: str, **environ: str) -> tuple[distributed.Deployment | None, list[str]]:
    (tmp_path / "distributed.yaml").write_text(text)
    faults = Faults()
    found = distributed.load(tmp_path / "distributed.yaml", faults, root=tmp_path, environ=environ)
    return found, [str(f) for f in faults]
