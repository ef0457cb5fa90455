"""sudo and its password: given when it is asked for, and only then."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from swarmops.delivery.fleet import Fleet
from swarmops.model.secrets import Secret


def sudo(folder, body):
    """A host whose sudo is this script; the exec is played by a shell, as sshd does."""
    (folder / "bin").mkdir()
    (folder / "bin/sudo").write_text("#!/bin/sh\n" + body)
    (folder / "bin/sudo").chmod(0o755)

    def behave(channel, command):
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
    one = host(sudo(tmp_path, body))
    access = replace(one.access, become=True, password=Secret("sudo", word), python=sys.executable)
    fleet = Fleet([access], one.known_hosts, connect_timeout=30)
    envelope = {"here": {"mode": "facts", "steps": [], "state": str(tmp_path / "s")}}
    end = [e for _, e in fleet.run(envelope, deadline=60)][-1]
    fleet.close()
    assert end["status"] == status and reason in end.get("reason", ""), end
    assert word not in str(end)
