"""A client of the services that stands on the controller and knows nothing but URLs and a token. Standard library only.

Run as a program it answers one JSON line for each that it reads: {method, url, token, body, timeout} -> {status, body,
type}; status 0 when there was no answer.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any


def call(said: dict[str, Any]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    if said.get("token"):
        headers["Authorization"] = f"Bearer {said['token']}"
    data = None if said.get("body") is None else json.dumps(said["body"]).encode()
    request = urllib.request.Request(said["url"], data=data, method=said["method"], headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=said.get("timeout", 30)) as answer:
            return _told(answer.status, answer)
    except urllib.error.HTTPError as e:
        return _told(e.code, e)
    except OSError as e:
        return {"status": 0, "body": "", "type": str(e)}


def _told(status: int, answer: Any) -> dict[str, Any]:
    return {
        "status": status,
        "body": base64.b64encode(answer.read()).decode(),
        "type": answer.headers.get("Content-Type", ""),
        "cors": answer.headers.get("Access-Control-Allow-Origin", ""),
    }


class Answer:
    """What came back: `status`, `raw`, `type`, and `json` of it."""

    def __init__(self, said: dict[str, Any]):
        self.status, self.type, self.cors = said["status"], said["type"], said.get("cors", "")
        self.raw = base64.b64decode(said["body"])

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    def __repr__(self) -> str:
        return f"{self.status} {self.type} {self.raw[:2000]!r}"


class Caller:
    """The program of this file, kept running in another network."""

    def __init__(self, argv: list[str]):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([*argv, sys.executable, __file__], stdin=pipe, stdout=pipe, text=True)

    def __call__(self, method: str, url: str, token: str = "", body: Any = None, timeout: float = 40) -> Answer:
        assert self.process.stdin and self.process.stdout
        said = {"method": method, "url": url, "token": token, "body": body, "timeout": timeout}
        self.process.stdin.write(json.dumps(said) + "\n")
        self.process.stdin.flush()
        return Answer(json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(10)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(call(json.loads(line))), flush=True)
