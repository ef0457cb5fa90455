"""Case 61: a broken or hostile host. The controller stays bounded in memory and time and says in one line what was."""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from pathlib import Path

import pytest

from swarmops.delivery import session
from swarmops.delivery.fleet import Fleet
from swarmops.target import wire
from tests.delivery.hostile import HELLO, Hostile
from tests.target.harness import landed, sha

DATA, OTHERS = b"mine\n", b"of another host\n"
DONE = b'{"e":"done","ok":true}\n'


def line(**event) -> bytes:
    return json.dumps(event).encode() + b"\n"


@pytest.fixture
def host(tmp_path, monkeypatch):
    made = []

    def make(behave):
        monkeypatch.setattr(session, "LOST_AFTER", 2)
        made.append(Hostile(tmp_path, behave))
        return made[0]

    yield make
    for one in made:
        one.close()


def play(host, steps=(), contents=None, deadline=30, **more):
    fleet = Fleet([host.access], host.known_hosts, connect_timeout=5)
    envelope = {"mode": "apply", "steps": list(steps), **more}
    try:
        return [e for _, e in fleet.run({"here": envelope}, {"here": contents or {}}, deadline=deadline)]
    finally:
        fleet.close()


FAKES = [
    line(e="end", status="done", ok=True),
    line(e="step", i=7, s="ok", ms=1),
    line(e="step", i=-1, s="ok", ms=1),
    line(e="step", i=True, s="ok", ms=1),
    line(e="step", i=0, s="owned", ms=1),
    line(e="step", i=0, s="ok", ms="x"),
    line(e="step", i=0, s="failed", ms=1, why=["x"]),
    line(e="step", i=0, s="failed", ms=1, cmds=[1]),
    line(e="step", i=0, s="failed", ms=1, cmds=[[[1], 1, ""]]),
    line(e="step", i=0, s="ok", ms=1, was="text"),
    line(e="bytes", n=1 << 62),
    line(e="bytes", n=-5),
    line(e="bytes"),
    line(e="need", contents=7),
    line(e="need", contents=[[1]]),
    line(e="confirm", token="x; rm -rf /", within=30),
    line(e="confirm", token="0" * 8, within=float("nan")),
    line(e="asked"),
    line(e="hello", machine=["x"]),
    line(e="hello", machine="0" * 100),
    line(e="hello", machine="0", cores="x"),
    line(e="done", ok="yes"),
    line(e="done"),
    line(e=["x"]),
    b"[1]\n",
    b"null\n",
    b"[" * 100_000 + b"\n",
    b'{"e":' + b"9" * 10_000 + b"}\n",
    b"\xff\xfe not utf-8\n",
    b"\x1b]0;owned\x07\x1b[2J\n",
]


@pytest.mark.parametrize("fake", FAKES, ids=lambda f: repr(f[:40]))
def test_events_that_do_not_fit_are_dropped(host, fake):
    def behave(channel, command):
        channel.sendall(HELLO + fake + DONE)
        channel.recv(1)

    events = play(host(behave), [landed("r", Path("/nowhere"), DATA)])
    assert [e["e"] for e in events] == ["end"], events
    assert events[-1]["status"] == "done"


def test_only_contents_of_its_own_are_given(host):
    got = []

    def behave(channel, command):
        channel.sendall(HELLO + line(e="need", contents=[sha(OTHERS), "../../etc/passwd", sha(DATA)]))
        read = channel.makefile("rb")
        read.read(int(read.read(8), 16))  # the envelope
        got.append(read.read(int(read.read(8), 16))[:65])
        channel.sendall(DONE)

    assert play(host(behave), contents={sha(DATA): DATA})[-1]["status"] == "done"
    assert got == [b"c" + sha(DATA).encode()]


def _lines_without_end(channel, command):
    channel.sendall(HELLO)
    while True:
        channel.sendall(b"x" * 60_000)


def _noise_without_end(channel, command):
    channel.sendall(HELLO)
    while True:
        channel.sendall(b"noise\n" * 10_000)


def _steps_without_end(channel, command):
    channel.sendall(HELLO)
    while True:
        channel.sendall(line(e="note", text="x") * 1000)


def _login_noise_without_end(channel, command):
    while True:
        channel.sendall(b"Welcome!\n" * 5000)


def _stderr_without_end(channel, command):
    while True:
        channel.sendall_stderr(b"warning\n" * 5000)


def _silent(channel, command):
    channel.sendall(HELLO)
    time.sleep(20)


