"""Delivery over a real sshd on loopback: pinning, distinct reasons, one exec, loss."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace

import pytest

from swarmops.delivery import hostkeys
from swarmops.delivery.fleet import Fleet
from swarmops.delivery.login_keys import make_key
from swarmops.delivery.transport import Transport, Unreachable
from tests.target.harness import command, landed, sha

DATA = b"over the wire\n"


def play(sshd, tmp_path, steps, contents=None, access=None, **more):
    fleet = Fleet([access or sshd.access], sshd.known_hosts, connect_timeout=30)
    envelope = {"mode": "apply", "steps": steps, "state": str(tmp_path / "state"), **more}
    events = [e for _, e in fleet.run({"here": envelope}, {"here": contents or {}})]
    fleet.close()
    return events


def test_one_exec_lands_a_file_and_a_second_run_is_ok(sshd, tmp_path):
    step = landed("r", tmp_path / "a", DATA)
    first = play(sshd, tmp_path, [step], {sha(DATA): DATA})
    assert [e["s"] for e in first if e["e"] == "step"] == ["changed"], first
    assert first[-1]["status"] == "done" and first[-1]["ok"]
    second = play(sshd, tmp_path, [step])
    assert [e["s"] for e in second if e["e"] == "step"] == ["ok"]


def test_an_unpinned_host_is_refused_and_scan_and_pin_cure_it(sshd, tmp_path):
    """Case 63, S10."""
    empty = tmp_path / "known_hosts"
    with pytest.raises(Unreachable, match="not pinned"):
        Transport(sshd.access, empty, 30).open()
    seen = hostkeys.scan([sshd.access], empty)
    assert [s.state for s in seen] == ["new"]
    assert hostkeys.pin(seen, {"here": sshd.access}, empty) == ["here"]
    Transport(sshd.access, empty, 30).open().close()
    assert [s.state for s in hostkeys.scan([sshd.access], empty)] == ["pinned"]


def test_a_changed_host_key_is_refused_with_both_fingerprints(sshd, tmp_path):
    make_key(tmp_path / "other")
    public = (tmp_path / "other.pub").read_text().split()
    wrong = tmp_path / "known_hosts"
    wrong.write_text(f"[127.0.0.1]:{sshd.port} {public[0]} {public[1]}\n")
    with pytest.raises(Unreachable, match=r"has changed: pinned SHA256:\S+ \(ssh-ed25519\), now SHA256:"):
        Transport(sshd.access, wrong, 30).open()
    assert [s.state for s in hostkeys.scan([sshd.access], wrong)] == ["changed"]


def test_reasons_are_distinct_and_bounded(sshd, tmp_path):
    closed = replace(sshd.access, hop=replace(sshd.access.hop, port=1))
    with pytest.raises(Unreachable) as e:
        Transport(closed, sshd.known_hosts, 30).open()
    assert e.value.kind == "refused"
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        frozen = replace(sshd.access, hop=replace(sshd.access.hop, port=mute.getsockname()[1]))
        began = time.monotonic()
        with pytest.raises(Unreachable) as e:
            Transport(frozen, sshd.known_hosts, 1).open()
        assert e.value.kind == "banner" and time.monotonic() - began < 20
    make_key(tmp_path / "stranger")
    unknown = replace(sshd.access, hop=replace(sshd.access.hop, keys=(str(tmp_path / "stranger"),)))
    with pytest.raises(Unreachable) as e:
        Transport(unknown, sshd.known_hosts, 30).open()
    assert e.value.kind == "login"


def test_a_host_without_python_is_named(sshd, tmp_path):
    """Case 65."""
    end = play(sshd, tmp_path, [], access=replace(sshd.access, python="/no/such/python3"))[-1]
    assert end["status"] == "unreachable" and "/no/such/python3 is not there" in end["reason"]


def test_a_jump_host_is_pinned_too(sshd, tmp_path):
    step = landed("r", tmp_path / "a", DATA)
    jumped = replace(sshd.access, jumps=(sshd.access.hop,))
    assert play(sshd, tmp_path, [step], {sha(DATA): DATA}, access=jumped)[-1]["status"] == "done"
    with pytest.raises(Unreachable, match="not pinned"):
        Transport(jumped, tmp_path / "none", 30).open()


def test_a_cut_connection_names_the_reason_and_the_next_run_completes(sshd, tmp_path):
    """F24 in small: the connection's sshd is killed while a step runs."""
    pid = tmp_path / "pid"
    kill = ["/bin/sh", "-c", f'p=$PPID; until grep -q "^sshd" /proc/$p/comm; do '
            f'p=$(sed "s/.*) . //;s/ .*//" /proc/$p/stat); done; echo $p > {pid}; kill -9 $p']  # fmt: skip
    steps = [command("r", "cut", kill, args={"creates": str(pid)}), landed("r", tmp_path / "a", DATA)]
    end = play(sshd, tmp_path, steps, {sha(DATA): DATA})[-1]
    assert end["status"] == "lost", end
    again = play(sshd, tmp_path, steps, {sha(DATA): DATA})
    assert again[-1]["ok"] and (tmp_path / "a").read_bytes() == DATA
    assert [e["s"] for e in play(sshd, tmp_path, steps) if e["e"] == "step"] == ["ok", "ok"]


def test_a_fleet_deadline_leaves_slow_hosts_behind(sshd, tmp_path):
    fleet = Fleet([sshd.access], sshd.known_hosts)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    envelope = {"mode": "apply", "steps": [command("r", "w", ["/bin/cat", str(gate)])], "state": str(tmp_path / "s")}
    began = time.monotonic()
    events = [e for _, e in fleet.run({"here": envelope}, deadline=3)]
    assert events[-1]["status"] == "timeout" and time.monotonic() - began < 40
    end = os.open(gate, os.O_RDWR)  # which waits for nobody, should the step not have begun
    fleet.close()
    os.close(end)
