"""How each tool does the workload: the files it wants in a work folder, and its command for each stage."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path

from bench_provision.hosts import Hosts

HERE = Path(__file__).parent
WORKLOAD = HERE.parent / "workload"
BIN = Path(sys.executable).parent
STAGES = ("cold", "no-op", "change", "check")


class Tool(ABC):
    """One tool with its own copy of the workload. `command` gives argv for a stage at a level."""

    name = ""
    stages: tuple[str, ...] = STAGES
    once = False  # one series, where others have several
    slow = False  # one run of each stage
    live = False  # measured on open connections, too

    def __init__(self, hosts: Hosts, names: list[str], work: Path):
        self.hosts, self.names = hosts, names
        self.work = work / self.name
        shutil.copytree(WORKLOAD, self.work)
        self.files = hosts.lab.files
        self.addresses = {g.name: g.address for g in hosts.guests if g.name in names}
        self.prepare()

    def prepare(self) -> None:  # noqa: B027 - most have nothing to do
        """Write what the tool needs beside the workload."""

    def environment(self) -> dict[str, str]:
        keep = {k: os.environ[k] for k in ("PATH", "HOME", "LANG", "PYTHONPATH") if k in os.environ}
        return {**keep, **self.hosts.lab.environment(), "NO_COLOR": "1"}

    @abstractmethod
    def command(self, stage: str, level: int) -> list[str]:
        """What to run for a stage of the workload."""

    def fresh(self) -> None:  # noqa: B027 - most have nothing to do
        """The hosts are about to be new ones: nothing of earlier runs may help."""

    def close(self) -> None:  # noqa: B027 - most have nothing to do
        """Let go of everything."""

    def _inventory(self, more: str = "ansible_user: root") -> str:
        rows = "".join(f"    {n}: {{ansible_host: {a}}}\n" for n, a in self.addresses.items())
        return f"all:\n  vars: {{{more}}}\n  hosts:\n{rows}"


class Swarmops(Tool):
    name = "swarmops"
    live = True

    def prepare(self) -> None:
        (self.work / "inventory/lan").mkdir(parents=True)
        (self.work / "inventory/lan/hosts.yaml").write_text(self._inventory())

    def command(self, stage: str, level: int) -> list[str]:
        argv = [str(BIN / "swarmops"), "deploy", "lan", "--project", str(self.work), "-e", f"bench_level={level}"]
        return [*argv, "--check" if stage == "check" else "--yes"]


class SwarmopsMore(Swarmops):
    """The same with 100 files more, to see what a further task costs."""

    name = "swarmops, 100 tasks more"
    live = False

    def command(self, stage: str, level: int) -> list[str]:
        return [*super().command(stage, level), "-e", "bench_extra=100"]


class Floor(Tool):
    """One exec a host over the same transport as swarmops: a tarball and a script made for this workload."""

    name = "floor, same transport"
    way = "paramiko"
    stages = ("cold", "no-op", "change")

    def command(self, stage: str, level: int) -> list[str]:
        hosts = [f"{n}={a}" for n, a in self.addresses.items()]
        return [sys.executable, str(HERE / "floor.py"), self.way, str(self.work), str(level), *hosts]


class SshFloor(Floor):
    """The same by plain ssh, one process a host, all at once."""

    name = "floor, plain ssh"
    way = "ssh"


class Pyinfra(Tool):
    name = "pyinfra"
    once = True
    nodelay = False

    def prepare(self) -> None:
        data = {
            "ssh_user": "root",
            "ssh_key": str(self.files.key),
            "ssh_known_hosts_file": str(self.files.known_hosts),
            "ssh_strict_host_key_checking": "yes",
            "ssh_look_for_keys": False,
            "ssh_allow_agent": False,
        }
        rows = [(n, {**data, "ssh_hostname": a}) for n, a in self.addresses.items()]
        (self.work / "inventory.py").write_text((NODELAY if self.nodelay else "") + f"bench = {rows!r}\n")

    def command(self, stage: str, level: int) -> list[str]:
        argv = [str(BIN / "pyinfra"), "--parallel", str(len(self.names)), "--data", f"bench_level={level}"]
        argv += [str(self.work / "inventory.py"), str(self.work / "pyinfra_deploy.py")]
        return [*argv, "--dry" if stage == "check" else "-y"]


class PyinfraNodelay(Pyinfra):
    """With TCP_NODELAY, which pyinfra itself does not set: faster than what its users have."""

    name = "pyinfra, TCP_NODELAY"
    nodelay = True


NODELAY = """\
import socket
from paramiko import transport
_init = transport.Transport.__init__
def init(self, sock, *args, **kwargs):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _init(self, sock, *args, **kwargs)
transport.Transport.__init__ = init
"""


class Ansible(Tool):
    """ansible-core with pipelining, ControlPersist, a fork a host, no facts, the interpreter named."""

    name = "ansible-core"
    once = slow = True

    def prepare(self) -> None:
        key, known = self.files.key, self.files.known_hosts
        more = f"ansible_user: root, ansible_ssh_private_key_file: {key}, ansible_python_interpreter: /usr/bin/python3"
        (self.work / "hosts.yaml").write_text(self._inventory(more))
        ssh = f"-F /dev/null -o UserKnownHostsFile={known} -o ControlMaster=auto -o ControlPersist=600s"
        (self.work / "ansible.cfg").write_text(
            f"[defaults]\nforks = {len(self.names)}\ninternal_poll_interval = 0.001\ngathering = explicit\n"
            f"local_tmp = {self.work}/tmp\nretry_files_enabled = false\n"
            f"[ssh_connection]\npipelining = true\nssh_args = {ssh}\ncontrol_path = {self.work}/%%h\n"
        )

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "ANSIBLE_CONFIG": str(self.work / "ansible.cfg"), "LC_ALL": "C.UTF-8"}

    def command(self, stage: str, level: int) -> list[str]:
        argv = [str(BIN / "ansible-playbook"), "-i", str(self.work / "hosts.yaml"), str(self.work / "ansible.yml")]
        return [*argv, "-e", f'{{"bench_level": {level}}}', *(["--check"] if stage == "check" else [])]

    def fresh(self) -> None:
        for address in self.addresses.values():
            if (self.work / address).exists():
                argv = ["ssh", "-F", "/dev/null", "-o", f"ControlPath={self.work}/%h", "-O", "exit", address]
                subprocess.run(self.hosts.command(argv), capture_output=True, check=False)
                (self.work / address).unlink(missing_ok=True)

    def close(self) -> None:
        self.fresh()


TOOLS = {
    "swarmops": Swarmops,
    "more": SwarmopsMore,
    "floor": Floor,
    "ssh": SshFloor,
    "pyinfra": Pyinfra,
    "pyinfra-nodelay": PyinfraNodelay,
    "ansible": Ansible,
}
