"""The lab's parts that need no root: who becomes a guest, which rules a fault is, what a machine lacks."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from swarmops.cli.lab import command
from swarmops.lab import Guest, Lab, LabError, cleaner, delay, guests_of, image, machine
from swarmops.lab.faults import Faults, rules
from swarmops.lab.files import Files, Lock
from swarmops.lab.guest import check, gateways, outside_network
from swarmops.lab.image import mirror, scratch
from swarmops.lab.network import machine_name, veth
from tests.conftest import lacking


def host(name: str, **variables: object) -> SimpleNamespace:
    return SimpleNamespace(name=name, vars=variables)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without labs."""
    monkeypatch.setattr(machine, "STATE", tmp_path)
    monkeypatch.setattr(cleaner.machine, "STATE", tmp_path)
    return tmp_path


# -- guests -----------------------------------------------------------------------------------------------------


def test_guests_take_address_user_and_port_from_ansible_variables() -> None:
    made = guests_of([host("a", ansible_host="10.1.0.5", ansible_user="me", ansible_port="2222"), host("10.1.0.6")])
    assert made == [Guest("a", "10.1.0.5", "me", 2222), Guest("10.1.0.6", "10.1.0.6", "ops", 22)]


def test_hosts_known_by_dns_name_get_an_address_and_keep_the_name() -> None:
    made = guests_of([host("a", ansible_host="a.example.org"), host("b")])
    assert made == [Guest("a", "198.18.0.2", aliases=("a.example.org",)), Guest("b", "198.18.0.3")]


def test_local_hosts_are_left_out_and_unfit_ones_all_named() -> None:
    hosts = [
        host("here", ansible_connection="local"),
        host("six", ansible_host="2001:db8::1"),
        host("one", ansible_host="10.1.0.5"),
        host("two", ansible_host="10.1.0.5"),
    ]
    with pytest.raises(LabError) as e:
        guests_of(hosts)
    assert str(e.value).splitlines() == [
        "six: ansible_host 2001:db8::1 is IPv6; the lab speaks IPv4 only",
        "two: address 10.1.0.5 is another host's too",
    ]
    with pytest.raises(LabError, match="no host that a lab could boot"):
        guests_of(hosts[:1])


@pytest.mark.parametrize(
    ("name", "guest", "says"),
    [
        ("x", Guest("a/b", "10.0.0.2"), "'a/b' is no host name"),
        ("x", Guest("a b", "10.0.0.2"), "'a b' is no host name"),
        ("x", Guest("..", "10.0.0.2"), "'..' is no host name"),
        ("x", Guest("a", "10.0.0.2", "me:0"), "'me:0' is no user name"),
    ],
)
def test_names_that_cannot_be_files_are_refused(name: str, guest: Guest, says: str) -> None:
    with pytest.raises(LabError, match=says.replace("(", "\\(")):
        check(name, [guest])


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", "images", "apt", "x-outside", "x" * 41])
def test_no_lab_has_a_name_that_down_must_not_delete(name: str) -> None:
    with pytest.raises(LabError, match=r"is no lab name|cannot be called"):
        Lab(name)


def test_controller_takes_the_first_free_address_of_each_network() -> None:
    guests = [Guest("a", "10.0.0.1"), Guest("b", "10.0.0.3"), Guest("c", "192.168.7.9")]
    assert gateways(guests) == {"10.0.0.0/24": "10.0.0.2", "192.168.7.0/24": "192.168.7.1"}


def test_the_stranger_lives_where_no_host_does() -> None:
    assert str(outside_network([Guest("a", "10.0.0.2")])) == "198.51.100.0/24"
    assert str(outside_network([Guest("a", "198.51.100.9")])) == "203.0.113.0/24"


@pytest.mark.parametrize("lab", ["x", "a-very-long-name-of-a-lab-that-nobody-would-type"])
def test_interface_names_fit_the_kernel(lab: str) -> None:
    assert len(veth(lab, 999)) <= 15
    assert machine_name(lab, 1) != machine_name(lab + "2", 1)


# -- image ------------------------------------------------------------------------------------------------------


