"""A lab from the outside: start it, look at it, do things to its hosts, take it down."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from swarmops.lab import cleaner, machine, network
from swarmops.lab.files import Files, Lock, labs
from swarmops.lab.guest import Guest, check, check_name
from swarmops.lab.image import image, tidy
from swarmops.lab.machine import CannotRun, LabError
from swarmops.lab.packages import repository
from swarmops.lab.programs import redis_server

HERE = Path(__file__).parents[2]  # so that a lab started from a checkout runs that checkout
RUN: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 60}
Say = Callable[[dict[str, Any]], None]


def quiet(event: dict[str, Any]) -> None:
    """Says nothing."""


class Lab:
    """One lab by name. Every method raises LabError with a sentence for the user.

    None waits longer than a minute or so, but for the first `up` of a release: it builds the image.
    """

    def __init__(self, name: str, guests: Sequence[Guest] = (), release: str = "trixie", say: Say = quiet) -> None:
        check_name(name)
        self.name, self.guests, self.release, self.say = name, list(guests), release, say
        self.files = Files.of(name)

    @classmethod
    def running(cls, name: str | None = None) -> Lab:
        """The lab of that name, or the only one there is."""
        up = [n for n in labs() if Lab(n).is_up()]
        if name is None and len(up) != 1:
            raise LabError(f"which lab? --lab {' or '.join(up)}" if up else "no lab is up (swarmops lab up)")
        lab = cls(name or up[0])
        if lab.name not in up:
            raise LabError(f"no lab '{lab.name}' is up" + (f" (up: {', '.join(up)})" if up else ""))
        return lab

    def is_up(self) -> bool:
        """Whether its supervisor answers."""
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(str(self.files.socket))
            except OSError:
                return False
        return True

    def up(self) -> float:
        """Boots every host; all answer SSH on return. Returns the seconds from boot to the last banner."""
        check(self.name, self.guests)
        if lacking := machine.missing():
            raise CannotRun(lacking)
        if self.is_up():
            raise LabError(f"lab {self.name} is up already (swarmops lab reset, or down)")
        tell = lambda line: self.say({"e": "note", "note": line})  # noqa: E731
        root = image(self.release, tell)
        apt = repository(root, self.release, tell)
        self._clean_leftovers()
        self._write(root, apt)
        return self._start()

    def _clean_leftovers(self) -> None:
        lock = Lock(self.files.lock)
        lock.take(wait=True)
        cleaner.clean(self.files)
        lock.release()

    def _write(self, root: Path, apt: Path) -> None:
        self.files.home.mkdir(parents=True)
        self.files.home.chmod(0o700)
        self.files.write_logins(self.guests)
        guests = [g.as_dict() for g in self.guests]
        spec = {"release": self.release, "image": str(root), "apt": str(apt), "guests": guests}
        self.files.spec.write_text(json.dumps(spec, indent=1))

    def _start(self) -> float:
        """Starts the supervisor. Until it is told to keep the lab, it takes it down if we die."""
        with open(self.files.log, "w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "swarmops.lab.supervisor", str(self.files.home)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                text=True,
                cwd="/",
                env={**os.environ, "PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}".rstrip(":")},
            )
        assert process.stdin and process.stdout
        failed, last = [], 0.0
        try:
            for line in process.stdout:
                event = json.loads(line)
                self.say(event)
                if event["e"] == "ready":
                    process.stdin.write("keep\n")
                    process.stdin.flush()
                    return last
                if event["e"] in ("failed", "error"):
                    failed.append(event["why"])
                last = event.get("after", last)
            if not failed:  # it may have had no time to say why, but its log has the traceback
                failed = self.files.log.read_text().strip().splitlines()[-1:] if self.files.log.exists() else []
            raise LabError("\n".join(failed or ["the lab's supervisor ended without a word"]))
        except BaseException:  # Ctrl-C too
            process.stdin.close()
            process.wait()
            self._gone()
            raise
        finally:
            process.stdin.close()
            process.stdout.close()

    def _gone(self) -> None:
        """Waits until the cleaner is done."""
        lock = Lock(self.files.lock)
        lock.take(wait=True)
        if self.files.home.exists():
            cleaner.clean(self.files)
        lock.release()

    def ask(self, do: str, hosts: Sequence[str] | None = None, **more: Any) -> list[dict[str, Any]]:
        """Sends one request to the supervisor and returns its events. Raises LabError with its reason."""
        events = list(self._ask({"do": do, "hosts": list(hosts or []), **more}))
        if failed := [e["why"] for e in events if e.get("e") == "failed"]:
            raise LabError("\n".join(failed))
        return events

    def _ask(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(str(self.files.socket))
            except OSError:
                raise LabError(f"lab {self.name} is not up (swarmops lab up)") from None
            s.sendall(json.dumps(request).encode() + b"\n")
            with s.makefile() as answers:
                for line in answers:
                    event = json.loads(line)
                    if event.get("e") == "error":
                        raise LabError(event["why"])
                    if event.get("e") == "done":
                        return
                    self.say(event)
                    yield event
        raise LabError(f"the supervisor of lab {self.name} ended in the middle (its log is gone with it)")

    def down(self, now: bool = False) -> None:
        """Shuts every host down and leaves nothing behind, also after a crash. `now` pulls the plug instead."""
        if self.is_up():
            self.ask("down", now=now)
        self._gone()
        tidy()

    def reset(self, hosts: Sequence[str] | None = None) -> float:
        """Hosts as new, at once; addresses and SSH keys stay. Returns the seconds until all answer SSH."""
        return max(e["after"] for e in self.ask("reset", hosts) if e.get("e") == "up")

    def status(self) -> dict[str, Any]:
        """The lab and its hosts as plain values (see docs/lab.md)."""
        return self.ask("status")[0]

    def start(self, hosts: Sequence[str] | None = None) -> None:
        """Boots hosts that are off, with the disks they had."""
        self.ask("start", hosts)

    def stop(self, hosts: Sequence[str] | None = None) -> None:
        """Shuts hosts down cleanly."""
        self.ask("stop", hosts)

    def reboot(self, hosts: Sequence[str] | None = None) -> None:
        """Reboots hosts cleanly; returns when they answer SSH again."""
        self.ask("reboot", hosts)

    def wait(self, hosts: Sequence[str] | None = None, within: float = 60) -> None:
        """Returns when hosts answer SSH."""
        self.ask("wait", hosts, within=within)

    def fault(
        self, kind: str, *hosts: str, value: float | None = None, other: str | None = None, off: bool = False
    ) -> None:
        """Makes one of six kinds happen, or with `off` ends it.

        `cut` (only from `other` when given), `loss` (value: percent), `delay` (ms), `pause`, `poweroff`,
        `full` (bytes left).
        """
        self.ask("fault", hosts, kind=kind, value=value, other=other, off=off)

    def heal(self, *hosts: str) -> None:
        """Ends every fault of these hosts, or of all. Hosts without power stay off."""
        self.ask("heal", hosts)

    def environment(self) -> dict[str, str]:
        """What a program needs to deal with the hosts: state folder, `ssh -F` file, lab's name, their redis-server."""
        files, spec = self.files, self.files.read_spec()
        return {
            "SWARMOPS_REDIS_SERVER": str(redis_server(Path(spec["image"]), Path(spec["apt"]))),
            "SWARMOPS_STATE": str(files.controller),
            "SWARMOPS_SSH_CONFIG": str(files.ssh_config),
            "SWARMOPS_LAB": self.name,
        }

    def controller_argv(self, argv: Sequence[str], outside: bool = False) -> list[str]:
        """`argv` as run on the controller, or by a stranger `outside`: this machine's files, that network."""
        namespace = network.outside_namespace(self.name) if outside else network.namespace(self.name)
        # Not `ip netns exec`: that remounts /sys and so hides the cgroup mounts.
        return ["nsenter", f"--net=/run/netns/{namespace}", "--", *argv]

    def host_argv(self, host: str, argv: Sequence[str]) -> list[str]:
        """`argv` as run on a host by root, past SSH and network, as if from its console."""
        rows = {r["host"]: r for r in self.status()["hosts"]}
        if host not in rows:
            raise LabError(f"no host {host} in this lab (it has {', '.join(rows)})")
        if not rows[host]["pid"]:
            hint = "" if rows[host]["state"] == "booting" else f" (swarmops lab start {host})"
            raise LabError(f"{host} is {rows[host]['state']}{hint}")
        clean = ["HOME=/root", "USER=root", f"TERM={os.environ.get('TERM', 'dumb')}", "LANG=C.UTF-8"]
        clean.append("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"]
        return ["nsenter", "--target", str(rows[host]["pid"]), *spaces, "--", "env", "-i", *clean, *argv]

    def exec(self, host: str | None, argv: Sequence[str], **how: Any) -> subprocess.CompletedProcess[str]:
        """Runs a command on a host, or (None) on the controller inside the lab. Takes subprocess.run's options."""
        full = self.host_argv(host, argv) if host else self.controller_argv(argv)
        return subprocess.run(full, **{**RUN, "env": {**os.environ, **self.environment()}, **how})

    def outside_exec(self, argv: Sequence[str], **how: Any) -> subprocess.CompletedProcess[str]:
        """Runs a command as a stranger: from another network, routed to the hosts."""
        return subprocess.run(self.controller_argv(argv, outside=True), **{**RUN, **how})
