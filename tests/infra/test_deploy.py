"""The six-host story on real hosts: the shipped project, deployed, looked at from inside and outside."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from testinfra.host import Host

from swarmops.lab import Lab
from tests.infra.fleet import SERVICES, Controller, Said, shipped

ROOT = Path(__file__).parents[2]
MESH = {"coordinator-1": 20, "frontend-1": 21, "npu-1": 22, "redis-1": 23, "ai-1": 24, "browser-1": 25}
PING = (
    "import socket,sys\n"
    "s=socket.socket(); s.settimeout(1.5)\n"
    "try: s.connect((sys.argv[1], int(sys.argv[2]))); s.sendall(b'PING\\r\\n'); print(s.recv(60).decode())\n"
    "except OSError as e: print('no connection', e)\n"
)


@pytest.fixture(scope="module")
def fleet(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Controller:
    """The shipped project deployed once, with secrets of the tests' own; what its services do is told in
    test_services_story.py."""
    lab.reset()
    for name in ("peers.json", "machines.json", "failed.json"):
        (lab.files.controller / name).unlink(missing_ok=True)
    folder = tmp_path_factory.mktemp("secrets")
    folder.chmod(0o700)
    controller = Controller(
        lab,
        shipped(tmp_path_factory.mktemp("project"), without=SERVICES),
        {"SWARMOPS_SECRETS": str(folder / "secrets.yaml")},
    )
    made = controller.run("secrets", "init", "-i", "lan")
    assert made.code == 0, made
    first = controller.deploy()
    assert first.code == 0, first
    controller.first = first  # type: ignore[attr-defined]
    return controller


def secrets(fleet: Controller) -> list[str]:
    text = Path(fleet.env["SWARMOPS_SECRETS"]).read_text()
    return re.findall(r"value: ['\"]?([\w\-/+=]{16,})", text)


def test_a_second_deploy_changes_nothing_in_one_exec_a_host(fleet: Controller) -> None:
    second = fleet.deploy()
    assert second.code == 0 and fleet.changed(second) == [], second
    assert set(second.json["recap"]["execs"].values()) == {1}


def test_check_shows_exactly_what_then_changes(fleet: Controller) -> None:
    wish = ("-e", "redis_maxclients=5000", "-e", "base_sysctl={net.ipv4.tcp_syncookies: 0}")
    looked = fleet.run("deploy", "lan", "--json", "-C", "-D", "--detailed-exitcode", *wish)
    assert looked.code == 4, looked
    would = fleet.changed(looked)
    conf = next(s for s in looked.json["steps"] if s["id"] == "redis/write redis.conf")
    assert "+maxclients 5000" in conf["diff"]
    applied = fleet.deploy(*wish)
    assert applied.code == 0 and fleet.changed(applied) == would, (would, fleet.changed(applied))
    back = fleet.deploy()
    assert back.code == 0 and fleet.changed(back), back


def test_redis_listens_on_named_addresses_and_wants_a_password(fleet: Controller, lab_hosts: dict[str, Host]) -> None:
    """S1, S2, S5, S0-10, S0-11."""
    redis = lab_hosts["redis-1"]
    listening = {
        s.split("://")[1].rsplit(":", 1)[0] for s in redis.socket.get_listening_sockets() if s.endswith(":6379")
    }
    assert listening <= {"127.0.0.1", "::1", "172.16.168.23", "10.77.0.23"} and "10.77.0.23" in listening
    assert (
        redis.run("redis-cli -e ping").stdout.startswith("NOAUTH") or "NOAUTH" in redis.run("redis-cli -e ping").stderr
    )
    conf = redis.file("/etc/redis/redis.conf")
    assert conf.mode in (0o640, 0o600) and conf.user == "redis"
    assert "protected-mode yes" in conf.content_string and "maxmemory-policy noeviction" in conf.content_string
    acl = redis.file("/etc/redis/users.acl").content_string
    assert "user default off" in acl and ">" not in acl and re.search(r"#[0-9a-f]{64}", acl)


@pytest.mark.parametrize("host", [h for h in MESH if h != "redis-1"])
def test_only_the_right_hosts_reach_redis(fleet: Controller, host: str) -> None:
    """S4-33: the mesh carries it for those who need it, nobody else gets a packet through."""
    said = fleet.lab.exec(host, ["python3", "-c", PING, "10.77.0.23", "6379"]).stdout
    if host == "frontend-1":
        assert "no connection" in said
    else:
        assert "NOAUTH" in said


def test_a_stranger_reaches_nothing(fleet: Controller) -> None:
    """S6: every service port of every host, from outside the subnet."""
    for last in MESH.values():
        for port in (22, 6379, 8002):
            said = fleet.lab.outside_exec(["python3", "-c", PING, f"172.16.168.{last}", str(port)]).stdout
            assert "no connection" in said, (last, port, said)


def test_every_host_reaches_every_other_through_the_tunnel(fleet: Controller) -> None:
    """S0-36, S25."""
    for host in MESH:
        others = " ".join(f"10.77.0.{n}" for h, n in MESH.items() if h != host)
        said = fleet.lab.exec(
            host, ["sh", "-c", f"for a in {others}; do ping -c1 -W2 -q $a >/dev/null || echo $a; done"]
        )
        assert said.stdout == "", (host, said.stdout)
        dump = fleet.lab.exec(host, ["wg", "show", "wg0", "dump"]).stdout.splitlines()[1:]
        assert len(dump) == len(MESH) - 1
        for peer in dump:
            _, psk, _, allowed, handshake = peer.split("\t")[:5]
            assert psk != "(none)" and allowed.endswith("/32") and int(handshake) > 0


def test_the_tunnel_comes_back_when_its_daemon_is_killed(fleet: Controller, lab_hosts: dict[str, Host]) -> None:
    """F17, without any deploy."""
    lab = fleet.lab
    before = lab.exec("ai-1", ["systemctl", "show", "-p", "MainPID", "--value", "swarmops-wg0"]).stdout.strip()
    lab.exec("ai-1", ["pkill", "-9", "wireguard-go"])
    wait = "for i in $(seq 100); do ping -c1 -W1 -q 10.77.0.23 >/dev/null 2>&1 && exit 0; done; exit 1"
    assert lab.exec("ai-1", ["sh", "-c", wait]).returncode == 0
    assert lab.exec("ai-1", ["systemctl", "show", "-p", "MainPID", "--value", "swarmops-wg0"]).stdout.strip() != before


def test_sshd_is_hardened_and_refuses_passwords(fleet: Controller, lab_hosts: dict[str, Host]) -> None:
    """S8, S9."""
    for name, host in lab_hosts.items():
        said = dict(line.split(None, 1) for line in host.run("sshd -T").stdout.splitlines() if " " in line)
        assert said["passwordauthentication"] == "no" and said["kbdinteractiveauthentication"] == "no", name
        assert said["permitrootlogin"] in ("no", "without-password", "prohibit-password")
        assert int(said["maxauthtries"]) <= 3 and said["x11forwarding"] == "no" and said["allowagentforwarding"] == "no"
        assert "sha1" not in said["macs"] and "umac-64" not in said["macs"]
    options = ["-o", "PubkeyAuthentication=no", "-o", "BatchMode=yes", "-F", str(fleet.lab.files.ssh_config)]
    said = fleet.lab.exec(None, ["ssh", *options, "redis-1", "true"])
    assert said.returncode == 255 and "Permission denied (publickey)" in said.stderr


def test_the_firewall_drops_by_default_and_survives_a_reboot(fleet: Controller, lab_hosts: dict[str, Host]) -> None:
    """S7."""

    def chains() -> dict[str, str]:
        rules = json.loads(lab_hosts["npu-1"].run("nft -j list ruleset").stdout)["nftables"]
        return {c["chain"]["hook"]: c["chain"]["policy"] for c in rules if "chain" in c and "hook" in c["chain"]}

    assert chains()["input"] == "drop" and chains()["forward"] == "drop"
    fleet.lab.reboot(["npu-1"])
    assert chains()["input"] == "drop"
    again = fleet.deploy("-l", "npu-1")
    assert again.code == 0 and fleet.changed(again) == [], again


def test_a_bad_redis_conf_never_stops_the_running_redis(fleet: Controller, lab_hosts: dict[str, Host]) -> None:
    """F29."""
    redis = lab_hosts["redis-1"]
    before = redis.run("systemctl show -p MainPID --value redis-server").stdout
    said = fleet.deploy("-l", "redis-1", "-e", "redis_save=['nonsense here']")
    assert said.code in (1, 2), said
    if said.code == 1:
        why = fleet.failed(said)["redis-1 redis/write redis.conf"]
        assert "not valid, the old one stays" in why
    assert redis.run("systemctl show -p MainPID --value redis-server").stdout == before
    after = fleet.deploy("-l", "redis-1")
    assert after.code == 0 and fleet.changed(after) == [], after


def test_rules_that_lock_us_out_are_rolled_back_by_the_host(fleet: Controller, lab_hosts: dict[str, Host]) -> None:
    """F31: proven from outside, by a new login afterwards."""
    said = fleet.deploy("-l", "browser-1", "-t", "firewall", "-e", "firewall_ssh_port=2222", "--confirm", "5")
    assert said.code == 1, said
    assert "rolled back: no new connection came within 5 s" in " ".join(fleet.failed(said).values()), said
    again = fleet.deploy("-l", "browser-1")
    assert again.code == 0 and fleet.changed(again) == [], again
    timers = lab_hosts["browser-1"].run("systemctl list-timers --all --no-legend 'swarmops-rollback*'").stdout
    assert timers.strip() == ""
    assert not lab_hosts["browser-1"].file("/etc/systemd/system/swarmops-undo.service").exists


def test_a_lock_out_is_undone_though_the_controller_is_killed(fleet: Controller) -> None:
    """F31: the timer is the host's own."""
    child = fleet.start(
        *("deploy", "lan", "--yes", "--format", "jsonl", "-l", "frontend-1", "-t", "firewall"),
        *("-e", "firewall_ssh_port=2222", "--confirm", "6"),
    )
    wait = (
        "for i in $(seq 300); do systemctl is-active -q 'swarmops-rollback-*.timer' && exit 0; sleep 0.05; done; exit 1"
    )
    assert fleet.lab.exec("frontend-1", ["sh", "-c", wait]).returncode == 0
    child.kill()
    child.wait()
    gone = (
        "for i in $(seq 300); do systemctl is-active -q 'swarmops-rollback-*.timer' || exit 0; sleep 0.05; done; exit 1"
    )
    assert fleet.lab.exec("frontend-1", ["sh", "-c", gone]).returncode == 0
    again = fleet.deploy("-l", "frontend-1")
    assert again.code == 0, again
    assert fleet.changed(fleet.deploy("-l", "frontend-1")) == []