def _chunk_that_never_comes(channel, command):
    channel.sendall(HELLO + line(e="bytes", n=1000) + b"x")
    time.sleep(20)


ENDLESS = [
    (_lines_without_end, "lost", "too long"),
    (_noise_without_end, "lost", "none of ours"),
    (_steps_without_end, "lost", "more than it was given"),
    (_login_noise_without_end, "unreachable", "login shell"),
    (_stderr_without_end, "unreachable", "nothing was heard"),
    (_silent, "lost", "nothing was heard"),
    (_chunk_that_never_comes, "lost", "nothing was heard"),
]


@pytest.mark.parametrize(("behave", "status", "reason"), ENDLESS, ids=lambda v: getattr(v, "__name__", ""))
def test_a_host_without_end_is_left_in_bounded_time_and_memory(host, behave, status, reason):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    end = play(host(behave))[-1]
    assert end["status"] == status and reason in end["reason"], end
    assert "\n" not in end["reason"] and time.monotonic() - began < 25
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 120_000  # KiB; both ends are in this process


def test_a_host_that_only_gives_signs_of_life_is_left_at_last(host, monkeypatch):
    monkeypatch.setattr(session, "PATIENCE", 1)

    def behave(channel, command):
        channel.sendall(HELLO)
        while True:
            channel.sendall(line(e="beat"))
            time.sleep(0.1)

    end = play(host(behave))[-1]
    assert end["status"] == "lost" and "nothing but signs of life" in end["reason"]


def test_a_host_that_takes_an_exec_and_answers_nothing_is_left(tmp_path):
    """Frozen between login and exec."""

    class Frozen(Hostile):
        def check_channel_exec_request(self, channel, command):
            time.sleep(8)
            return True

    host = Frozen(tmp_path, lambda channel, command: None)
    fleet = Fleet([host.access], host.known_hosts, connect_timeout=1.5)
    began = time.monotonic()
    end = [e for _, e in fleet.run({"here": {"mode": "apply", "steps": []}})][-1]
    host.close()
    assert (end["status"], end["kind"]) == ("unreachable", "slow") and "started no command" in end["reason"], end
    assert time.monotonic() - began < 6


def test_a_connection_that_broke_between_two_waves_is_made_anew(host):
    def behave(channel, command):
        channel.sendall(HELLO + DONE)
        channel.recv(1)

    one = host(behave)
    fleet = Fleet([one.access], one.known_hosts, connect_timeout=5)
    envelope = {"here": {"mode": "apply", "steps": []}}
    assert [e["status"] for _, e in fleet.run(envelope) if e["e"] == "end"] == ["done"]
    one.talks[0].close()
    fleet._transports["here"]._connection.transport.join(5)
    assert [e["status"] for _, e in fleet.run(envelope) if e["e"] == "end"] == ["done"]
    fleet.close()


def test_a_slow_caller_slows_the_host_and_not_our_memory_and_beats_go_on(host, monkeypatch):
    """The queue is bounded; while its caller sleeps, the session gives signs of life."""
    monkeypatch.setattr(wire, "HEARTBEAT", 0.5)
    heard = []

    def behave(channel, command):
        read = channel.makefile("rb")
        channel.sendall(HELLO)
        read.read(int(read.read(8), 16))
        for _ in range(400):
            channel.sendall(line(e="note", text="x" * 1000))
        channel.settimeout(10)
        while len(heard) < 3:
            heard.append(read.read(int(read.read(8), 16)))
        channel.sendall(DONE)

    one = host(behave)
    fleet = Fleet([one.access], one.known_hosts, connect_timeout=5)
    events = fleet.run({"here": {"mode": "apply", "steps": []}})
    next(events)
    time.sleep(3.5)  # longer than LOST_AFTER: the caller is a user who thinks
    end = [e for _, e in events][-1]
    fleet.close()
    assert end["status"] == "done", end
    assert heard[:3] == [b"h"] * 3


def test_the_user_thinks_longer_than_a_host_may_be_silent(host, monkeypatch):
    """Beats both ways at the prompt; the word arrives."""
    monkeypatch.setattr(wire, "HEARTBEAT", 0.3)
    words = []

    def behave(channel, command):
        read = channel.makefile("rb")
        channel.sendall(HELLO + line(e="asked"))
        read.read(int(read.read(8), 16))
        while not words:
            payload = read.read(int(read.read(8), 16))
            if payload == b"h":
                channel.sendall(line(e="beat"))
            else:
                words.append(payload)
        channel.sendall(DONE)

    one = host(behave)
    fleet = Fleet([one.access], one.known_hosts, connect_timeout=5)
    events = fleet.run({"here": {"mode": "apply", "steps": [], "ask": True}})
    assert next(events)[1]["e"] == "asked"
    time.sleep(3)
    fleet.answer.give("go")
    assert [e for _, e in events][-1]["status"] == "done" and words == [b"wgo"]
    fleet.close()


