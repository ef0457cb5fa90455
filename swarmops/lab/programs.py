"""Programs of the hosts' release to run on this machine.

A scratch Redis that proves a dump must not be older than the Redis that wrote it, and this machine's own may be. So
the hosts' redis-server is taken from the lab's packages and started with the libraries of the image.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from swarmops.lab.machine import STATE, locked, run

PARTS = ("redis-tools", "redis-server", "libjemalloc2", "liblzf1")


def redis_server(image: Path, apt: Path) -> Path:
    """Path of a program that is the hosts' redis-server; made once for an image and its packages."""
    home = STATE / "programs" / f"{image.name}-{apt.name}"
    script = home / "redis-server"
    if script.exists():
        return script
    home.mkdir(parents=True, exist_ok=True)
    with locked(home / ".lock"):
        for part in PARTS:
            for deb in sorted(apt.rglob(f"{part}_*.deb")):
                run(["dpkg-deb", "-x", str(deb), str(home)])
        libraries = next((image / "usr/lib").glob("*/libc.so.6")).parent
        loader = next(libraries.glob("ld-linux*.so.*"))
        paths = f"{home}/usr/lib/{libraries.name}:{libraries}"
        # Debian's redis-server is a link to redis-check-rdb, which looks at the name it was called by.
        words = [loader, "--argv0", "redis-server", "--library-path", paths, f"{home}/usr/bin/redis-check-rdb"]
        new = home / ".redis-server"
        new.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n')
        new.chmod(0o755)
        new.rename(script)
    return script
