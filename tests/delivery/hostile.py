"""A real SSH server whose host is broken or hostile: what it does with our command is up to each test."""

from __future__ import annotations

import contextlib
import getpass
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import paramiko

from swarmops.delivery.access import Access, Hop
from swarmops.delivery.fleet import Fleet
from swarmops.delivery.login_keys import make_key
from swarmops.target import wire

Behaviour = Callable[[paramiko.Channel, str], None]
HELLO = b"\n" + wire.SENTINEL.encode() + b" have\n"
DONE = b'{"e":"done","ok":true}\n'


class Hostile(paramiko.ServerInterface):
    """Lets everybody in; `behave(channel, command)` plays the host, in a thread for each exec."""

    def __init__(self, folder: Path, behave: Behaviour):
        self.folder, self.behave, self.execs = folder, behave, 0
        make_key(folder / "login")
        make_key(folder / "host")
        self.key = paramiko.Ed25519Key.from_private_key_file(str(folder / "host"))
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.known_hosts = folder / "known_hosts"
        kind, public = (folder / "host.pub").read_text().split()[:2]
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {public}\n")
        self.talks: list[paramiko.Transport] = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def access(self) -> Access:
        hop = Hop("127.0.0.1", self.port, getpass.getuser(), (str(self.folder / "login"),), agent=False)
        return Access("here", hop)

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self.listening.accept()
            except OSError:
                return
            talk = paramiko.Transport(sock)
            talk.add_server_key(self.key)
            self.talks.append(talk)
            threading.Thread(target=self._greet, args=(talk,), daemon=True).start()

    def _greet(self, talk: paramiko.Transport) -> None:
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            talk.start_server(server=self)

    def close(self) -> None:
        self.listening.close()
        for talk in self.talks:
            talk.close()

    # -- what paramiko asks

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.execs += 1
        threading.Thread(target=self._play, args=(channel, command.decode()), daemon=True).start()
        return True

    def _play(self, channel: paramiko.Channel, command: str) -> None:
        try:
            self.behave(channel, command)
            channel.close()
        except (OSError, EOFError):
            pass


def line(**event) -> bytes:
    """An event as a host sends it."""
    return json.dumps(event).encode() + b"\n"


def play(host: Hostile, steps=(), contents=None, **more) -> list[dict]:
    """The events of one run on that host."""
    fleet = Fleet([host.access], host.known_hosts, connect_timeout=30)
    envelope = {"mode": "apply", "steps": list(steps), **more}
    try:
        return [e for _, e in fleet.run({"here": envelope}, {"here": contents or {}}, deadline=60)]
    finally:
        fleet.close()