def test_a_host_that_vanishes_while_the_user_thinks_ends(host):
    def behave(channel, command):
        channel.recv(1)
        channel.sendall(HELLO + line(e="asked"))

    events = play(host(behave), ask=True)
    assert [e["e"] for e in events] == ["asked", "end"] and events[-1]["status"] == "lost"


def test_a_large_content_waits_for_a_slow_host_and_arrives_whole(host):
    """A send that the host does not take at once was cut off after a second, in the midst of a frame."""
    import os
    import zlib

    big = os.urandom(6 << 20)
    got = []

    def behave(channel, command):
        read = channel.makefile("rb")
        channel.sendall(HELLO + line(e="need", contents=[sha(big)]))
        read.read(int(read.read(8), 16))
        time.sleep(1.6)  # its window is full by now
        size = int(read.read(8), 16)
        got.append(read.read(size))
        channel.sendall(DONE)

    assert play(host(behave), contents={sha(big): big})[-1]["status"] == "done"
    assert zlib.decompress(got[0][65:]) == big


def test_the_time_of_a_slow_login_does_not_count_as_silence(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "LOST_AFTER", 1)

    class Slow(Hostile):
        def check_auth_publickey(self, username, key):
            time.sleep(1.5)
            return super().check_auth_publickey(username, key)

    def behave(channel, command):
        time.sleep(0.4)
        channel.sendall(HELLO + DONE)
        channel.recv(1)

    host = Slow(tmp_path, behave)
    assert play(host)[-1]["status"] == "done"
    host.close()


# -- sudo


def sudo(folder, body):
    """A host whose sudo is this script; the exec is played by a shell, as sshd does."""
    import subprocess

    (folder / "bin").mkdir()
    (folder / "bin/sudo").write_text("#!/bin/sh\n" + body)
    (folder / "bin/sudo").chmod(0o755)

    def behave(channel, command):
        import os

        env = {"PATH": f"{folder}/bin:/usr/bin:/bin"}
        child = subprocess.Popen(["/bin/sh", "-c", command], env=env, stdin=-1, stdout=-1, stderr=-1, bufsize=0)

        def pour(source, into):
            while data := os.read(source.fileno(), 65536):
                into(data)

        def feed():
            while data := channel.recv(65536):
                child.stdin.write(data)
            child.stdin.close()

        threads = [
            threading.Thread(target=pour, args=(child.stdout, channel.sendall), daemon=True),
            threading.Thread(target=pour, args=(child.stderr, channel.sendall_stderr), daemon=True),
        ]
        threading.Thread(target=feed, daemon=True).start()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        channel.send_exit_status(child.wait())

    return behave


ASKS = """printf '%s' "$3" >&2; IFS= read -r word; shift 3
[ "$word" = right-password ] || { echo 'Sorry, try again.' >&2; printf swarmops-sudo: >&2; read -r word; exit 1; }
exec "$@"
"""
ASKS_NOT = 'shift 3; exec "$@"\n'
NO_TTY = 'echo "sudo: sorry, you must have a tty to run sudo" >&2; exit 1\n'


@pytest.mark.parametrize(
    ("body", "word", "status", "reason"),
    [
        (ASKS, "right-password", "done", ""),
        (ASKS_NOT, "right-password", "done", ""),  # the password was read as a frame by our program
        (ASKS, "wrong-password", "unreachable", "sudo did not take the password"),
        (NO_TTY, "right-password", "unreachable", "sudo asks for a password"),
    ],
)
def test_sudo_gets_its_password_when_it_asks_and_only_then(host, tmp_path, body, word, status, reason):
    from dataclasses import replace

    from swarmops.model.secrets import Secret

    one = host(sudo(tmp_path, body))
    access = replace(one.access, become=True, password=Secret("sudo", word), python=sys.executable)
    fleet = Fleet([access], one.known_hosts, connect_timeout=5)
    envelope = {"here": {"mode": "facts", "steps": [], "state": str(tmp_path / "s")}}
    end = [e for _, e in fleet.run(envelope, deadline=20)][-1]
    fleet.close()
    assert end["status"] == status and reason in end.get("reason", ""), end
    assert word not in str(end)
