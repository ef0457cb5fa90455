"""A coordinator for tests: `swarmops api` as a process on a Redis, with tokens; it may be killed and started again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx

from swarmops.runtime.access import issue
from tests.runtime.server import Server, free_port
from tests.services.programs import Program

SCOPES = {
    "admin": ["admin"],
    "read": ["read"],
    "submit": ["submit", "read"],
    "agent": ["agent"],
    "other": ["agent"],
}


class Coordinator(Program):
    """tokens: id -> what a client sends."""

    def __init__(self, folder: Path, redis: Server, **config: Any):
        folder.mkdir(parents=True, exist_ok=True)
        self.port = config.pop("port", None) or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws = f"ws://127.0.0.1:{self.port}/agent-connect"
        self.tokens: dict[str, str] = {}
        held = []
        for id, scopes in SCOPES.items():
            self.tokens[id], digest = issue(id)
            held.append({"id": id, "sha256": digest, "scopes": scopes, "expires": None})
        tokens = folder / "tokens.json"
        tokens.write_text(json.dumps(held))
        tokens.chmod(0o600)
        said = {"bind": ["127.0.0.1"], "port": self.port, "tokens": "tokens.json", "limits": {"rate": 0}, **config}
        (folder / "coordinator.json").write_text(json.dumps(said))
        super().__init__(
            folder / "log",
            ["api", "--config", str(folder / "coordinator.json")],
            environment={"SWARMOPS_REDIS_URL": redis.url},
            health=f"{self.url}/api/health",
        )

    def start(self) -> Coordinator:
        super().start()
        return self

    def kill(self) -> None:
        """kill -9."""
        os.kill(self.pid, 9)
        assert self.process
        self.process.wait()

    def ask(self, method: str, path: str, body: Any = None, who: str = "agent", **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.tokens[who]}"} if who else {}
        return httpx.request(
            method,
            self.url + path,
            json=body,
            headers=headers | more.pop("headers", {}),
            timeout=60,
            trust_env=False,
            **more,
        )

    def get(self, url: str, **more: Any) -> httpx.Response | None:
        return super().get(url, **more)

    def submit(self, kind: str, args: Any = None, **more: Any) -> str:
        answer = self.ask("POST", "/api/tasks", {"type": kind, "args": args, "anyway": True, **more}, "submit")
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def result(self, id: str, wait: float = 30) -> httpx.Response:
        return self.ask("GET", f"/api/tasks/{id}/result?wait={wait}", who="read")
