"""The demo's own processes: told of its Redis in a file that only we read, and missed when they end too soon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from swarmops.runtime.client.embedded import apart
from swarmops.runtime.errors import SwarmError
from swarmops.runtime.settings import RUNTIME_VARIABLE, Settings

# All that they get of the caller's environment: a variable that names a Redis, of whoever, is not among it.
KEPT = (
    *("PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
LINES = 5  # of what a process said last


class Broken(SwarmError):
    """The demo did not find what it should."""


class Processes:
    """Python modules as processes on one Redis. Use as a context: at its end they are gone, and their folder too."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Processes:
        self._home = TemporaryDirectory(prefix="swarmops-")
        self.folder = Path(self._home.name)
        self.settings.to_file(self.folder / "runtime.json")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for process in self._running.values():
                process.terminate()
            for process in self._running.values():
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        finally:
            self._home.cleanup()

    def start(self, name: str, module: str, *args: str) -> None:
        """`name` is what it is called in errors. It ends when we do, however that happens."""
        env = {k: v for k, v in os.environ.items() if k in KEPT}
        env[RUNTIME_VARIABLE] = str(self.folder / "runtime.json")
        null = subprocess.DEVNULL
        with open(self.folder / f"{name}.log", "wb") as said:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *args],
                env=env,
                stdin=null,
                stdout=said,
                stderr=said,
                preexec_fn=apart(),
            )

    def kill(self, name: str) -> None:
        """As a crash would."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def look(self) -> None:
        """Raises Broken, with its last lines, when one has ended that should not."""
        for name, process in self._running.items():
            if (code := process.poll()) is not None:
                how = f"ended with {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
                lines = (self.folder / f"{name}.log").read_text(errors="replace").split("\n")
                said = " / ".join([line.strip() for line in lines if line.strip()][-LINES:])
                raise Broken(f"{name} {how}: {said[-1000:] or 'it said nothing'}")


@contextmanager
def in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP are Ctrl-C: what was begun is ended in order. Where we are not the main thread, nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def told(*_: object) -> None:
        raise KeyboardInterrupt

    signals = [s for s in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) is not signal.SIG_IGN]
    before = {which: signal.signal(which, told) for which in signals}
    try:
        yield
    finally:
        for which, was in before.items():
            signal.signal(which, was)
