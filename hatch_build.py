"""Builds the dashboard's page into the wheel. An editable install skips it: scripts/page.sh builds it then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Page(BuildHookInterface[Any]):
    """Runs scripts/page.sh, which does nothing when the page is already that of these sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raises RuntimeError with the script's own words. SWARMOPS_PAGE=skip makes a wheel without a page."""
        if self.target_name != "wheel" or version == "editable" or os.environ.get("SWARMOPS_PAGE") == "skip":
            return
        script = Path(self.root) / "scripts/page.sh"
        env = {**os.environ, "PYTHON": sys.executable}
        done = subprocess.run(["/bin/sh", str(script)], env=env, capture_output=True, text=True)
        if done.returncode:
            said = (done.stdout + done.stderr).strip() or f"scripts/page.sh ended with {done.returncode}"
            raise RuntimeError(f"the dashboard's page could not be built: {said}")
