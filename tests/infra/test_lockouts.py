"""Debian 12 hosts: the roles on Redis 7.0, changes that lock us out, a host that is reached by way of another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmops.lab import Guest
from tests.infra.fleet import Said
from tests.infra.small import Small, until

ADDRESS = {"gate-1": "10.71.0.11", "far-1": "10.71.0.12"}
MESH = {"gate-1": "10.73.0.11", "far-1": "10.73.0.12"}
CONTROLLER = "10.71.0.1"
# What cuts us off at once, as a role of the project's own. `how` chooses.
LOCKOUT = """
role: lockout
vars: {how: none, key: ""}
tasks:
  - name: let nobody in
    copy:
      content: "AllowUsers nobody\\n"
      dest: /etc/ssh/sshd_config.d/05-lockout.conf
      validate: /usr/sbin/sshd -t -f %s
    when: how == 'users'
    notify: reload sshd
    guard: true
  - name: let somebody else in
    authorized_key: {user: ops, key: "{{ key }}", exclusive: true}
    when: how == 'keys'
    guard: true
handlers:
  - {name: reload sshd, systemd: {name: ssh, state: reloaded}, guard: true}
"""
SOMEBODY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6kLrTtW0rTN0JbNg6nI9eJpGFc9yYl1dD0mK0B0cZp somebody"
JUMP_ONLY = """
table inet jump_only
delete table inet jump_only
table inet jump_only {
  chain in {
    type filter hook input priority -10
    ip saddr 10.71.0.1 tcp dport 22 drop
  }
}
"""


def declare(small: Small, far: dict[str, Any] | None = None, gate_mesh: str = MESH["gate-1"], **common: Any) -> None:
    hosts: dict[str, dict[str, Any]] = {
        name: {"ansible_host": address, "mesh_address": MESH[name]} for name, address in ADDRESS.items()
    }
    hosts["gate-1"]["mesh_address"] = gate_mesh
    hosts["far-1"] |= far or {}
    inside = [f"{a}/32" for a in (CONTROLLER, ADDRESS["gate-1"], MESH["gate-1"])]
    roles = {"base": "all", "wireguard": "all", "redis": "gate-1", "client": "far-1", "lockout": "far-1"}
    sections = {
        "deployment": {"name": "jump", "tier": "lan"},
        "infrastructure": {**roles, "firewall": "all"},
        "services": {"redis": {"port": 6379, "maxmemory": "64mb", "maxclients": 15000}},
        "network": {"controllers": inside, "mesh": {"mode": "wireguard", "range": "10.73.0.0/24"}},
    }
    small.file("roles/lockout/role.yaml", LOCKOUT)
    small.declare(sections, {"all_hosts": hosts}, **common)


@pytest.fixture(scope="module")
def fleet(can_lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """Two Debian 12 hosts, deployed."""
    guests = [Guest(name, address) for name, address in ADDRESS.items()]
    small = Small.up("lockouts", guests, tmp_path_factory.mktemp("lockouts"), release="bookworm")
    try:
        declare(small)
        assert small.controller.run("secrets", "init").code == 0
        first = small.controller.deploy()
        assert first.code == 0, first
        yield small
    finally:
        small.lab.down(now=True)


@pytest.fixture(autouse=True)
def plain(fleet: Small) -> Iterator[None]:
    """The inventory as it was."""
    yield
    declare(fleet)
    fleet.on("far-1", "nft delete table inet jump_only 2>/dev/null; true")


def settled(small: Small, *args: str) -> None:
    """The next deploy completes what there is to do, the one after changes nothing."""
    again = small.controller.deploy(*args)
    assert again.code == 0, again
    last = small.controller.deploy(*args)
    assert last.code == 0 and small.controller.changed(last) == [], last


def no_window_left(small: Small) -> None:
    left = "systemctl list-units --all --no-legend 'swarmops-rollback*'; ls /var/lib/swarmops/rollback 2>/dev/null; "
    assert small.on("far-1", left + "ls /etc/systemd/system/swarmops-undo.service 2>/dev/null", well=False) == ""


# -- Debian 12


def test_debian_12_is_deployed_once_and_is_well(fleet: Small) -> None:
    """Redis 7.0 and systemd 252: nothing to do in a second run, as many files as clients, health is green."""
    again = fleet.controller.deploy()
    assert again.code == 0 and fleet.controller.changed(again) == [], again
    assert fleet.on("gate-1", "redis-server --version").startswith("Redis server v=7.0.")
    limits = fleet.on("gate-1", "grep 'open files' /proc/$(systemctl show -p MainPID --value redis-server)/limits")
    assert limits.split()[3:5] == ["16024", "16024"]
    assert fleet.ask("gate-1", "info", "clients").count("maxclients:15000") == 1
    seen = fleet.health()
    assert seen["exit"] == 0, seen["bad"]
    assert len([c for h in seen["hosts"] for c in h["checks"]]) > 20


# -- locked out


def locked_out(small: Small, said: Said, step: str) -> None:
    why = small.controller.failed(said)[f"far-1 {step}"]
    assert said.code == 1 and "rolled back: no new connection came within 4 s" in why, said
    no_window_left(small)


@pytest.mark.parametrize(("how", "step"), [("users", "let nobody in"), ("keys", "let somebody else in")])
def test_an_sshd_that_lets_us_in_no_more_is_put_back(fleet: Small, how: str, step: str) -> None:
    """F32: while the window is open nobody gets in; then the host undoes it by itself."""
    keys = fleet.on("far-1", "cat /home/ops/.ssh/authorized_keys; stat -c '%U %a' /home/ops/.ssh/authorized_keys")
    extra = ("-e", f"lockout_how={how}", "-e", f"lockout_key={SOMEBODY}", "-l", "far-1", "-t", "lockout")
    child = fleet.controller.start("deploy", "lan", "--yes", "--json", "--confirm", "4", *extra)
    ssh = ["ssh", "-F", str(fleet.lab.files.ssh_config), "-o", "BatchMode=yes", "far-1", "true"]
    try:
        # The lock-out is a real one: else this test would prove nothing.
        until(lambda: "Permission denied" in fleet.lab.exec(None, ssh).stderr, 20, "a login that is refused")
    finally:
        out, err = child.communicate(timeout=60)
    locked_out(fleet, Said(child.returncode, out, err), f"lockout/{step}")
    assert not fleet.on("far-1", "ls /etc/ssh/sshd_config.d | grep lockout", well=False)
    after = fleet.on("far-1", "cat /home/ops/.ssh/authorized_keys; stat -c '%U %a' /home/ops/.ssh/authorized_keys")
    assert after == keys
    assert fleet.lab.exec(None, ssh).returncode == 0
    settled(fleet, "-l", "far-1")


def test_sshd_settings_that_keep_us_in_stay(fleet: Small) -> None:
    """The other way round: a guarded change that does no harm is confirmed, and no timer takes it back."""
    said = fleet.controller.deploy("-l", "far-1", "-t", "ssh", "-e", "base_ssh_max_auth_tries=2", "--confirm", "4")
    assert said.code == 0 and "far-1 base/harden sshd" in fleet.controller.changed(said), said
    no_window_left(fleet)
    assert "maxauthtries 2" in fleet.on("far-1", "sshd -T")
    settled(fleet, "-l", "far-1")


def test_a_tunnel_that_carries_our_login_is_put_back(fleet: Small) -> None:
    """F33: SSH goes through the tunnel; a wrong AllowedIPs for the way back would cut it."""
    through = {
        "ansible_host": MESH["far-1"],
        "ansible_ssh_common_args": f"-o ProxyJump=ops@{ADDRESS['gate-1']}",
    }
    declare(fleet, far=through)
    assert fleet.controller.run("keys", "pin", "lan", "-l", "far-1", "--yes").code == 0
    fleet.on("far-1", "nft -f - <<'END'" + JUMP_ONLY.replace("10.71.0.1 ", "10.71.0.0/24 ") + "END")
    before = fleet.on("far-1", "cat /etc/wireguard/wg0.conf")
    declare(fleet, far=through, gate_mesh="10.73.0.99")
    said = fleet.controller.deploy("-l", "far-1", "-t", "wireguard", "--confirm", "4")
    locked_out(fleet, said, "wireguard/name the peers")
    assert fleet.on("far-1", "cat /etc/wireguard/wg0.conf") == before
    declare(fleet, far=through)
    settled(fleet, "-l", "far-1")


@pytest.mark.parametrize(
    ("extra", "wrong", "right"),
    [
        (
            ("-t", "firewall", "-e", "firewall_ssh_port=2222"),
            "nft list chain inet swarmops input | grep 'dport 2222'",
            "nft list chain inet swarmops input | grep 'dport 22 accept'",
        ),
        (
            ("-t", "lockout", "-e", "lockout_how=users"),
            "sshd -T | grep -i 'allowusers nobody'",
            "sshd -T | grep 'maxauthtries 3'",
        ),
    ],
    ids=["firewall", "sshd"],
)
def test_a_host_that_loses_power_while_unconfirmed_boots_with_what_it_had(
    fleet: Small, extra: tuple[str, ...], wrong: str, right: str
) -> None:
    """F25, F31, F32: the timer dies with the host, so the next boot does its work, before anything listens."""
    child = fleet.controller.start(
        "deploy", "lan", "--yes", "--json", "-l", "far-1", "--confirm", "60", "--connect-timeout", "3", *extra
    )
    try:
        until(lambda: fleet.on("far-1", wrong, well=False), 20, "the wrong settings in force")
        assert fleet.on("far-1", "systemctl is-enabled swarmops-undo.service") == "enabled"
        fleet.lab.fault("poweroff", "far-1")
    finally:
        child.kill()
        child.wait(20)
    fleet.lab.start(["far-1"])
    fleet.lab.wait(["far-1"])
    fleet.on("far-1", right)
    assert not fleet.on("far-1", wrong, well=False)
    settled(fleet, "-l", "far-1")
    no_window_left(fleet)


# -- ways in


@pytest.fixture
def asking(fleet: Small) -> Iterator[str]:
    """far-1's sudo asks for a password: this one."""
    password = "jump over $the `quick` \"brown\" 'fox' \\ %s"  # a shell anywhere on the way would show
    done = fleet.lab.exec("far-1", ["chpasswd"], input=f"ops:{password}\n")
    assert done.returncode == 0, done.stderr
    fleet.on("far-1", "cp -a /etc/sudoers.d /root/kept; sed -i s/NOPASSWD:// /etc/sudoers.d/*")
    yield password
    fleet.on("far-1", "rm -rf /etc/sudoers.d; mv /root/kept /etc/sudoers.d; passwd -qd ops; usermod -L ops")