def test_mirror_is_read_from_this_machines_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWARMOPS_LAB_MIRROR", raising=False)
    (tmp_path / "sources.list.d").mkdir()
    assert mirror("trixie", tmp_path) is None
    other = tmp_path / "sources.list.d" / "a.sources"
    other.write_text("Types: deb\nURIs: https://a.invalid/node\nSuites: nodistro\n")
    (tmp_path / "sources.list.d" / "b.sources").write_text(
        "# comment\nTypes: deb\nURIs: http://m.invalid/debian\nSuites: bookworm bookworm-updates\n\n"
        "Types: deb\nURIs: http://m.invalid/debian-security\nSuites: bookworm-security\n"
    )
    assert mirror("trixie", tmp_path) == "http://m.invalid/debian"
    (tmp_path / "sources.list").write_text(
        "#deb http://no.invalid/debian bookworm main\ndeb [arch=amd64] http://l.invalid/debian/ trixie main\n"
    )
    assert mirror("trixie", tmp_path) == "http://l.invalid/debian/"
    monkeypatch.setenv("SWARMOPS_LAB_MIRROR", "http://given.invalid/d")
    assert mirror("trixie", tmp_path) == "http://given.invalid/d"


def test_scratch_folders_go_away_also_those_of_killed_builds(tmp_path: Path) -> None:
    (tmp_path / ".build-x-99" / "root").mkdir(parents=True)
    with pytest.raises(ZeroDivisionError), scratch(tmp_path, ".build-x-") as made:
        (made / "file").write_text("half")
        assert [p.name for p in tmp_path.iterdir()] == [made.name]
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_tidy_leaves_a_build_that_is_going_on(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "STATE", state)
    for release in ("trixie", "bookworm"):
        (state / "images" / f".build-{release}-7").mkdir(parents=True)
    with machine.locked(state / "images" / ".trixie.lock"):
        (state / "images" / ".bookworm.lock").touch()
        image.tidy()
        assert [p.name for p in (state / "images").glob(".build*")] == [".build-trixie-7"]
    image.tidy()
    assert not list((state / "images").glob(".build*"))


# -- faults -----------------------------------------------------------------------------------------------------

PORTS = {"a": "vb-a", "b": "vb-b"}
ADDRESSES = {"a": "10.0.0.2", "b": "10.0.0.3"}


def test_no_fault_is_no_table() -> None:
    text = rules({"a": Faults(), "b": Faults(paused=True, delay=5)}, PORTS, ADDRESSES)
    assert text == "table bridge lab_faults\ndelete table bridge lab_faults\n"


