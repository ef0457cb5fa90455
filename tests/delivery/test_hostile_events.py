"""Case 61: a hostile host. What it sends that does not fit is dropped, and without end it is left: the controller stays
bounded in memory and time and says in one line what was."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest

from tests.delivery.hostile import DONE, HELLO, line, play
from tests.target.harness import landed, sha

DATA, OTHERS = b"mine\n", b"of another host\n"
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


def _until_hung_up(channel):
    while channel.recv(65536):
        pass


def _silent(channel, command):
    channel.sendall(HELLO)
    _until_hung_up(channel)


def _chunk_that_never_comes(channel, command):
    channel.sendall(HELLO + line(e="bytes", n=1000) + b"x")
    _until_hung_up(channel)


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
    end = play(host(behave, lost_after=2))[-1]
    assert end["status"] == status and reason in end["reason"], end
    assert "\n" not in end["reason"] and time.monotonic() - began < 50
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 120_000  # KiB; both ends are in this process
