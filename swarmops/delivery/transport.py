"""SSH through Fabric, the only room that knows it. Host keys are pinned; nothing is accepted on trust."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from swarmops.delivery.lighter import stand_ins

with warnings.catch_warnings(), stand_ins():
    warnings.simplefilter("ignore")
    import paramiko
    from fabric import Config, Connection

from swarmops.delivery.access import Access, Hop
from swarmops.delivery.channel import LocalChannel
from swarmops.target.probes._net import dial

logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # it prints tracebacks of what we tell in one line
LAST_WORK = 2.0  # seconds for a process of this machine to end what it does after its last word
TIMEOUT = 10.0  # seconds for TCP, banner and login together
USER_TIMEOUT = 20_000  # milliseconds after which unanswered data ends a connection, so that no send waits for ever


class Unreachable(Exception):
    """A host could not be used.

    `kind` is one word: timeout, refused, route, name, banner, key, login, channel, slow.
    """

    def __init__(self, kind: str, sentence: str):
        self.kind = kind
        super().__init__(sentence)


_MAKING = threading.Lock()  # Fabric fills its configuration lazily, which threads must not do at once


@cache
def _config() -> Config:
    return Config(ssh_config=paramiko.SSHConfig(), lazy=True)


class Transport:
    """One logged-in SSH connection, or this very machine. `open` raises Unreachable."""

    def __init__(self, access: Access, known_hosts: Path, timeout: float = TIMEOUT):
        self.access, self.known_hosts, self.timeout = access, known_hosts, timeout
        self._connection: Connection | None = None
        self._gateways: list[Connection] = []
        self._here: list[LocalChannel] = []

    def open(self) -> Transport:
        if self.access.local:
            return self
        if self._connection is not None and not self._connection.is_connected:
            self.close()  # it broke since it was used last
        if self._connection is None:
            end = time.monotonic() + self.timeout
            gateway: Connection | None = None
            for hop in self.access.jumps:
                gateway = self._connect(hop, gateway, end)
                self._gateways.append(gateway)
            self._connection = self._connect(self.access.hop, gateway, end, self.access.proxy_command)
        return self

    def channel(self, command: str) -> Any:
        """Start `command` on a channel of its own: Paramiko's, or one like it on this machine."""
        self.open()
        if self.access.local:
            self._here.append(LocalChannel(command))
            return self._here[-1]
        assert self._connection is not None
        # Paramiko waits for the answer to an exec without end, and a frozen host gives none.
        late = threading.Event()

        def give_up(transport: paramiko.Transport = self._connection.transport) -> None:
            late.set()
            transport.close()

        watch = threading.Timer(self.timeout, give_up)
        watch.start()
        try:
            channel = self._connection.transport.open_session(timeout=self.timeout)
            channel.exec_command(command)
            return channel
        except (paramiko.SSHException, EOFError) as e:
            if late.is_set() or "timeout" in str(e).lower():
                said = f"{self.access.where} logged us in, but started no command within {self.timeout:g} s"
                raise Unreachable("slow", said) from None
            said = str(e) or type(e).__name__
            raise Unreachable("channel", f"{self.access.where} logged us in, but starts no command: {said}") from None
        finally:
            watch.cancel()

    def tunnel(self, address: tuple[str, int]) -> paramiko.Channel:
        """A TCP connection from the host to `address`, as ProxyJump makes it."""
        self.open()
        assert self._connection is not None
        try:
            return self._connection.transport.open_channel("direct-tcpip", address, ("", 0), timeout=self.timeout)
        except paramiko.SSHException as e:
            raise Unreachable("route", f"{self.access.where} does not forward to {address[0]}: {e}") from None

    def run(self, command: str, stdin: bytes = b"", timeout: float = 10.0) -> tuple[int, str]:
        """A short command to its end: (exit code, last 64 KiB of output). Used to prove a new login.

        Raises TimeoutError when it has not ended after `timeout` seconds.
        """
        end = time.monotonic() + timeout
        channel = self.channel(command)
        channel.set_combine_stderr(True)
        channel.settimeout(timeout)
        channel.sendall(stdin)
        channel.shutdown_write()
        said = bytearray()
        while data := channel.recv(65536):
            said = (said + data)[-65536:]
            if time.monotonic() > end:
                raise TimeoutError("it says more and more, and does not end")
            channel.settimeout(max(0.01, end - time.monotonic()))
        if not channel.status_event.wait(max(0.01, end - time.monotonic())):
            raise TimeoutError("it did not end")
        return channel.exit_status, said.decode("utf-8", "replace")

    def close(self) -> None:
        for here in self._here:
            here.close()
            here.status_event.wait(LAST_WORK)  # it may still be keeping the engine that we sent
        self._here.clear()
        for connection in [self._connection, *reversed(self._gateways)]:
            if connection is not None:
                # A dead peer must not hold up the end of a run.
                threading.Thread(target=_close, args=(connection,), daemon=True).start()
        self._connection, self._gateways = None, []

    def _connect(self, hop: Hop, gateway: Connection | None, end: float, proxy: str | None = None) -> Connection:
        left = max(0.1, end - time.monotonic())
        kwargs: dict[str, Any] = {
            "banner_timeout": left,
            "auth_timeout": left,
            "channel_timeout": left,
            "allow_agent": hop.agent,
            "look_for_keys": not hop.keys,
        }
        if hop.keys:
            kwargs["key_filename"] = list(hop.keys)
        try:
            if gateway is None and proxy is None:
                kwargs["sock"] = _dial(hop, left)
            with _MAKING:
                connection = Connection(
                    hop.address,
                    user=hop.user,
                    port=hop.port,
                    config=_config(),
                    gateway=gateway or proxy or False,
                    connect_timeout=None if "sock" in kwargs else left,
                    connect_kwargs=kwargs,
                )
            self._pin(connection)
            connection.open()
        except (paramiko.SSHException, OSError, EOFError, ValueError) as e:
            raise _unreachable(e, hop, self.access.name) from None
        return connection

    def _pin(self, connection: Connection) -> None:
        """Fabric accepts any host key by itself; we accept only those in the project's known_hosts."""
        connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        if self.known_hosts.is_file():
            connection.client.load_host_keys(str(self.known_hosts))


