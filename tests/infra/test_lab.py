"""The lab itself: hosts are real, faults are felt, and nothing is left behind however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swarmops.lab import Guest, Lab, LabError, machine
from swarmops.lab.network import machine_name

PROBE = "import socket,sys; s=socket.create_connection((sys.argv[1],int(sys.argv[2])),float(sys.argv[3])); s.recv(8)"


def reaches(lab: Lab, host: str, port: int = 22, within: float = 0.5, *, outside: bool = False) -> bool:
    """Whether a TCP server on a host says something to the controller, or to a stranger."""
    address = next(g.address for g in lab.guests if g.name == host)
    argv = lab.controller_argv([sys.executable, "-c", PROBE, address, str(port), str(within)], outside=outside)
    return subprocess.run(argv, capture_output=True).returncode == 0


def ssh(lab: Lab, host: str, command: str, **how: object) -> subprocess.CompletedProcess[str]:
    return lab.exec(None, ["ssh", "-F", str(lab.files.ssh_config), host, command], **how)


def lossy(lab: Lab, source: str, target: str, count: int = 400) -> float:
    """Percent of pings lost from one host to another."""
    argv = ["ping", "-q", "-f", "-i", "0.002", "-W", "1", "-c", str(count), target]
    said = lab.exec(source, argv).stdout
    return float(said.split("% packet loss")[0].split()[-1])


def round_trip(lab: Lab, source: str, target: str) -> float:
    """Median-ish round trip in ms between two hosts (the first ping, with its ARP, left out)."""
    lab.exec(source, ["ping", "-q", "-c", "1", target])
    said = lab.exec(source, ["ping", "-q", "-i", "0.01", "-c", "10", target]).stdout
    return float(said.split("rtt min/avg/max/mdev = ")[1].split("/")[1])


class Traces:
    """What of a lab is on the machine outside of its processes."""

    def __init__(self, name: str, hosts: int) -> None:
        self.name, self.machines = name, [machine_name(name, i) for i in range(hosts)]

    def found(self) -> list[str]:
        globs = {
            Path("/run/netns"): f"swarmops-{self.name}*",
            machine.STATE: f"*{self.name}*",
            **dict.fromkeys(machine.cgroup_roots(), f"swarmops/{self.name}"),
        }
        paths = [str(p) for folder, glob in globs.items() for p in folder.glob(glob)]
        paths += [str(p) for m in self.machines for p in Path("/run/systemd/nspawn").glob(f"*/{m}")]
        mounts = [m for m in Path("/proc/self/mounts").read_text().splitlines() if f"/lab/{self.name}/" in m]
        return paths + mounts + self.processes()

    def processes(self) -> list[str]:
        found = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if f"/lab/{self.name}" in line or any(f"--machine={m} " in line for m in self.machines):
                found.append(line)
        return found


def wait_for(condition: Callable[[], bool], within: float = 60, left: Callable[[], object] = str) -> None:
    """For ends that nobody is told of: processes of others dying, in the midst of their boot maybe."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true in {within:g} s {left()}"
        time.sleep(0.02)


def nothing_left(traces: Traces) -> None:
    """The last one to go is the process that has tidied up."""
    wait_for(lambda: traces.found() == [], 5, traces.found)


def gone(traces: Traces) -> None:
    wait_for(lambda: traces.processes() == [], left=traces.processes)


@pytest.fixture
def pair(can_lab: None, own_name: Callable[[str], str]) -> Iterator[Lab]:
    """A small lab of the test's own, not up yet. Same addresses as the big one: they cannot meet."""
    lab = Lab(own_name("pair"), [Guest("one", "172.16.168.20"), Guest("two", "172.16.168.21", "root", 2222)])
    yield lab
    lab.down(now=True)


# -- hosts are real ---------------------------------------------------------------------------------------------


def test_every_host_runs_its_own_systemd_without_a_failed_unit(lab: Lab, lab_hosts: dict) -> None:
    for name, host in lab_hosts.items():
        assert host.check_output("systemctl is-system-running --wait") == "running", name
        assert host.check_output("hostname") == name
        assert host.service("ssh").is_running
        assert host.system_info.codename == lab.release


def test_user_logs_in_with_the_pinned_key_and_has_sudo(lab: Lab) -> None:
    for guest in lab.guests:
        done = ssh(lab, guest.name, "id -un; sudo -n id -un")
        assert done.stdout.split() == [guest.user, "root"], done.stderr