def test_rules_are_what_nft_understands() -> None:
    text = rules({"a": Faults(cut=True, loss=12.5), "b": Faults(cut_from={"a"})}, PORTS, ADDRESSES)
    assert 'iifname "vb-a" drop' in text and 'oifname "vb-a" drop' in text
    assert "numgen random mod 10000 < 1250 drop" in text
    assert 'iifname "vb-b" ip daddr 10.0.0.2 drop' in text and 'iifname "vb-a" ip daddr 10.0.0.3 drop' in text
    if not shutil.which("nft") or os.geteuid():
        lacking("the rest asks nft itself, which needs root")
    done = subprocess.run(["nft", "-c", "-f", "-"], input=text, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_faults_say_their_names() -> None:
    all_of_them = Faults(True, {"b"}, 5, 20, True, 0)
    assert all_of_them.names() == ["cut", "cut from b", "loss 5%", "delay 20ms", "paused", "full"]
    assert Faults().names() == []


def test_delay_line_keeps_order_and_holds_each_frame_as_long() -> None:
    near, one = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    two, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one.setblocking(False)
    two.setblocking(False)
    threading.Thread(target=delay.carry, args=(one.fileno(), two.fileno(), 0.05), daemon=True).start()
    began = time.monotonic()
    for number in range(20):
        near.send(b"%d" % number)
    far.send(b"back")
    assert [far.recv(9) for _ in range(20)] == [b"%d" % n for n in range(20)]
    assert near.recv(9) == b"back"
    assert time.monotonic() - began >= 0.05
    # The sockets stay referenced by the thread's frame of this process; their peers are closed here.
    for end in (near, far):
        end.detach()
    one.detach()
    two.detach()


# -- locks and logins -------------------------------------------------------------------------------------------


def test_lock_is_one_holders_and_leaves_no_file(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert first.take()
    assert not second.take()
    first.release()
    assert not (tmp_path / "lock").exists()
    assert second.take()
    second.release()


def test_lock_waited_for_is_a_lock_on_the_file_there_is(tmp_path: Path) -> None:
    """The holder deletes the file: who waited on the deleted one must not think it has the lock."""
    first, second, third = (Lock(tmp_path / "lock") for _ in range(3))
    first.take()
    waiter = threading.Thread(target=second.take, args=(True,))
    waiter.start()
    first.release()
    waiter.join(60)
    assert not waiter.is_alive()
    assert not third.take()
    second.release()


def test_logins_are_written_once_and_are_private(state: Path) -> None:
    files = Files.of("x")
    guests = [Guest("a", "10.0.0.2", aliases=("a.example.org",)), Guest("b", "10.0.0.3", "root", 2222)]
    files.write_logins(guests)
    assert files.key.stat().st_mode & 0o777 == 0o600
    known = files.known_hosts.read_text()
    assert known.startswith("a,10.0.0.2,a.example.org ssh-ed25519 ")
    assert "[b]:2222,[10.0.0.3]:2222 ssh-ed25519 " in known
    assert "StrictHostKeyChecking yes" in files.ssh_config.read_text()
    files.write_logins(guests)
    assert files.known_hosts.read_text() == known
    asked = subprocess.run(["ssh", "-G", "-F", files.ssh_config, "a.example.org"], capture_output=True, text=True)
    assert "hostname 10.0.0.2\n" in asked.stdout and "user ops\n" in asked.stdout


# -- the machine and the command --------------------------------------------------------------------------------


def test_what_the_machine_lacks_is_named_a_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    lines = machine.missing()
    assert "systemd-nspawn is not installed (apt install systemd-container)" in lines
    assert "debootstrap is not installed (apt install debootstrap)" in lines
    assert lines[-1] == "not root: the lab boots real hosts (sudo swarmops lab up)"
    assert not any("debootstrap" in line for line in machine.missing(build=False))


def test_a_failing_tool_is_one_sentence() -> None:
    with pytest.raises(LabError, match=r"^sh -c echo one; echo two >&2; exit 3: two$"):
        machine.run(["sh", "-c", "echo one; echo two >&2; exit 3"])
    with pytest.raises(LabError, match="nosuchtool is not installed"):
        machine.run(["nosuchtool"])


@pytest.mark.parametrize("argv", [["status"], ["reset"], ["exec", "--", "true"], ["fault", "cut", "a"]])
def test_without_a_lab_the_command_says_so(state: Path, argv: list[str]) -> None:
    done = CliRunner().invoke(command, argv, standalone_mode=False)
    assert done.return_value == 1
    assert done.stderr == "no lab is up (swarmops lab up)\n"


def test_down_without_a_lab_is_fine(state: Path) -> None:
    done = CliRunner().invoke(command, ["down"], standalone_mode=False)
    assert (done.return_value, done.stderr) == (0, "no lab is up\n")


def test_a_lab_whose_supervisor_is_gone_is_not_up(state: Path) -> None:
    lab = Lab("gone", [Guest("a", "10.0.0.2")])
    lab._write(Path("/image"), Path("/apt"))
    assert not lab.is_up()
    with pytest.raises(LabError, match="no lab is up"):
        Lab.running()
    with pytest.raises(LabError, match="no lab 'gone' is up"):
        Lab.running("gone")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["exec", "redis-1"], "write the command after --"),
        (["exec", "redis-1", "--outside", "--", "true"], "a stranger has no HOST"),
        (["fault", "full", "a", "--free", "lots"], "'lots' is no size"),
        (["fault", "loss", "101", "a"], "101"),
        (["fault", "cut"], "Missing argument"),
    ],
)
def test_wrong_use_is_exit_2(state: Path, argv: list[str], says: str) -> None:
    done = CliRunner().invoke(command, argv)
    assert done.exit_code == 2
    assert says in done.output
