"""The floor as a program: render, one tarball a host, one exec a host, all hosts at once.

floor.py ssh|paramiko WORKLOAD LEVEL NAME=ADDRESS...
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
from pathlib import Path

REMOTE = 'd=$(mktemp -d) && tar xzf - -C "$d" && sh "$d/floor.sh" "$d"; c=$?; rm -rf "$d"; exit $c'
APP, ROOT = "benchapp:bench", "root:root"
FOLDERS = [(f, APP, "750") for f in ("/etc/bench", "/etc/bench/conf.d", "/etc/bench/redis", "/var/lib/bench")]
FOLDERS += [("/var/lib/bench/data", APP, "750"), ("/var/log/bench", APP, "750")]
FOLDERS += [("/home/benchops/.ssh", "benchops:bench", "700")]


def files_of(workload: Path, host: str, level: int) -> list[tuple[str, str, str, bytes]]:
    """(path, owner:group, mode, content) of every file that `host` gets."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(workload / "templates/bench")
    jinja = Environment(loader=loader, undefined=StrictUndefined, keep_trailing_newline=True)

    def render(name: str, item: object = None) -> bytes:
        return jinja.get_template(name).render(inventory_hostname=host, bench_level=level, item=item).encode()

    made = [(f"/etc/bench/conf.d/{n:02d}.conf", APP, "640", render("app.conf.j2", n)) for n in range(20)]
    made.append(("/etc/sysctl.d/60-bench.conf", ROOT, "644", render("sysctl.conf.j2")))
    made.append(("/etc/bench/bench.nft", ROOT, "600", render("bench.nft.j2")))
    made.append(("/etc/bench/redis/redis.conf", APP, "640", render("redis.conf.j2")))
    for u in "abc":
        made.append((f"/etc/systemd/system/bench-{u}.service", ROOT, "644", render("unit.service.j2", u)))
    key = (workload / "bench.pub").read_bytes()
    made.append(("/home/benchops/.ssh/authorized_keys", "benchops:bench", "600", key))
    return made


def tarball(workload: Path, host: str, level: int) -> bytes:
    made = files_of(workload, host, level)
    parts = {f"files{path}": data for path, _, _, data in made}
    parts["sums"] = "".join(f"{hashlib.sha256(d).hexdigest()}  {p}\n" for p, _, _, d in made).encode()
    parts["modes"] = "".join(f"{p} {o} {m}\n" for p, o, m, _ in made).encode()
    parts["folders"] = "".join(f"{p} {o} {m}\n" for p, o, m in FOLDERS).encode()
    parts["floor.sh"] = (workload / "floor.sh").read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=6) as tar:
        for name, data in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def by_ssh(balls: dict[str, bytes], addresses: dict[str, str]) -> dict[str, tuple[int, str]]:
    import subprocess
    import threading

    found: dict[str, tuple[int, str]] = {}

    def one(name: str) -> None:
        argv = ["ssh", "-F", os.environ["SWARMOPS_SSH_CONFIG"], name, REMOTE]
        done = subprocess.run(argv, input=balls[name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        found[name] = done.returncode, done.stdout.decode()

    _all_at_once(one, balls, threading)
    return found


def by_paramiko(balls: dict[str, bytes], addresses: dict[str, str]) -> dict[str, tuple[int, str]]:
    import threading

    from swarmops.delivery.access import Access, Hop
    from swarmops.delivery.transport import Transport

    state, config = Path(os.environ["SWARMOPS_STATE"]), Path(os.environ["SWARMOPS_SSH_CONFIG"])
    key = config.parent / "id_ed25519"
    found: dict[str, tuple[int, str]] = {}

    def one(name: str) -> None:
        hop = Hop(addresses[name], 22, "root", (str(key),), agent=False)
        transport = Transport(Access(name, hop), state / "known_hosts")
        found[name] = transport.run(REMOTE, balls[name], timeout=60)

    _all_at_once(one, balls, threading)
    return found


def _all_at_once(one, balls, threading) -> None:  # type: ignore[no-untyped-def]
    threads = [threading.Thread(target=one, args=(name,)) for name in balls]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def main() -> None:
    way, workload, level, *rest = sys.argv[1:]
    addresses = dict(pair.split("=") for pair in rest)
    balls = {name: tarball(Path(workload), name, int(level)) for name in addresses}
    found = (by_ssh if way == "ssh" else by_paramiko)(balls, addresses)
    for name in addresses:
        code, said = found.get(name, (-1, "no answer"))
        print(f"{name}: {said.splitlines()[-1] if said else ''}")
        if code:
            print(said)
    sys.stdout.flush()
    os._exit(any(code for code, _ in found.values()) or len(found) < len(addresses))


if __name__ == "__main__":
    main()