def test_host_keys_are_the_recorded_ones_and_no_two_are_alike(lab: Lab) -> None:
    keys = [line.split()[2] for line in lab.files.known_hosts.read_text().splitlines()]
    assert len(set(keys)) == len(lab.guests)


def test_packages_install_without_a_network(fresh: Callable[..., Lab], lab_hosts: dict) -> None:
    host = lab_hosts[fresh("redis-1").guests[3].name]
    host.check_output("apt-get -q update && apt-get -q -y install redis-server tree")
    assert host.service("redis-server").is_running
    assert host.check_output("redis-cli ping") == "PONG"


def test_firewall_and_wireguard_work_in_hosts(fresh: Callable[..., Lab], lab_hosts: dict) -> None:
    fresh("ai-1")
    host = lab_hosts["ai-1"]
    host.check_output("wireguard-go wg0 && ip address add 10.77.9.1/24 dev wg0 && ip link set wg0 up && wg show wg0")
    chain = "type filter hook input priority 0; tcp dport 9 ct state new drop;"
    host.check_output(f"echo 'table inet t {{ chain c {{ {chain} }}; }}' | nft -f -")
    assert "ct state new drop" in host.check_output("nft list ruleset")


def test_hosts_see_each_other_by_name(lab: Lab) -> None:
    assert lab.exec("ai-1", ["ping", "-c", "1", "-W", "2", "redis-1"]).returncode == 0


def test_nothing_reaches_the_machine_or_the_world(lab: Lab) -> None:
    """No interface of the machine is in the namespaces, and neither has a route to anywhere else."""
    machines = {link["ifname"] for link in json.loads(machine.run(["ip", "-j", "link"]))} - {"lo"}
    for outside in (False, True):
        argv = lab.controller_argv(["ip", "-j", "link"], outside=outside)
        links = {link["ifname"] for link in json.loads(machine.run(argv))}
        assert not links & machines
    routes = json.loads(machine.run(lab.controller_argv(["ip", "-j", "route"])))
    assert "default" not in [r["dst"] for r in routes]
    # 192.0.2.1 is in no one's network (RFC 5737): the lab's own kernel says so.
    assert "Net Unreachable" in lab.exec("ai-1", ["ping", "-c", "1", "-W", "2", "192.0.2.1"]).stdout


def test_a_stranger_reaches_hosts_until_a_firewall_refuses_it(fresh: Callable[..., Lab]) -> None:
    lab = fresh("npu-1")
    assert reaches(lab, "npu-1", within=2, outside=True)
    rule = "table inet t { chain c { type filter hook input priority 0; ip saddr 198.51.100.0/24 drop; }; }"
    lab.exec("npu-1", ["nft", "-f", "-"], input=rule, check=True)
    assert not reaches(lab, "npu-1", outside=True)
    assert reaches(lab, "npu-1", within=2)


def test_exec_passes_input_output_and_exit_code(lab: Lab) -> None:
    done = lab.exec("ai-1", ["sh", "-c", "cat; echo err >&2; exit 7"], input="hello")
    assert (done.stdout, done.stderr, done.returncode) == ("hello", "err\n", 7)
    assert lab.exec(None, ["sh", "-c", "echo $SWARMOPS_STATE"]).stdout.strip() == str(lab.files.controller)


# -- life -------------------------------------------------------------------------------------------------------


def test_reboot_comes_back_with_its_files(healed: Lab) -> None:
    healed.exec("browser-1", ["sh", "-c", "echo kept > /root/file"])
    booted = healed.exec("browser-1", ["cat", "/proc/sys/kernel/random/boot_id", "/proc/1/stat"]).stdout
    healed.reboot(["browser-1"])
    assert healed.exec("browser-1", ["cat", "/proc/sys/kernel/random/boot_id", "/proc/1/stat"]).stdout != booted
    assert healed.exec("browser-1", ["cat", "/root/file"]).stdout == "kept\n"


def boots(lab: Lab, host: str) -> int:
    return next(h["boots"] for h in lab.status()["hosts"] if h["host"] == host)


def ssh_is_active(lab: Lab, host: str) -> bool:
    """From the console; False while there is none."""
    try:
        return lab.exec(host, ["systemctl", "is-active", "ssh"]).stdout == "active\n"
    except LabError:
        return False


def state(lab: Lab, host: str) -> str:
    return next(h["state"] for h in lab.status()["hosts"] if h["host"] == host)


