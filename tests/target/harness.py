"""Plays steps through the real bootstrap and engine in a child process of this machine, with no SSH between."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from swarmops.delivery import ship
from swarmops.target import wire

OLD, NEW = b"generation 1\n", b"generation 2\n"


class Here:
    """This machine as a host whose state lives in a folder of its own."""

    def __init__(self, state: Path):
        self.state = state

    def start(self, steps: list[dict], mode: str = "apply", **more) -> subprocess.Popen:
        envelope = {
            "mode": mode,
            "host": "here",
            "by": "tests",
            "run": more.pop("run", "run1"),
            "steps": steps,
            "state": str(self.state),
            "diff": True,
            **more,
        }
        child = subprocess.Popen(
            ["/bin/sh", "-c", ship.command(sys.executable, False)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        child.stdin.write(ship.envelope_frame(envelope))
        child.stdin.flush()
        word = next(line for line in child.stdout if line.startswith(wire.SENTINEL.encode()))
        if word.strip().endswith(b"need"):
            child.stdin.write(ship.engine_frame())
            child.stdin.flush()
        return child

    def events(self, child: subprocess.Popen, contents: dict[str, bytes]):
        for line in child.stdout:
            event = json.loads(line)
            if event["e"] == "need":
                for sha in event["contents"]:
                    child.stdin.write(ship.content_frame(sha, contents[sha]))
                child.stdin.flush()
            else:
                yield event

    def play(self, steps: list[dict], contents: dict[str, bytes] | None = None, **more) -> dict[str, dict]:
        """Play to the end: step id -> its report, and "done"."""
        child = self.start(steps, **more)
        reports = {}
        for event in self.events(child, contents or {}):
            if event["e"] == "step":
                reports[steps[event["i"]]["id"]] = event
            elif event["e"] == "done":
                reports["done"] = event
        child.stdin.close()
        child.wait(60)
        return reports


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def landed(role: str, dest: Path, data: bytes, **more) -> dict:
    """A step that lands `data` at `dest`."""
    content = sha(data)
    defaults = {"src": None, "owner": None, "group": None, "mode": "0644", "validate": None}
    args = {**defaults, "dest": str(dest), "content": content}
    return wire.step(f"{role}/{dest.name}", role, dest.name, "template", args, content=content, **more)


def command(role: str, name: str, argv: list[str], **more) -> dict:
    args = {
        "cmd": None, "argv": argv, "creates": None, "removes": None, "unless": None, "onlyif": None, "chdir": None,
        "user": None, "env": None, "stdin": None, "timeout": 60.0, "changed_when": True, **more.pop("args", {}),
    }  # fmt: skip
    return wire.step(f"{role}/{name}", role, name, "command", args, **more)


def handler(tmp_path: Path, argv: list[str], watches: list[str]) -> dict:
    """A step that runs when one of those it watches has changed."""
    return command("r", "restart", argv, handler=True, watches=watches)


def statuses(reports: dict[str, dict]) -> dict[str, str]:
    """Step id -> how it ended."""
    return {k: r["s"] for k, r in reports.items() if k != "done"}
