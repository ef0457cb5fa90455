"""A command on this machine, behind the methods of a Paramiko channel: for hosts with `ansible_connection: local`."""

from __future__ import annotations

import contextlib
import io
import select
import socket
import subprocess
from typing import Any

START = ("/bin/sh", "-c")  # where an SSH server would give the command to the user's login shell


class LocalChannel:
    """One command on this machine, with the methods of a Paramiko channel that delivery uses.

    The command has a session of its own, as it would have behind SSH: Ctrl-C here is not its affair, and it learns of
    our end by the end of its input.
    """

    def __init__(self, command: str):
        ours, theirs = socket.socketpair()
        self._talk = ours
        with theirs:
            end = theirs.fileno()
            self._process = subprocess.Popen(
                [*START, command], stdin=end, stdout=end, stderr=subprocess.PIPE, start_new_session=True
            )
        assert isinstance(self._process.stderr, io.BufferedReader)
        self._stderr = self._process.stderr
        self._combined = False
        self.status_event = _End(self._process)

    # -- to it

    def send_ready(self) -> bool:
        return bool(select.select([], [self._talk], [], 0)[1])

    def send(self, data: bytes) -> int:
        return self._talk.send(data)

    def sendall(self, data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended; reading tells more than this does
            self._talk.sendall(data)

    def shutdown_write(self) -> None:
        self._talk.shutdown(socket.SHUT_WR)

    # -- from it

    def settimeout(self, seconds: float | None) -> None:
        self._talk.settimeout(seconds)

    def set_combine_stderr(self, combine: bool) -> None:
        """Standard error is then heard with the rest, as it comes."""
        self._combined = combine

    def recv(self, size: int) -> bytes:
        """What it said, b"" when it has ended. Raises TimeoutError."""
        if not self._combined:
            return self._heard(size)
        ears: list[Any] = [self._talk, self._stderr] if not self._stderr.closed else [self._talk]
        ready = select.select(ears, [], [], self._talk.gettimeout())[0]
        if not ready:
            raise TimeoutError
        if self._stderr in ready:
            if data := self._stderr.read1(size):
                return bytes(data)
            self._stderr.close()
            return self.recv(size)
        return self._heard(size)

    def _heard(self, size: int) -> bytes:
        try:
            return self._talk.recv(size)
        except ConnectionError:  # it ended before it had read everything
            return b""

    def recv_stderr_ready(self) -> bool:
        return not self._stderr.closed and bool(select.select([self._stderr], [], [], 0)[0])

    def recv_stderr(self, size: int) -> bytes:
        data: bytes = self._stderr.read1(size)
        if not data:
            self._stderr.close()
        return data

    # -- its end

    def exit_status_ready(self) -> bool:
        return self._process.poll() is not None

    def recv_exit_status(self) -> int:
        return _code(self._process.wait())

    @property
    def exit_status(self) -> int:
        return _code(self._process.wait())

    def close(self) -> None:
        """Hang up. A command of ours ends by itself then, between two steps."""
        self._talk.close()
        if not self._stderr.closed:
            self._stderr.close()
        self._process.poll()


class _End:
    """Stands where Paramiko has an event: set when the command has ended."""

    def __init__(self, process: subprocess.Popen[bytes]):
        self._process = process

    def wait(self, timeout: float | None = None) -> bool:
        try:
            self._process.wait(timeout)
            return True
        except subprocess.TimeoutExpired:
            return False


def _code(code: int) -> int:
    """As a shell tells it: 128 and the signal."""
    return 128 - code if code < 0 else code