def test_sudo_that_asks_gets_its_password_and_nobody_else(fleet: Small, asking: str) -> None:
    """Guarded changes too: the new login of the proof has to become root as well."""
    without = fleet.controller.deploy("-l", "far-1")
    assert without.code == 3 and "sudo asks for a password" in without.json["hosts"]["far-1"]["reason"], without
    declare(fleet, far={"ansible_become_password": {"secret": "become.far"}})
    missing = fleet.controller.deploy("-l", "far-1")
    assert missing.code == 2 and "there is no secret 'become.far'" in missing.err, missing
    for wrong in (True, False):
        fleet.controller.env["SWARMOPS_SECRET_BECOME_FAR"] = "not the right one, dear" if wrong else asking
        said = fleet.controller.deploy("-l", "far-1", "-e", "base_ssh_max_auth_tries=2", "-e", "client_env={A_B: c}")
        if wrong:
            assert said.code == 3 and "password" in said.json["hosts"]["far-1"]["reason"], said
            continue
        assert said.code == 0, said
        changed = fleet.controller.changed(said)
        assert {"far-1 base/harden sshd", "far-1 client/write the environment file"} <= set(changed), changed
        assert asking not in said.out + said.err
    seen = fleet.health("-l", "far-1")
    assert seen["hosts"][0]["state"] == "OK", seen["bad"]
    settled(fleet, "-l", "far-1")
    del fleet.controller.env["SWARMOPS_SECRET_BECOME_FAR"]
    assert asking not in fleet.on("far-1", "journalctl -b --no-pager -o cat; cat /proc/[0-9]*/cmdline | tr '\\0' ' '")


