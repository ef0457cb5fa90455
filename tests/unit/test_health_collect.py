"""One look at a fleet: real sshd on loopback, and listeners that are frozen, black-holed, refusing or slow."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmops.health import collect
from swarmops.health.collect import Target, look
from swarmops.health.verdict import Result, State, Verdict
from tests.conftest import lacking
from tests.waiting import until

PATIENCE = 60.0  # seconds for hosts that are well, however busy this machine is


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Ssh:
    """A real sshd on loopback with keys of its own; `access` is how to log in to it."""

    def __init__(self, folder: Path) -> None:
        self.port, self.known_hosts = free_port(), folder / "known_hosts"
        for name in ("host", "user"):
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(argv, check=True)
        kind, key = (folder / "host.pub").read_text().split()[:2]
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")
        (folder / "authorized_keys").write_text((folder / "user.pub").read_text())
        config = f"""Port {self.port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
PermitRootLogin yes
UsePAM no
PidFile none
MaxStartups 100
"""
        (folder / "sshd_config").write_text(config)
        argv = ["/usr/sbin/sshd", "-D", "-f", str(folder / "sshd_config")]
        self.process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        self.key = str(folder / "user")
        end = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)) as s:
                s.recv(20)
                return
            assert time.monotonic() < end
            threading.Event().wait(0.02)

    def access(self, name: str, port: int | None = None) -> Any:
        from swarmops.delivery.access import Access, Hop

        hop = Hop("127.0.0.1", port or self.port, "root", (self.key,), agent=False)
        return Access(name, hop, python=sys.executable)


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ssh]:
    if os.geteuid() != 0 or not Path("/usr/sbin/sshd").exists():
        lacking("needs root and sshd for a login on loopback")
    Path("/run/sshd").mkdir(exist_ok=True)
    made = Ssh(tmp_path_factory.mktemp("sshd"))
    yield made
    made.process.terminate()
    made.process.wait()


def check(probe: str, within: float = PATIENCE, source: str = "host", name: str = "", **args: Any) -> dict[str, Any]:
    name = name or probe
    made = {"id": f"base/{name}", "role": "base", "name": name, "probe": probe, "args": args, "within": within}
    return {**made, "from": source, "service": "base"}


USUAL = [check("disk"), check("memory"), check("clock")]


@contextlib.contextmanager
def frozen() -> Iterator[int]:
    """Accepts TCP and never speaks, as a frozen host does: its kernel goes on."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as s:
        yield s.getsockname()[1]


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """Drops every SYN: a listener whose queue is full."""
    with socket.socket() as s, contextlib.ExitStack() as fillers:
        s.bind(("127.0.0.1", 0))
        s.listen(0)
        for _ in range(4):
            f = fillers.enter_context(socket.socket())
            f.setblocking(False)
            f.connect_ex(s.getsockname())
        yield s.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def soonest(looking: Callable[[], Verdict]) -> Verdict:
    """The first look that took less than the 5 s that are promised; a busy machine has some tries."""
    verdict = looking()
    for _ in range(9):
        if verdict.seconds < 5:
            break
        verdict = looking()
    return verdict


def of(verdict: Any, host: str, name: str) -> Result:
    return next(r for h in verdict.hosts for r in h.results if h.name == host and r.name == name)


def test_a_well_host(ssh: Ssh) -> None:
    far = check("tcp", source="controller", host="localhost", port=ssh.port)
    target = Target("a", ("base",), [*USUAL, far], ssh.access("a"))
    seen: list[Result] = []
    verdict = look([target], ssh.known_hosts, services=["base"], on_result=seen.append, deadline=PATIENCE)
    assert verdict.state is State.OK, [(r.name, r.detail) for r in verdict.hosts[0].results]
    assert [r.name for r in verdict.hosts[0].results] == ["reach", "disk", "memory", "clock", "tcp"]
    assert len(seen) == 5 and of(verdict, "a", "tcp").source == "controller"
    assert (
        "agrees with the controller's" in of(verdict, "a", "clock").detail
        or "chrony" in of(verdict, "a", "clock").detail
    )


def test_a_check_of_the_ssh_port_is_answered_by_the_login(ssh: Ssh) -> None:
    """sshd 9.8 and later locks out who connects often and does not log in, so we never do."""
    for port, state in ((ssh.port, State.OK), (free_port(), State.CRITICAL)):
        asked = check("tcp", source="controller", name="ssh", host="127.0.0.1", port=port)
        target = Target("a", ("base",), [asked], ssh.access("a", port))
        assert target.here("controller") == []
        verdict = look([target], ssh.known_hosts, deadline=PATIENCE)
        assert of(verdict, "a", "ssh").state is state and of(verdict, "a", "ssh").quiet is (state is not State.OK)


def test_a_slow_check_costs_itself_only(ssh: Ssh) -> None:
    stuck = check("command", within=0.5, name="stuck", argv=["sleep", "30"])
    verdict = look([Target("a", ("base",), [*USUAL, stuck], ssh.access("a"))], ssh.known_hosts, deadline=PATIENCE)
    assert of(verdict, "a", "stuck").state is State.CRITICAL and "0.5 s" in of(verdict, "a", "stuck").detail
    assert [of(verdict, "a", n).state for n in ("reach", "disk", "memory")] == [State.OK] * 3


def test_ill_hosts_cost_the_deadline_and_are_shown_with_their_reason(ssh: Ssh) -> None:
    """F19: the host that is well is told exactly, each other one by what is wrong with it."""
    with frozen() as cold, black_hole() as hole:
        where = {"well": ssh.port, "frozen": cold, "hole": hole, "off": free_port()}
        found = [Target(n, ("base",), list(USUAL), ssh.access(n, p)) for n, p in where.items()]
        # another host key than the one pinned, and one never pinned, are refusals and no outages
        found.append(Target("strange", ("base",), list(USUAL), _with_key(ssh, "strange")))
        began = time.monotonic()
        verdict = look(found, ssh.known_hosts, deadline=8.0)
        took = time.monotonic() - began
    assert took < 30  # a frozen host would be waited for until it thaws
    states = {h.name: h.state for h in verdict.hosts}
    assert states == {n: State.OK if n == "well" else State.CRITICAL for n in states}
    assert "frozen or overloaded" in of(verdict, "frozen", "reach").detail
    assert "no answer" in of(verdict, "hole", "reach").detail
    assert "refused" in of(verdict, "off", "reach").detail
    assert "login" in of(verdict, "strange", "reach").detail
    hidden = of(verdict, "off", "disk")
    assert hidden.state is State.UNKNOWN and hidden.quiet and "could not be reached" in hidden.detail
    assert [len(h.troubles) for h in verdict.hosts] == [0, 1, 1, 1, 1]


def _with_key(ssh: Ssh, name: str) -> Any:
    from dataclasses import replace

    folder = Path(ssh.key).parent
    if not (folder / "other").exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "other")], check=True)
    access = ssh.access(name)
    return replace(access, hop=replace(access.hop, keys=(str(folder / "other"),)))


