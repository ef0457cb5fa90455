"""The engine's end of the wire: frames, a controller that falls silent, and the bootstrap under every login shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest

from swarmops.target import wire
from swarmops.target.link import Link
from tests.target.harness import sha
from tests.waiting import until


def pipe_link():
    out, into = os.pipe()
    written = []
    return Link(open(out, "rb").read, written.append), open(into, "wb", 0), written


def test_contents_do_not_pile_up(system):
    from swarmops.delivery import ship

    link, into, _ = pipe_link()
    data = os.urandom(1 << 20)
    into.write(ship.content_frame(sha(data), data))
    assert link.content(sha(data)) == data and not link._contents
    system.link = link
    into.write(ship.content_frame(sha(data), data))
    assert system.content(sha(data)) == data
    assert sha(data) not in system.memo("asked", set) and not system.has_content(sha(data))
    into.close()


def test_a_large_frame_that_comes_slowly_is_a_sign_of_life():
    link, into, _ = pipe_link()
    into.write(b"%08x" % (1 << 20))
    link.heard = time.monotonic() - 100
    into.write(b"c" + b"0" * 200_000)
    until(lambda: not link.gone, "it is heard")
    into.close()


def test_a_blocked_writer_does_not_make_us_deaf():
    """While the main thread waits for the controller to read, its beats are heard and nobody is given up."""
    link, into, _ = pipe_link()
    with link._lock:  # as a writer that is stuck
        link.heard = time.monotonic() - 100
        for _ in range(3):
            into.write(wire.frame(b"h"))
        until(lambda: not link.gone, "it is heard")
    into.close()


def test_a_frame_that_is_none_ends_the_wait():
    link, into, _ = pipe_link()
    into.write(b"no frame")
    assert link.content("0" * 64) is None and link.gone


def test_a_controller_that_reads_nothing_is_given_up(monkeypatch):
    from swarmops.target import link

    monkeypatch.setattr(link, "SILENCE", 0.3)
    out, into = os.pipe()
    with pytest.raises(OSError, match="nobody reads"):
        link._write_all(into, b"x" * (1 << 20))
    os.close(out)
    os.close(into)


# -- the bootstrap


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "busybox", "zsh", "csh", "tcsh", "fish"])
def test_the_command_means_the_same_to_every_login_shell(shell, tmp_path, monkeypatch):
    """What sshd does: SHELL -c COMMAND."""
    from swarmops.delivery import ship

    found = shutil.which(shell)
    if not found:
        pytest.skip(f"{shell} is not installed")
    argv = [found, "sh", "-c"] if shell == "busybox" else [found, "-c"]
    child = subprocess.Popen(
        [*argv, ship.command(sys.executable, False)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    frame = (
        ship.envelope_frame({"mode": "facts", "host": "h", "run": "r1", "state": str(tmp_path)}) + ship.engine_frame()
    )
    child.stdin.write(frame)
    child.stdin.flush()  # and it stays open: who hangs up is answered nothing
    said = [line for line, _ in zip(child.stdout, range(4))]
    child.stdin.close()
    child.wait(60)
    assert wire.SENTINEL.encode() in said[1] and b'"facts"' in said[2], said


def test_an_old_python_says_so(tmp_path):
    from swarmops.delivery import ship

    assert '"' not in ship.BOOTSTRAP and "\\" not in ship.BOOTSTRAP
    program = ship.BOOTSTRAP % {"id": "x", "sentinel": wire.SENTINEL, "state": ""}
    old = f"import sys;sys.version_info=(3,6,9);exec({program!r})"
    done = subprocess.run([sys.executable, "-c", old], stdout=subprocess.PIPE, check=False)
    assert done.returncode == 96 and done.stdout == b"\nswarmops-1 old 3.6\n"