@pytest.fixture
def behind(fleet: Small) -> dict[str, Any]:
    """far-1 answers only gate-1; the variables with which it is reached."""
    fleet.on("far-1", f"nft -f - <<'END'{JUMP_ONLY}END")
    return {"ansible_ssh_common_args": f"-o ProxyJump=ops@{ADDRESS['gate-1']}"}


def test_a_host_behind_another_is_reached_by_proxyjump(fleet: Small, behind: dict[str, Any]) -> None:
    """Deploy with a guarded change, health and backups by the way; without it the host is not there."""
    alone = fleet.controller.deploy("-l", "far-1", "--connect-timeout", "2")
    assert alone.code == 3 and alone.json["hosts"]["far-1"]["status"] == "unreachable", alone
    declare(fleet, far=behind)
    said = fleet.controller.deploy("-e", "base_ssh_max_auth_tries=2")
    assert said.code == 0 and "far-1 base/harden sshd" in fleet.controller.changed(said), said
    settled(fleet)
    seen = fleet.health("-l", "far-1")
    assert seen["hosts"][0]["state"] == "OK", seen["bad"]
    kept = fleet.controller.run("collect-backups", "lan", "-l", "far-1", "--to", str(fleet.root / "kept"))
    assert kept.code == 0, kept
    # The proof of a guarded change goes by the way too: what cuts only us, not gate-1, is no lock-out any more.
    out = fleet.controller.deploy("-l", "far-1", "-t", "firewall", "-e", "firewall_ssh_port=2222", "--confirm", "4")
    assert out.code == 1 and "rolled back" in " ".join(fleet.controller.failed(out).values()), out
    settled(fleet, "-l", "far-1")