def _close(connection: Connection) -> None:
    """Say good-bye; a jump host that left first is no reason for words."""
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        connection.client.close()


def _dial(hop: Hop, timeout: float) -> socket.socket:
    """A TCP connection that sends at once: with Nagle's algorithm an exec takes 49 ms instead of 3."""
    sock = dial(hop.address, hop.port, time.monotonic() + timeout, hedge=0.5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT)
    return sock


def fingerprint(key: paramiko.PKey) -> str:
    """As `ssh-keygen -l` shows it."""
    return f"{key.fingerprint} ({key.get_name()})"


def _unreachable(e: Exception, hop: Hop, name: str) -> Unreachable:
    text, where = str(e), hop.place
    if isinstance(e, paramiko.BadHostKeyException):
        return Unreachable(
            "key",
            f"the host key of {where} has changed: pinned {fingerprint(e.expected_key)}, now {fingerprint(e.key)} "
            f"(if that is right: swarmops keys pin --replace -l {name})",
        )
    if isinstance(e, paramiko.SSHException) and "not found in known_hosts" in text:
        return Unreachable("key", f"the host key of {where} is not pinned (run: swarmops keys pin -l {name})")
    if isinstance(e, paramiko.AuthenticationException):
        return Unreachable("login", f"{where} refused the login as {hop.user}: {text or 'no key was accepted'}")
    if isinstance(e, socket.gaierror):
        return Unreachable("name", f"{hop.address} has no address: {e.strerror}")
    if isinstance(e, ConnectionRefusedError):
        return Unreachable("refused", f"{where} refused the connection")
    if "banner" in text.lower():
        return Unreachable("banner", f"{where} accepts connections but says nothing (frozen or overloaded)")
    if isinstance(e, TimeoutError):
        return Unreachable("timeout", f"{where} did not answer in time")
    if isinstance(e, OSError) and e.errno:
        return Unreachable("route", f"{where}: {e.strerror}")
    return Unreachable("login", f"{where}: {text or type(e).__name__}")
