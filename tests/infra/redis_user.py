"""A program that uses Redis the way programs on a host do: it reads the host's environment file and nothing else.

    redis_user.py ROOT           `ROOT` is that host's file system; the network is the one this is started in

It works until its standard input ends, then prints what it went through as one JSON document. Every tenth turn it
connects anew, reading the password again, as a program does that starts in that moment.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def settings(root: Path) -> dict[str, str]:
    lines = (root / "etc/swarmops/.env").read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {key: "".join(shlex.split(value)) for key, value in pairs}


def connect(root: Path, **more: Any) -> redis.Redis:
    """A client as the environment file says. One retry for a connection that went away, as all clients have."""
    env = settings(root)
    inside = lambda path: str(root / path.lstrip("/"))  # noqa: E731
    tls = {}
    if env.get("REDIS_TLS") == "true":
        tls = {
            "ssl": True,
            "ssl_ca_certs": inside(env["REDIS_CA"]),
            "ssl_certfile": inside(env["REDIS_CERT"]),
            "ssl_keyfile": inside(env["REDIS_KEY"]),
        }
    return redis.Redis(
        host=env["REDIS_HOST"],
        port=int(env["REDIS_PORT"]),
        username=env["REDIS_USERNAME"],
        password=Path(inside(env["REDIS_PASSWORD_FILE"])).read_text().strip(),
        socket_timeout=5,
        socket_connect_timeout=5,
        decode_responses=True,
        retry=Retry(NoBackoff(), 1),
        **{**tls, **more},
    )


def main(root: Path) -> None:
    done, failures, passwords = 0, [], set()
    client = None
    began = time.monotonic()
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        try:
            if client is None or done % 10 == 0:
                client = connect(root)
                passwords.add(client.connection_pool.connection_kwargs["password"])
            key = f"swarm:test:{os.getpid()}:{done % 100}"
            client.set(key, done)
            assert int(client.get(key)) == done
        except Exception as e:
            failures.append(f"{time.monotonic() - began:.2f} s: {type(e).__name__}: {e}")
            client = None
        done += 1
    print(json.dumps({"done": done, "failures": failures, "passwords": len(passwords)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