def test_host_keys_are_scanned_and_pinned_by_the_way(fleet: Small, behind: dict[str, Any]) -> None:
    """S10, case 63: new, pinned, changed; a changed key is replaced only when that is said."""
    declare(fleet, far=behind)
    known = fleet.lab.files.controller / "known_hosts"
    kept = known.read_text()
    run = fleet.controller.run
    try:
        known.write_text("".join(line for line in kept.splitlines(True) if ADDRESS["far-1"] not in line))
        states = {s["host"]: s["state"] for s in run("keys", "scan", "lan", "--json").json}
        assert states == {"gate-1": "pinned", "far-1": "new"}
        assert run("keys", "scan", "lan").code == 1 and run("keys", "pin", "lan").code == 2
        refused = fleet.controller.deploy("-l", "far-1")
        assert refused.code == 3 and "not pinned" in refused.json["hosts"]["far-1"]["reason"], refused
        assert run("keys", "pin", "lan", "--yes").code == 0 and run("keys", "scan", "lan").code == 0
        assert fleet.controller.deploy("-l", "far-1").code == 0
        # Another machine's key under the name:
        mine, theirs = (line.split()[2] for line in kept.splitlines()[:2])
        known.write_text(known.read_text().replace(theirs, mine))
        assert run("keys", "scan", "lan", "-l", "far-1").code == 1
        kept_back = run("keys", "pin", "lan", "-l", "far-1", "--yes")
        assert kept_back.code == 1 and "has changed" in kept_back.err, kept_back
        refused = fleet.controller.deploy("-l", "far-1")
        assert refused.code == 3 and "has changed" in refused.json["hosts"]["far-1"]["reason"], refused
        assert run("keys", "pin", "lan", "-l", "far-1", "--yes", "--replace").code == 0
        assert fleet.controller.deploy("-l", "far-1").code == 0
    finally:
        known.write_text(kept)


def test_keys_setup_makes_installs_and_proves_a_key_once(fleet: Small, behind: dict[str, Any], tmp_path: Path) -> None:
    """S4-24."""
    declare(fleet, far=behind)
    key, config = tmp_path / "ssh" / "id", tmp_path / "config"
    config.write_text("Host mine\n  User me\n")
    words = ("keys", "setup", "lan", "--key", str(key), "--ssh-config", str(config))
    first = fleet.controller.run(*words)
    assert first.code == 0, first
    assert [line.split()[:2] for line in first.out.splitlines()] == [
        *(["made", str(key)], ["added", "far-1"], ["added", "gate-1"], ["changed", str(config)])
    ]
    assert oct(key.stat().st_mode)[-3:] == "600" and key.with_suffix(".pub").read_text().startswith("ssh-ed25519 ")
    made = key.read_bytes(), config.read_text()
    second = fleet.controller.run(*words)
    assert second.code == 0, second
    assert [line.split()[0] for line in second.out.splitlines()] == ["kept", "there", "there", "ok"]
    assert (key.read_bytes(), config.read_text()) == made and made[1].startswith("Host mine\n  User me\n")
    public = key.with_suffix(".pub").read_text().split()[1]
    assert fleet.on("far-1", f"grep -c '{public}' /home/ops/.ssh/authorized_keys") == "1"
    # With that key and that file alone, for ssh and for us:
    for host in ADDRESS:
        ssh = fleet.lab.exec(None, ["ssh", "-F", str(config), "-o", "BatchMode=yes", host, "hostname"])
        assert ssh.stdout.strip() == host, ssh.stderr
    fleet.controller.env["SWARMOPS_SSH_CONFIG"] = str(config)
    try:
        declare(fleet, far=behind, ansible_ssh_private_key_file=str(key))
        said = fleet.controller.deploy()
        assert said.code == 0 and fleet.controller.changed(said) == [], said
    finally:
        del fleet.controller.env["SWARMOPS_SSH_CONFIG"]


def test_keys_setup_tells_when_the_new_key_does_not_open_the_door(fleet: Small, tmp_path: Path) -> None:
    """Installed is not proven: far-1 reads its keys from elsewhere."""
    keys = "AuthorizedKeysFile /etc/ssh/keys-%u"
    fleet.on("far-1", "cp /home/ops/.ssh/authorized_keys /etc/ssh/keys-ops; chmod 644 /etc/ssh/keys-ops")
    fleet.on("far-1", f"echo '{keys}' > /etc/ssh/sshd_config.d/20-keys.conf; systemctl reload ssh")
    try:
        said = fleet.controller.run("keys", "setup", "lan", "--key", str(tmp_path / "ssh" / "id"))
        assert said.code == 1, said
        states = {line.split()[1]: line.split()[0] for line in said.out.splitlines()}
        assert states["gate-1"] == "added" and states["far-1"] == "failed", said
        assert "refused the login" in said.out
    finally:
        fleet.on("far-1", "rm /etc/ssh/sshd_config.d/20-keys.conf; systemctl reload ssh")
