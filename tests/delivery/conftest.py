"""A real sshd of the tests' own on loopback, and hosts that are broken or hostile."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from swarmops.delivery import session
from swarmops.delivery.access import Access, Hop
from swarmops.delivery.login_keys import make_key
from tests.conftest import lacking
from tests.delivery.hostile import Behaviour, Hostile

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin")


@dataclass
class Sshd:
    """A running sshd: how to reach it, and the process."""

    folder: Path
    port: int
    process: subprocess.Popen

    @property
    def access(self) -> Access:
        hop = Hop("127.0.0.1", self.port, getpass.getuser(), (str(self.folder / "login"),), agent=False)
        return Access("here", hop)

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _listens(port: int) -> bool:
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    if not SSHD:
        lacking("sshd is not installed (apt install openssh-server)")
    folder = tmp_path_factory.mktemp("sshd")
    make_key(folder / "login")
    make_key(folder / "host")
    shutil.copy(folder / "login.pub", folder / "authorized_keys")
    port = free_port()
    public = (folder / "host.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nPermitRootLogin yes\n"
        "MaxStartups 100\nLogLevel ERROR\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=subprocess.PIPE)
    end = time.monotonic() + 30
    while not _listens(port):
        assert process.poll() is None and time.monotonic() < end, "sshd does not listen"
        time.sleep(0.01)
    yield Sshd(folder, port, process)
    process.terminate()
    process.wait(60)


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Makes the hostile host of this test: host(behave), with the seconds of silence after which it counts as lost."""
    made = []

    def make(behave: Behaviour, lost_after: float = 30) -> Hostile:
        monkeypatch.setattr(session, "LOST_AFTER", lost_after)
        made.append(Hostile(tmp_path, behave))
        return made[0]

    yield make
    for one in made:
        one.close()
