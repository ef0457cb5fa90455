"""Case 61: hosts that are slow, frozen or gone, and users who think: who waits for whom, and for how long."""

from __future__ import annotations

import os
import threading
import time
import zlib

from swarmops.delivery import fleet, session
from swarmops.delivery.fleet import Fleet
from swarmops.target import wire
from tests.delivery.hostile import DONE, HELLO, Hostile, line, play
from tests.target.harness import sha


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
            over.wait(100)
            return True

    over = threading.Event()
    host = Frozen(tmp_path, lambda channel, command: None)
    fleet = Fleet([host.access], host.known_hosts, connect_timeout=4)
    began = time.monotonic()
    end = [e for _, e in fleet.run({"here": {"mode": "apply", "steps": []}})][-1]
    over.set()
    host.close()
    assert (end["status"], end["kind"]) == ("unreachable", "slow") and "started no command" in end["reason"], end
    assert time.monotonic() - began < 50


def test_a_connection_that_broke_between_two_waves_is_made_anew(host):
    def behave(channel, command):
        channel.sendall(HELLO + DONE)
        channel.recv(1)

    one = host(behave)
    fleet = Fleet([one.access], one.known_hosts, connect_timeout=30)
    envelope = {"here": {"mode": "apply", "steps": []}}
    assert [e["status"] for _, e in fleet.run(envelope) if e["e"] == "end"] == ["done"]
    one.talks[0].close()
    fleet._transports["here"]._connection.transport.join(30)
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
        channel.settimeout(60)
        while len(heard) < 3:
            heard.append(read.read(int(read.read(8), 16)))
        channel.sendall(DONE)

    one = host(behave, lost_after=4)
    fleet = Fleet([one.access], one.known_hosts, connect_timeout=30)
    events = fleet.run({"here": {"mode": "apply", "steps": []}})
    next(events)
    time.sleep(4.5)  # longer than LOST_AFTER: the caller is a user who thinks
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

    one = host(behave, lost_after=4)
    fleet = Fleet([one.access], one.known_hosts, connect_timeout=30)
    events = fleet.run({"here": {"mode": "apply", "steps": [], "ask": True}})
    assert next(events)[1]["e"] == "asked"
    time.sleep(4.5)
    fleet.tell("here", "go")
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
    monkeypatch.setattr(session, "LOST_AFTER", 4)

    class Slow(Hostile):
        def check_auth_publickey(self, username, key):
            time.sleep(4.2)
            return super().check_auth_publickey(username, key)

    def behave(channel, command):
        time.sleep(0.4)
        channel.sendall(HELLO + DONE)
        channel.recv(1)

    host = Slow(tmp_path, behave)
    assert play(host)[-1]["status"] == "done"
    host.close()


def test_a_fault_of_ours_ends_the_host_and_not_the_fleet(host, monkeypatch):
    def unknown():
        raise KeyError("getpwuid(): uid not found: 4321")

    one = host(lambda channel, command: None)
    all_hosts = Fleet([one.access], one.known_hosts, connect_timeout=30)
    monkeypatch.setattr(fleet.getpass, "getuser", unknown)
    assert fleet.whoami().startswith(f"uid {os.getuid()}@")
    monkeypatch.setattr(fleet, "whoami", unknown)
    (end,) = [e for _, e in all_hosts.run({"here": {"mode": "apply", "steps": []}})]
    all_hosts.close()
    assert end["status"] == "broken" and "uid not found" in end["reason"]