@pytest.mark.parametrize("count", [6, 50])
def test_a_whole_fleet_that_is_gone_is_told_within_5_seconds(ssh: Ssh, count: int) -> None:
    """F20, S4-20, S4-21: all frozen or black-holed; every one has its row and its reason."""
    with frozen() as cold, black_hole() as hole:
        ports = [(cold, hole)[n % 2] for n in range(count)]
        probe = [check("tcp", source="controller", port=hole), *USUAL]
        found = [Target(f"h{n}", ("base",), list(probe), ssh.access(f"h{n}", p)) for n, p in enumerate(ports)]
        verdict = soonest(lambda: look(found, ssh.known_hosts))
    assert verdict.seconds < 5.0
    assert len(verdict.hosts) == count and {h.state for h in verdict.hosts} == {State.CRITICAL}
    assert all("timeout" in of(verdict, f"h{n}", "reach").detail for n in range(count))


def test_not_even_a_delivery_that_hangs_holds_it_up(ssh: Ssh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "_deliver", lambda *a: iter(threading.Event().wait, None))
    began = time.monotonic()
    verdict = look([Target("a", ("base",), list(USUAL), ssh.access("a"))], ssh.known_hosts, deadline=1.0)
    assert time.monotonic() - began < 30 and verdict.state is State.UNKNOWN


