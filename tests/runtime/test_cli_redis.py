"""`swarmops redis-test` (S4-18): 0 with facts, or 1 with the reason; passwords stay off the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.runtime.server import Server, free_port


def swarmops(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if "REDIS" not in k}
    argv = [sys.executable, "-m", "swarmops", *args]
    return subprocess.run(argv, capture_output=True, text=True, env={**clean, **env}, timeout=60)


def test_a_good_redis(server: Server) -> None:
    said = swarmops("redis-test", "--json", SWARMOPS_REDIS_URL=server.url)
    facts = json.loads(said.stdout)
    assert said.returncode == 0 and facts["ok"] and facts["append_only"] and facts["ping_ms"]["p50"] > 0
    assert facts["policy"] == "noeviction" and facts["faults"] == []
    said = swarmops("redis-test", "--redis", server.url)
    assert said.returncode == 0 and "fit for coordination" in said.stdout


@pytest.mark.parametrize(
    ("options", "url", "words"),
    [
        (("--requirepass", "right"), "redis://:wrong@127.0.0.1:{port}", "refused the user name or password"),
        (("--maxmemory-policy", "allkeys-lru"), "redis://127.0.0.1:{port}", "maxmemory-policy allkeys-lru"),
    ],
)
def test_one_that_is_not_fit(own_server: Callable[..., Server], options: tuple[str, ...], url: str, words: str) -> None:
    said = swarmops("redis-test", SWARMOPS_REDIS_URL=url.format(port=own_server(*options).port))
    assert said.returncode == 1 and words in said.stderr and "Traceback" not in said.stderr
    assert "wrong" not in said.stdout + said.stderr.replace("wrong password", "")


def test_nobody_there_and_wrong_words() -> None:
    said = swarmops("redis-test", "--redis", f"redis://127.0.0.1:{free_port()}")
    assert said.returncode == 1 and "refused the connection" in said.stderr
    said = swarmops("redis-test", "--redis", "redis://:secret99@127.0.0.1:1")
    assert said.returncode == 2 and "seen by all" in said.stderr and "secret99" not in said.stderr
    said = swarmops("redis-test", REDIS_HOST="127.0.0.1", REDIS_PORT="x")
    assert said.returncode == 2 and said.stderr.startswith("REDIS_PORT: 'x'")
