"""Lab hosts to measure on: as new in seconds, with counters of bytes, of execs and of CPU time."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from swarmops.lab.guest import Guest
from swarmops.lab.lab import Lab

VERIFY = Path(__file__).parent.parent / "workload/verify.sh"
CPU = "/sys/fs/cgroup/{root}swarmops/{lab}/cpu.stat"
# sshd then says "Starting session" for each exec, on every way that a tool may take to open one.
COUNT_EXECS = "echo LogLevel VERBOSE >/etc/ssh/sshd_config.d/bench.conf && systemctl reload ssh"


class Hosts:
    """`count` lab hosts b01, b02, ... with root logins. All counters are of all hosts together."""

    def __init__(self, lab: str, count: int):
        self.names = [f"b{n:02d}" for n in range(1, count + 1)]
        self.guests = [Guest(name, f"10.88.0.{10 + n}", user="root") for n, name in enumerate(self.names, 1)]
        self.lab = Lab(lab, self.guests)

    def up(self) -> None:
        self.lab.up()
        self._prepare(self.names)

    def down(self) -> None:
        self.lab.down(now=True)

    def fresh(self, names: Sequence[str]) -> None:
        """Those hosts as a first deploy meets them."""
        self.lab.reset(names)
        self.lab.files.forget_records()  # they are other machines now
        self._prepare(names)

    def _prepare(self, names: Sequence[str]) -> None:
        for name in names:
            self.lab.exec(name, ["sh", "-c", COUNT_EXECS], check=True)

    def command(self, argv: Sequence[str]) -> list[str]:
        """`argv` as run on the controller, in the lab's network."""
        return self.lab.controller_argv(argv)

    def execs(self, names: Sequence[str]) -> int:
        """Commands that sshd has started so far."""
        argv = ["journalctl", "-q", "-o", "cat", "--grep", "^Starting session: (command|subsystem|shell)"]
        said = [self.lab.exec(name, argv).stdout for name in names]
        return sum(len(text.splitlines()) for text in said)

    def bytes(self) -> int:
        """Bytes that have crossed the bridge's ports so far, both ways."""
        argv = self.command(["cat", "/proc/net/dev"])
        text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        rows = [line.split(":") for line in text.splitlines() if line.strip().startswith("vb-")]
        return sum(int(f[0]) + int(f[8]) for _, numbers in rows for f in [numbers.split()])

    def cpu(self) -> float:
        """CPU seconds that the hosts have used so far."""
        for root in ("unified/", ""):
            path = Path(CPU.format(root=root, lab=self.lab.name))
            if path.exists():
                return int(path.read_text().split()[1]) / 1e6
        return 0.0

    def look(self, names: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
        """What the hosts look like: the state that is compared between tools, and marks that a no-op must not move."""
        states, marks = {}, {}
        for name in names:
            said = self.lab.exec(name, ["sh", "-c", VERIFY.read_text()]).stdout
            states[name], _, marks[name] = said.partition("-- marks\n")
        return states, marks
