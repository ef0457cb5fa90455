"""Each validator against one right file and the mistakes it is there for, with the real programs.

What is not installed must be named, so these tests fail rather than skip where a program is missing that CI installs.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import pytest

from swarmops.planning import validators
from swarmops.planning.validators import tailscale

NFT = """table inet swarmops {}
delete table inet swarmops
table inet swarmops {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        ip saddr 192.0.2.1 tcp dport 22 accept comment "ssh"
        counter drop
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
    }
}
"""
REDIS = """bind 127.0.0.1 -10.77.0.2
protected-mode yes
port 6379
dir /var/lib/redis
aclfile /etc/redis/users.acl
save 900 1
save 300 10
maxmemory 64mb
maxmemory-policy noeviction
"""
ACL = f"user default off\nuser app on #{'ab' * 32} ~swarm:* &swarm:* -@all +get +set\n"
SSHD = """PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxAuthTries 3
LoginGraceTime 30
X11Forwarding no
AllowAgentForwarding no
KexAlgorithms sntrup761x25519-sha512@openssh.com,curve25519-sha256
MACs hmac-sha2-512-etm@openssh.com
"""
UNIT = """[Unit]
Description=x
[Service]
ExecStart=/opt/not/here --x
Restart=always
[Install]
WantedBy=multi-user.target
"""
WG = """[Interface]
ListenPort = 51820
[Peer]
PublicKey = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
AllowedIPs = 10.77.0.2/32
"""
UFW = "*filter\n:ufw-user-input - [0:0]\n-A ufw-user-input -p tcp --dport 22 -s 192.0.2.1 -j ACCEPT\nCOMMIT\n"


@dataclass
class Rendered:
    path: str
    sha: str
    secret: bool = False


def judge(**files: str) -> tuple[list[tuple[str, int, str]], validators.Tools]:
    """Findings as (file name, line, sentence). Names: the last part of the path, dots as underscores."""
    contents = {hashlib.sha256(text.encode()).hexdigest(): text.encode() for text in files.values()}
    rendered = [Rendered(PATHS[n], hashlib.sha256(t.encode()).hexdigest()) for n, t in files.items()]
    with validators.Tools(contents) as tools:
        found = validators.validate_all(rendered, tools)
    return [(file.path.rsplit("/", 1)[-1], line, sentence) for file, line, sentence in found], tools


PATHS = {
    "nft": "/etc/nftables.conf",
    "redis": "/etc/redis/redis.conf",
    "acl": "/etc/redis/users.acl",
    "sshd": "/etc/ssh/sshd_config.d/10-swarmops.conf",
    "unit": "/etc/systemd/system/swarmops-x.service",
    "dropin": "/etc/systemd/system/redis-server.service.d/10-swarmops.conf",
    "wg": "/etc/wireguard/wg0.conf",
    "policy": "/etc/swarmops/tailscale/policy.json",
    "ufw": "/etc/ufw/user.rules",
}


def test_right_files_pass_and_every_program_ran() -> None:
    found, tools = judge(nft=NFT, redis=REDIS, acl=ACL, sshd=SSHD, unit=UNIT, wg=WG, ufw=UFW)
    assert found == []
    assert {"nft", "redis-server", "sshd", "systemd-analyze", "wg"} <= set(tools.ran)


def test_a_missing_program_is_named_as_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validators.shutil, "which", lambda *a, **k: None)
    found, tools = judge(nft=NFT, redis=REDIS, acl=ACL, sshd=SSHD, unit=UNIT, wg=WG)
    assert found == []
    assert set(tools.not_run) == {"nft", "redis-server", "sshd", "systemd-analyze", "wg"}
    assert tools.not_run["nft"] == "not installed here, so firewall rule sets are not judged by it"


def test_equal_files_of_many_hosts_are_judged_once() -> None:
    sha = hashlib.sha256(NFT.encode()).hexdigest()
    with validators.Tools({sha: NFT.encode()}) as tools:
        for _ in range(3):
            validators.validate_all([Rendered(PATHS["nft"], sha)], tools)
    assert tools.ran == {"nft": 1}


# nftables


def test_nft_names_line_and_words() -> None:
    found, _ = judge(nft=NFT.replace("tcp dport 22", "tcp dprt 22"))
    assert found and found[0][:2] == ("nftables.conf", 7) and "syntax error" in found[0][2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (NFT.replace('        ip saddr 192.0.2.1 tcp dport 22 accept comment "ssh"\n', ""), "nobody may reach SSH"),
        (NFT.replace("input priority filter; policy drop", "input priority filter; policy accept"), "must say"),
        (NFT.replace("delete table inet swarmops\n", ""), "the old table is not deleted first"),
        ("flush ruleset\n" + NFT, "other programs' tables"),
        (
            NFT.replace("        ip saddr", "        ip saddr 192.0.2.0/24 drop\n        ip saddr"),
            "before the SSH accept",
        ),
    ],
)
def test_a_rule_set_that_locks_us_out_is_refused(text: str, said: str) -> None:
    found, _ = judge(nft=text)
    assert any(said in sentence for _, _, sentence in found), found


# Redis


def test_case_s0_13_a_comment_behind_a_value() -> None:
    found, tools = judge(redis=REDIS.replace("port 6379", "port 6379 # default"), acl=ACL)
    assert found[0][:2] == ("redis.conf", 3) and "no comments behind a value" in found[0][2]
    assert "redis-server" not in tools.ran


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("maxmemory 64mb", "maxmemory 64 mb", 8, "wrong number of arguments"),
        ("maxmemory-policy", "maxmemory-polcy", 9, "Bad directive"),
        ("port 6379", "port 70000", 3, "between 0 and 65535"),
        ("save 300 10", "save 300", 7, "Invalid save parameters"),
        ("protected-mode yes", "protected-mode no", 2, "must stay 'yes'"),
        ("bind 127.0.0.1", "bind 0.0.0.0", 1, "must not listen on all"),
        ("port 6379", "port 6379\nrequirepass geheimgeheim", 4, "use the ACL file"),
    ],
)
def test_a_bad_redis_conf_has_its_line(old: str, new: str, line: int, said: str) -> None:
    found, _ = judge(redis=REDIS.replace(old, new), acl=ACL)
    assert len(found) == 1 and found[0][:2] == ("redis.conf", line) and said in found[0][2], found


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (ACL.replace("#ab", ">ab"), 2, "a password in plain text"),
        (ACL.replace("user default off\n", ""), 0, "the default user is not turned off"),
        (ACL.replace("default off", "default on nopass"), 1, "without a password"),
        (ACL.replace("+set", "+sett"), 2, "Unknown command"),
        (ACL.replace("abab", "", 1), 2, "not 64 hex digits"),
        (ACL + ACL.splitlines()[1] + "\n", 3, "given twice"),
    ],
)
def test_a_bad_users_acl_has_its_line(text: str, line: int, said: str) -> None:
    found, _ = judge(redis=REDIS, acl=text)
    assert any(f[:2] == ("users.acl", line) and said in f[2] for f in found), found


def test_the_hosts_redis_may_know_vector_sets_where_ours_does_not() -> None:
    assert judge(redis=REDIS, acl=ACL.replace("+set", "+set +vadd +vsim +vrem +vcard"))[0] == []


def test_no_sentence_quotes_a_password_of_redis_conf() -> None:
    found, _ = judge(redis=REDIS + 'masterauth "geheim-und-lang" zuviel\n', acl=ACL)
    assert found and "geheim" not in str(found)


# systemd, sshd


def test_systemd_any_word_is_a_fault_but_what_is_only_on_the_host() -> None:
    found, _ = judge(unit=UNIT.replace("Restart=", "Restrat="), dropin="[Service]\nLimitNOFILES=9\n")
    assert {(f[0], f[1]) for f in found} == {("swarmops-x.service", 5), ("10-swarmops.conf", 2)}


def test_sshd_names_the_line() -> None:
    found, _ = judge(sshd=SSHD.replace("MaxAuthTries 3", "MaxAuthTris 3"))
    assert found[0][:2] == ("10-swarmops.conf", 4)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("PasswordAuthentication no", "PasswordAuthentication yes", "passwordauthentication"),
        ("MaxAuthTries 3", "MaxAuthTries 6", "maxauthtries"),
        ("LoginGraceTime 30", "LoginGraceTime 0", "logingracetime"),
        ("hmac-sha2-512-etm@openssh.com", "hmac-sha2-512-etm@openssh.com,hmac-sha1", "macs"),
        ("curve25519-sha256", "curve25519-sha256,ecdh-sha2-nistp256", "kexalgorithms"),
    ],
)
def test_sshd_weaker_than_the_baseline(old: str, new: str, name: str) -> None:
    found, _ = judge(sshd=SSHD.replace(old, new))
    assert len(found) == 1 and f"{name} is" in found[0][2], found


# ufw


def test_ufw_an_allow_behind_a_deny_never_matches() -> None:
    """S0-34 as the source wrote it: deny first, the later added source locked out."""
    deny = "-A ufw-user-input -p tcp --dport 6379 -j DROP\n"
    late = "-A ufw-user-input -p tcp --dport 6379 -s 203.0.113.9 -j ACCEPT\n"
    found, _ = judge(ufw=UFW.replace("COMMIT", deny + late + "COMMIT"))
    assert [(f[1], f[2]) for f in found] == [(5, "never matches: line 4 denies the same before it")]


def test_ufw_without_ssh() -> None:
    found, _ = judge(ufw="*filter\nCOMMIT\n")
    assert any("nobody may reach SSH" in f[2] for f in found)


# WireGuard: the parser has tests of its own; here that both judges are asked.


def test_wireguard_by_the_parser_and_by_wg() -> None:
    found, tools = judge(wg=WG.replace("AllowedIPs", "AlowedIPs"))
    assert any("did you mean 'AllowedIPs'?" in f[2] for f in found) and "wg" not in tools.ran
    assert validators.wireguard._judge(WG.replace("ListenPort", "LstenPort"), validators.Tools({}))


# Tailscale

POLICY = {
    "tagOwners": {"tag:redis": ["autogroup:admin"], "tag:web": ["autogroup:admin"]},
    "grants": [{"src": ["tag:web"], "dst": ["tag:redis"], "ip": ["tcp:6379"]}],
    "tests": [{"src": "tag:web", "accept": ["tag:redis:6379"], "deny": ["tag:redis:22"]}],
}


def policy(**changes) -> str:
    return json.dumps({**POLICY, **changes}, indent=2)


def test_a_policy_whose_tests_hold() -> None:
    found, tools = judge(policy=policy())
    assert found == []
    assert "headscale" in {**tools.ran, **tools.not_run}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (policy(tests=[{"src": "tag:web", "deny": ["tag:redis:6379"]}]), "can reach tag:redis:6379"),
        (policy(tests=[{"src": "tag:web", "accept": ["tag:redis:22"]}]), "cannot reach tag:redis:22"),
        (policy(tests=[]), "no tests"),
        (policy(grants=[{"src": ["tag:wbe"], "dst": ["tag:redis"], "ip": ["*"]}]), "'tag:wbe' is not defined"),
        (policy(grants=[{"src": ["*"], "dst": ["tag:redis"], "ip": ["tcp:70000"]}]), "is not '*', a port"),
        (policy(acls=[]), "unknown section 'acls' (use grants)"),
        ('{"tests": [], "tests": []}', "given twice"),
        ("{", "not JSON"),
    ],
)
def test_a_policy_that_is_wrong(text: str, said: str) -> None:
    assert any(said in sentence for _, sentence in tailscale.check(text)), tailscale.check(text)


def test_groups_hosts_and_addresses_are_understood() -> None:
    made = {
        "groups": {"group:ops": ["ada@example.com"]},
        "hosts": {"db": "100.64.0.5"},
        "grants": [{"src": ["group:ops"], "dst": ["100.64.0.0/24"], "ip": ["22", "8000-8010"]}],
    }
    assert tailscale.allowed(made, "ada@example.com", "tcp", "db", 22)
    assert tailscale.allowed(made, "ada@example.com", "udp", "db", 8005)
    assert not tailscale.allowed(made, "bob@example.com", "tcp", "db", 22)
    assert not tailscale.allowed(made, "ada@example.com", "tcp", "100.64.1.1", 22)
