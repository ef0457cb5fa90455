"""Commands on hosts over the transport that deploys use: as root where the inventory says so, all hosts at once."""

from __future__ import annotations

import queue
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmops.delivery.access import Access, access_to
from swarmops.delivery.transport import Transport, Unreachable
from swarmops.model.project import Project

CONNECT = 10.0  # seconds to log in
# A follower on a host must end when we do, though nothing is written any more: it is watched by what reads our stdin.
_FOLLOW = "{command} & f=$!; cat >/dev/null; kill $f 2>/dev/null"


@dataclass(frozen=True)
class Said:
    """A line from a host, or its end: `code` is then the exit code, 3 when it could not be reached, with why."""

    host: str
    text: str = ""
    code: int | None = None


def command_line(access: Access, script: str) -> tuple[str, bytes]:
    """(what to execute, what to give it on stdin) to run `script` by sh, as root where the host says so."""
    line = f"sh -c {shlex.quote(script)}"
    if not access.become:
        return line, b""
    if access.password is None:
        return f"sudo -n {line}", b""
    return f"sudo -S -p '' {line}", access.password.open().encode() + b"\n"


def accesses(project: Project, hosts: Sequence[str]) -> dict[str, Access]:
    """The ways to these hosts. Raises InputError."""
    return {name: access_to(project.inventory.hosts[name], project.store) for name in hosts}


def run(project: Project, scripts: Mapping[str, str], *, follow: bool = False) -> Iterator[Said]:
    """Run a shell script on each host at once; yield lines as they come, and an end for each host.

    follow: the scripts go on for ever, and end on their hosts when the caller stops iterating.
    """
    said: queue.Queue[Said] = queue.Queue(1000)
    over = threading.Event()
    ways = accesses(project, list(scripts))
    known = project.state / "known_hosts"
    for name, script in scripts.items():
        script = _FOLLOW.format(command=script) if follow else script
        threading.Thread(target=_one, args=(ways[name], known, script, said, over), daemon=True).start()
    open_ = set(scripts)
    try:
        while open_:
            line = said.get()
            if line.code is not None:
                open_.discard(line.host)
            yield line
    finally:
        over.set()


def _one(access: Access, known: Path, script: str, said: queue.Queue[Said], over: threading.Event) -> None:
    transport = Transport(access, known, CONNECT)
    put = _putter(said, over)
    try:
        line, stdin = command_line(access, script)
        channel = transport.open().channel(line)
        channel.set_combine_stderr(True)
        channel.sendall(stdin)
        if "cat >/dev/null" not in script:
            channel.shutdown_write()
        for text in _lines(channel, over):
            put(Said(access.name, text))
        channel.status_event.wait(5)
        put(Said(access.name, code=channel.exit_status))
    except Unreachable as e:
        put(Said(access.name, str(e), code=3))
    except (OSError, EOFError) as e:
        put(Said(access.name, f"the connection broke: {e}", code=3))
    finally:
        transport.close()


def _putter(said: queue.Queue[Said], over: threading.Event) -> Callable[[Said], None]:
    def put(line: Said) -> None:
        while not over.is_set():
            try:
                return said.put(line, timeout=0.5)
            except queue.Full:
                continue

    return put


def _lines(channel: Any, over: threading.Event) -> Iterator[str]:
    rest = b""
    channel.settimeout(0.5)
    while not over.is_set():
        try:
            data = channel.recv(65536)
        except TimeoutError:
            continue
        if not data:
            break
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")
        rest = rest[-65536:]
    if rest:
        yield rest.decode("utf-8", "replace")