def test_power_loss_keeps_the_disk_and_start_boots_it(healed: Lab) -> None:
    healed.exec("npu-1", ["sh", "-c", "echo kept > /root/file"])
    healed.fault("poweroff", "npu-1")
    assert state(healed, "npu-1") == "off"
    assert not reaches(healed, "npu-1")
    with pytest.raises(LabError, match="npu-1 is off"):
        healed.exec("npu-1", ["true"])
    healed.start(["npu-1"])
    assert healed.exec("npu-1", ["cat", "/root/file"]).stdout == "kept\n"


def test_poweroff_from_inside_is_off(healed: Lab) -> None:
    healed.exec("npu-1", ["systemctl", "poweroff"])
    wait_for(lambda: state(healed, "npu-1") == "off")


def test_reset_gives_new_disks_and_keeps_ssh_keys(lab: Lab) -> None:
    lab.exec("ai-1", ["touch", "/root/dirt"])
    (lab.files.controller / "peers.json").write_text("{}")
    known, machine_id = lab.files.known_hosts.read_text(), lab.exec("ai-1", ["cat", "/etc/machine-id"]).stdout
    lab.fault("loss", "ai-1", value=50)
    lab.reset()
    assert lab.exec("ai-1", ["ls", "/root"]).stdout == ""
    assert lab.exec("ai-1", ["cat", "/etc/machine-id"]).stdout != machine_id
    assert lab.files.known_hosts.read_text() == known
    assert not (lab.files.controller / "peers.json").exists()
    assert lab.status()["hosts"][4]["faults"] == []
    assert ssh(lab, "ai-1", "true").returncode == 0


# -- faults -----------------------------------------------------------------------------------------------------


def test_cut(healed: Lab) -> None:
    healed.fault("cut", "redis-1")
    assert not reaches(healed, "redis-1")
    assert lossy(healed, "ai-1", "redis-1", 3) == 100
    assert reaches(healed, "ai-1", within=2)
    healed.fault("cut", "redis-1", off=True)
    assert reaches(healed, "redis-1", within=2)


def test_cut_from_one_other_host_only(healed: Lab) -> None:
    healed.fault("cut", "redis-1", other="ai-1")
    assert lossy(healed, "ai-1", "redis-1", 3) == 100
    assert lossy(healed, "redis-1", "ai-1", 3) == 100
    assert lossy(healed, "npu-1", "redis-1", 3) == 0
    assert reaches(healed, "redis-1", within=2)
    healed.heal("ai-1")
    assert lossy(healed, "ai-1", "redis-1", 3) == 0


def test_a_cut_outlasts_a_reboot(healed: Lab) -> None:
    healed.fault("cut", "redis-1")
    before = boots(healed, "redis-1")
    healed.exec("redis-1", ["systemctl", "reboot"])
    wait_for(lambda: boots(healed, "redis-1") == before + 1 and ssh_is_active(healed, "redis-1"))
    assert not reaches(healed, "redis-1")
    assert lossy(healed, "ai-1", "redis-1", 3) == 100
    healed.heal()
    healed.wait(["redis-1"])


def test_loss_is_about_what_was_asked(healed: Lab) -> None:
    healed.fault("loss", "ai-1", value=20)  # each way: a ping survives with 0.8 * 0.8
    assert 25 < lossy(healed, "redis-1", "ai-1") < 47
    healed.heal("ai-1")
    assert lossy(healed, "redis-1", "ai-1") == 0


def test_delay_is_added_each_way_and_survives_a_reboot(healed: Lab) -> None:
    assert round_trip(healed, "redis-1", "ai-1") < 50
    healed.fault("delay", "ai-1", value=25)
    assert 50 <= round_trip(healed, "redis-1", "ai-1") < 150
    assert ssh(healed, "ai-1", "head -c 1000000 /dev/zero | wc -c").stdout.strip() == "1000000"
    healed.fault("poweroff", "ai-1")
    healed.start(["ai-1"])
    assert 50 <= round_trip(healed, "redis-1", "ai-1") < 150
    healed.heal()
    assert round_trip(healed, "redis-1", "ai-1") < 50


def test_bridges_show_no_frame_to_netfilter(lab: Lab) -> None:
    """Or a NAT in the lab's network would translate what a slow cable carries twice."""
    said = lab.exec(None, ["sh", "-c", "grep -L '^0$' /proc/sys/net/bridge/bridge-nf-call-* 2>/dev/null"]).stdout
    assert said == ""


