"""The agent on the page docs/agents-http.md, run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from swarmops.client import Client
from tests.services.agents import alive, give, until
from tests.services.coordinator import Coordinator
from tests.services.programs import ROOT

PAGE = (ROOT / "docs/agents-http.md").read_text()


def code(after: str, language: str) -> str:
    """The first block of code below a heading."""
    found = re.search(rf"^## {re.escape(after)}$.*?^```{language}\n(.*?)^```", PAGE, re.M | re.S)
    assert found, after
    return found[1]


def test_the_plain_http_agent_works(api: Coordinator, tmp_path: Path) -> None:
    text = code("In Python, with nothing but Python", "python")
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith(("#", '"""'))]
    assert len(lines) <= 42, "about 40 lines"
    (tmp_path / "agent.py").write_text(text)
    environment = {**os.environ, "SWARMOPS_TOKEN": api.tokens["agent"], "AGENT_ID": "of-the-page", "NO_PROXY": "*"}
    with open(tmp_path / "log", "wb") as log:
        agent = subprocess.Popen(
            [sys.executable, "-I", str(tmp_path / "agent.py"), api.url], env=environment, stdout=log, stderr=log
        )
    try:
        until(lambda: "of-the-page" in alive(api), (tmp_path / "log").read_text())
        with Client(api.url, api.tokens["submit"]) as client:
            assert client.run("upper", {"text": "hello"}) == "HELLO"
            assert client.run("add", {"a": 2, "b": 3}) == 5
            failed = client.submit("add", {"a": 2}, retries=0)
            assert "TypeError" in until(lambda: client.task(failed)["error"])
            ids = [client.submit("add", {"a": n, "b": 1}) for n in range(20)]
            assert [client.result(id) for id in ids] == [n + 1 for n in range(20)], "and it goes on after an error"
            # Its registration is taken away; it works on, and is known again.
            api.ask("DELETE", "/api/agents/of-the-page", who="admin")
            assert client.run("upper", {"text": "again"}, anyway=True) == "AGAIN"
    finally:
        agent.kill()
        agent.wait()


def test_the_curl_agent_works(api: Coordinator) -> None:
    lines = code("With curl", "sh").splitlines()
    id = give(api, "greet", {"name": "you"})
    lines[3] = lines[3].replace("...", id)
    environment = {**os.environ, "SWARMOPS_TOKEN": api.tokens["agent"], "URL": api.url, "NO_PROXY": "*"}
    said = subprocess.run(["bash", "-ec", "\n".join(lines)], env=environment, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert api.result(id).json()["result"] == "hello", said.stdout
