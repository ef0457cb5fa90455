"""Processes of `swarmops` for tests: started, waited for, asked over HTTP, ended by their pid."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.runtime.server import free_port

WITHIN = 40.0  # seconds to come up, on a machine with much else to do
ROOT = Path(__file__).parent.parent.parent


class Program:
    """`swarmops ARGS` as a process. health: a URL that answers 200 when it is up; user: the uid to run as."""

    def __init__(
        self,
        log: Path,
        args: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        health: str = "",
        user: int | None = None,
        folder: Path | None = None,
    ):
        self.log, self.args, self.health, self.user = log, list(args), health, user
        self.environment, self.folder = dict(environment or {}), folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Program:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SWARMOPS_", "REDIS_", "AUTOBOT_"))}
        as_user: list[str] = []
        if self.user is not None:
            # It may read everything, because Python itself may lie where only root can look; nothing else is root's.
            me = f"--reuid {self.user} --regid {self.user} --clear-groups".split()
            as_user = ["setpriv", *me, "--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*as_user, sys.executable, "-m", "swarmops", *self.args],
                env={**kept, "PYTHONPATH": str(ROOT), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        if self.health:
            self.wait()
        return self

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    @property
    def said(self) -> str:
        return self.log.read_text()

    def get(self, url: str, **more: Any) -> httpx.Response | None:
        """None while nobody listens."""
        try:
            return httpx.get(url, timeout=10, trust_env=False, **more)
        except httpx.TransportError:
            return None

    def wait(self, within: float = WITHIN, status: int = 200) -> None:
        """Until /health answers so."""
        end = time.monotonic() + within
        while not (answer := self.get(self.health)) or answer.status_code != status:
            assert self.process and self.process.poll() is None, f"it ended: {self.said}"
            assert time.monotonic() < end, f"not healthy within {within} s: {answer and answer.text}\n{self.said}"
            time.sleep(0.05)

    def signal(self, which: signal.Signals) -> None:
        os.kill(self.pid, which)

    def end(self, within: float = 30.0) -> int:
        """SIGTERM, and its exit code."""
        assert self.process
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGTERM)
        return self.process.wait(within)

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGCONT)
            try:
                self.end(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class WorkerProgram(Program):
    """`swarmops worker --role ROLE --config F` with a home of its own, which `user` may write to."""

    def __init__(
        self,
        folder: Path,
        role: str,
        options: Mapping[str, Any],
        redis: str,
        *,
        user: int | None = None,
        healthy: bool = True,
        environment: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        **config: Any,
    ):
        folder.mkdir(parents=True, exist_ok=True)
        # Folders of pytest are its own user's only; another user needs one that it can reach.
        self.place = Path(tempfile.mkdtemp(prefix="swarmops-worker-"))
        self.home = self.place / "home"
        self.home.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = {
            "role": role,
            "name": f"{role}-test",
            "bind": ["127.0.0.1"],
            "port": self.port,
            "home": str(self.home),
            "options": dict(options),
            **config,
        }
        file = self.place / f"{role}.json"
        file.write_text(json.dumps(self.config))
        for name, text in (files or {}).items():
            (self.place / name).write_text(text)
        if user is not None:
            for path in [self.place, *self.place.rglob("*")]:
                os.chown(path, user, user)
        super().__init__(
            folder / "log",
            ["worker", "--role", role, "--config", str(file)],
            environment={"SWARMOPS_REDIS_URL": redis, "HOME": str(self.home), **(environment or {})},
            health=f"{self.url}/health" if healthy else "",
            user=user,
            folder=self.place,
        )
        self.file = file

    def start(self) -> WorkerProgram:
        super().start()
        return self

    def ask(self, path: str, **more: Any) -> httpx.Response:
        """GET; fails when nobody listens."""
        answer = self.get(self.url + path, **more)
        assert answer is not None, self.said
        return answer

    def until_health(self, within: float = WITHIN, status: int = 200) -> None:
        self.health = f"{self.url}/health"
        self.wait(within, status)

    def close(self) -> None:
        super().close()
        shutil.rmtree(self.place, ignore_errors=True)