def test_no_secret_leaks(fleet: Controller, lab_hosts: dict[str, Host], tmp_path: Path) -> None:
    """S12: canaries are every secret of the store."""
    canaries = secrets(fleet)
    assert len(canaries) >= 4
    said: list[Said] = [fleet.first]  # type: ignore[attr-defined]
    said.append(fleet.run("deploy", "lan", "--yes", "-v", "-D", "-e", "redis_maxclients=4000"))
    said.append(fleet.run("deploy", "lan", "--format", "jsonl", "-C", "-D"))
    said.append(fleet.run("check-health", "lan", "--json"))
    said.append(fleet.deploy())
    text = "".join(s.out + s.err for s in said)
    for host in lab_hosts.values():
        text += host.run(
            "journalctl -b --no-pager -o cat; cat /proc/[0-9]*/cmdline /etc/systemd/system/* 2>/dev/null"
        ).stdout
    patterns = [word for c in canaries for word in ("-e", c)]
    git = subprocess.run(["git", "grep", "-lF", *patterns], cwd=ROOT, capture_output=True)
    assert git.stdout == b""
    assert [c[:4] for c in canaries if c in text] == []


def test_modes_of_what_must_be_private(fleet: Controller, lab_hosts: dict[str, Host]) -> None:
    """S11."""
    for name, host in lab_hosts.items():
        for path in ("/etc/wireguard/private.key", "/etc/wireguard/wg0.conf"):
            assert host.file(path).mode == 0o600 and host.file(path).user == "root", (name, path)
        assert host.file("/var/lib/swarmops").mode == 0o700
        if name != "redis-1":
            assert host.file("/etc/swarmops/.env").mode == 0o600