def test_a_fault_of_delivery_is_told_at_once(ssh: Ssh, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("no such thing")
        yield

    monkeypatch.setattr(collect, "_deliver", broken)
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    began = time.monotonic()
    verdict = look([Target("a", ("base",), list(USUAL), ssh.access("a"))], ssh.known_hosts, deadline=PATIENCE)
    assert time.monotonic() - began < PATIENCE / 2 and "no such thing" in of(verdict, "a", "reach").detail


def test_a_slow_login_is_unknown_and_not_down(ssh: Ssh) -> None:
    """F15: it answers with a banner and then takes its time. Slow is not down."""

    def drawl(server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            kept.append(connection)
            connection.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")

    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drawl, args=(server,), daemon=True).start()
        port = server.getsockname()[1]
        began = time.monotonic()
        verdict = look([Target("a", ("base",), list(USUAL), ssh.access("a", port))], ssh.known_hosts, deadline=5.0)
        assert time.monotonic() - began < 30
    for connection in kept:
        connection.close()
    assert of(verdict, "a", "reach").state is State.UNKNOWN, of(verdict, "a", "reach").detail
    assert verdict.state is State.UNKNOWN


def test_a_managed_service_needs_no_login(ssh: Ssh) -> None:
    """S0-03: checks from here only."""
    target = Target("cloud", ("redis",), [check("tcp", source="controller", port=ssh.port)])
    verdict = look([target], ssh.known_hosts, deadline=PATIENCE)
    assert verdict.state is State.OK and [r.name for r in verdict.hosts[0].results] == ["tcp"]


@pytest.mark.runtime
def test_redis_on_the_host_with_its_password_in_a_file(ssh: Ssh, tmp_path: Path) -> None:
    if not shutil.which("redis-server"):
        lacking("redis-server is not installed (apt install redis-server)")
    secret = tmp_path / "health.pass"
    secret.write_text("canary-secret-77aa")
    secret.chmod(0o600)
    port = free_port()
    config = f'port {port}\nbind 127.0.0.1\nsave ""\nrequirepass canary-secret-77aa\ndir {tmp_path}\n'
    server = subprocess.Popen(["redis-server", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert server.stdin
    server.stdin.write(config)
    server.stdin.close()
    checks = [
        check("redis", name="answers", port=port, password_file=str(secret)),
        check("redis", name="saves", port=port, password_file=str(secret), field="persistence"),
        check("redis", name="closed", port=port, field="noauth"),
        check("latency", name="near", port=port, host="127.0.0.1", count=10),
    ]
    try:
        until(lambda: listens(port), "redis-server listens")
        verdict = look([Target("r", ("redis",), checks, ssh.access("r"))], ssh.known_hosts, deadline=PATIENCE)
        assert verdict.state is State.OK, [r.detail for r in verdict.hosts[0].troubles]
        assert "localhost, Ideal; good for debugging" in of(verdict, "r", "near").detail
        assert "canary" not in str(verdict)
        server.kill()
        server.wait()
        target = Target("r", ("redis",), checks, ssh.access("r"))
        verdict = look([target], ssh.known_hosts, services=["redis"], deadline=PATIENCE)
        assert "refused" in of(verdict, "r", "answers").detail and verdict.state is State.CRITICAL
    finally:
        server.kill()
        server.wait()


def test_six_hosts_that_are_well_take_less_than_five_seconds(ssh: Ssh) -> None:
    found = [Target(f"h{n}", ("base",), list(USUAL), ssh.access(f"h{n}")) for n in range(6)]
    look(found[:1], ssh.known_hosts, deadline=PATIENCE)  # imports
    verdict = soonest(lambda: look(found, ssh.known_hosts, deadline=PATIENCE))
    assert verdict.state is State.OK
    print(f"six hosts in {verdict.seconds} s")
    assert verdict.seconds < 5  # what is promised (S4-20); what it takes: benchmarks