def test_paused_host_says_nothing_until_it_goes_on(healed: Lab) -> None:
    healed.fault("pause", "frontend-1")
    assert lossy(healed, "ai-1", "frontend-1", 3) == 0  # its kernel still answers
    assert not reaches(healed, "frontend-1", within=0.7)
    assert reaches(healed, "ai-1", within=2)
    healed.heal("frontend-1")
    assert reaches(healed, "frontend-1", within=3)


def test_paused_host_can_be_reset(healed: Lab) -> None:
    healed.fault("pause", "frontend-1")
    healed.reset(["frontend-1"])
    assert reaches(healed, "frontend-1", within=3)


def test_full_disk_refuses_writes_until_healed(healed: Lab) -> None:
    write = ["sh", "-c", "head -c 300000 /dev/zero > /var/tmp/file"]
    healed.fault("full", "redis-1")
    done = healed.exec("redis-1", write)
    assert done.returncode and "No space left on device" in done.stderr
    assert healed.exec("ai-1", write).returncode == 0
    healed.fault("full", "redis-1", value=1_000_000)
    assert healed.exec("redis-1", write).returncode == 0
    assert healed.exec("redis-1", ["sh", "-c", "head -c 2000000 /dev/zero > /var/tmp/more"]).returncode
    healed.heal("redis-1")
    assert healed.exec("redis-1", ["sh", "-c", "head -c 2000000 /dev/zero > /var/tmp/more"]).returncode == 0


def test_mistakes_are_named(lab: Lab) -> None:
    with pytest.raises(LabError, match="no host nosuch in this lab"):
        lab.fault("cut", "nosuch")
    with pytest.raises(LabError, match="no host nosuch"):
        lab.fault("cut", "ai-1", other="nosuch")
    with pytest.raises(LabError, match="up already"):
        lab.up()


# -- nothing is left --------------------------------------------------------------------------------------------


def test_two_labs_with_the_same_addresses_live_side_by_side(lab: Lab, pair: Lab) -> None:
    pair.up()
    assert ssh(pair, "two", "hostname; id -un").stdout.split() == ["two", "root"]
    assert lab.exec(None, ["true"]).returncode == 0
    assert ssh(lab, lab.guests[0].name, "hostname").stdout.strip() == lab.guests[0].name


@pytest.mark.parametrize("now", [False, True])
def test_down_leaves_nothing(pair: Lab, now: bool) -> None:
    inotify = machine.INOTIFY.read_text()
    traces = Traces(pair.name, 2)
    pair.up()
    assert len(traces.found()) > 5  # the test would see them
    pair.fault("delay", "one", value=5)
    pair.fault("pause", "two")
    pair.down(now)
    nothing_left(traces)
    assert machine.INOTIFY.read_text() == inotify


def test_killed_supervisor_leaves_nothing(pair: Lab) -> None:
    traces = Traces(pair.name, 2)
    pair.up()
    pair.fault("delay", "one", value=5)
    os.kill(pair.status()["pid"], signal.SIGKILL)
    wait_for(lambda: traces.found() == [])
    pair.up()
    assert ssh(pair, "one", "true").returncode == 0


def test_killed_supervisor_and_cleaner_are_tidied_by_down(pair: Lab) -> None:
    traces = Traces(pair.name, 2)
    pair.up()
    session = os.getpgid(pair.status()["pid"])
    cleaners = [p for p in _children(pair.status()["pid"]) if os.getpgid(p) not in (session,)]
    for pid in [*cleaners, pair.status()["pid"]]:
        os.kill(pid, signal.SIGKILL)
    gone(traces)
    assert traces.found()
    pair.down()
    nothing_left(traces)


def _children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("after", [0.05, 0.3, 0.6])
def test_up_killed_half_way_leaves_nothing(pair: Lab, after: float) -> None:
    """Six hosts, which take more than a second: an `up` that has ended leaves a lab, and rightly so."""
    guests = [Guest(f"g{n}", f"172.16.168.{n}") for n in range(20, 26)]
    traces = Traces(pair.name, len(guests))
    script = (
        f"from swarmops.lab import Lab, Guest\nprint('go', flush=True)\n"
        f"Lab({pair.name!r}, {guests!r}).up()\nprint('up', flush=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"go\n"
    time.sleep(after)  # a point in its boot; what matters is that there are several
    process.kill()
    assert b"up" not in process.stdout.read(), "too late: the lab was up"
    process.wait()
    gone(traces)
    pair.down()
    nothing_left(traces)
