"""One host's part of a run: one exec, the envelope in, events out, until the host says it is done."""

from __future__ import annotations

import contextlib
import json
import shlex
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from swarmops.delivery import ship
from swarmops.delivery.transport import Transport, Unreachable
from swarmops.target import wire

LOST_AFTER = 3 * wire.HEARTBEAT  # seconds of silence after which a host counts as lost
MAX_LINE = 4 << 20  # bytes; a line beyond it is not of our engine

Event = dict[str, Any]


class Lost(Exception):
    """The connection was there and is gone."""


class Session:
    """Runs one envelope on one host. `say` hands over every event; `play` returns the closing event."""

    def __init__(
        self,
        transport: Transport,
        envelope: Mapping[str, Any],
        contents: Mapping[str, bytes],
        say: Callable[[Event], None],
        answer: Answer,
    ):
        self.transport, self.envelope, self.contents = transport, envelope, contents
        self.say, self.answer = say, answer
        self.started, self.done = False, None
        self._buffer = bytearray()
        self._stderr = bytearray()
        self._beat_sent = self._heard = time.monotonic()

    def play(self) -> Event:
        try:
            self.transport.open()
            self._start()
            while self.done is None:
                self._event(self._line())
            return self._end()
        except Unreachable as e:
            return {"status": "unreachable", "reason": str(e), "kind": e.kind}
        except Lost as e:
            return {"status": "lost" if self.started else "unreachable", "reason": str(e)}
        except (OSError, EOFError) as e:
            return {"status": "lost", "reason": f"the connection broke: {e}"}

    def _start(self) -> None:
        access = self.transport.access
        self.channel = self.transport.channel(
            ship.command(access.python, access.become, access.password is not None)
        )
        if access.become and access.password is not None:
            self.channel.sendall(access.password.open().encode() + b"\n")
        self._send(ship.envelope_frame(self.envelope))
        while True:
            word = self._line().strip()
            if word.startswith(wire.SENTINEL.encode() + b" "):
                break
        self.started = True
        if word.endswith(b" need"):
            self._send(ship.engine_frame())

    # -- frames out

    def _send(self, frame: bytes) -> None:
        # A host that has ended may have left its last words unread; reading tells more than this does.
        with contextlib.suppress(OSError):
            self.channel.sendall(frame)

    def _beat(self) -> None:
        now = time.monotonic()
        if self.started and now - self._beat_sent >= wire.HEARTBEAT:
            self._beat_sent = now
            self._send(ship.BEAT_FRAME)
        if now - self._heard > LOST_AFTER:
            raise Lost(f"nothing was heard for {LOST_AFTER} s")

    # -- lines in

    def _line(self) -> bytes:
        while True:
            end = self._buffer.find(b"\n")
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                return line
            if len(self._buffer) > MAX_LINE:
                raise Lost("the host sent a line that is too long to be one of ours")
            self._more()

    def _raw(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _more(self) -> None:
        self._beat()
        self.channel.settimeout(1.0)
        try:
            data = self.channel.recv(1 << 17)
        except TimeoutError:
            self._drain_stderr()
            return
        self._drain_stderr()
        if not data:
            raise Lost(self._why_ended())
        self._heard = time.monotonic()
        self._buffer += data

    def _drain_stderr(self) -> None:
        while self.channel.recv_stderr_ready() and len(self._stderr) < wire.MAX_TEXT:
            self._stderr += self.channel.recv_stderr(4096)

    def _why_ended(self) -> str:
        """The channel closed before the host was done: say why as well as it can be known."""
        self._wait_exit(2.0)
        self._drain_stderr()
        said = self._stderr.decode("utf-8", "replace").strip()
        code = self.channel.recv_exit_status() if self.channel.exit_status_ready() else None
        if self.started:
            return f"the connection closed before the host was done{': ' + said[-500:] if said else ''}"
        if "password is required" in said or "a terminal is required" in said:
            return (
                "sudo asks for a password (set ansible_become_password to a {secret: ...}, or allow NOPASSWD)"
            )
        if code == 127 or "not found" in said:
            python = self.transport.access.python
            return f"{python} is not there (set ansible_python_interpreter, or install python3)"
        return said[-500:] or f"the remote shell ended with exit code {code} before our program started"

    def _wait_exit(self, seconds: float) -> None:
        self.channel.status_event.wait(seconds)

    # -- events

    def _event(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            event = json.loads(line)
            kind = event["e"]
        except (ValueError, KeyError, TypeError):
            return  # noise of a program that writes to our channel is dropped
        if kind == "bytes":
            event["data"] = self._raw(int(event["n"]))
        if kind == "beat":
            return
        if kind == "need":
            for sha in event["contents"]:
                if sha in self.contents:
                    self._send(ship.content_frame(sha, self.contents[sha]))
            return
        if kind == "confirm":
            self._confirm(float(event.get("within", 30)))
        if kind == "done":
            self.done = event
            return
        self.say(event)
        if kind == "asked":
            self._wait_for_answer()

    def _confirm(self, within: float) -> None:
        """Prove by a new connection that the host can still be reached."""
        sign = shlex.quote(f"/run/swarmops/confirm-{self.envelope['run']}")
        access = self.transport.access
        command = f"umask 077; : > {sign}"
        if access.become:
            flags = "-S -p ''" if access.password is not None else "-n"
            command = f"sudo {flags} sh -c {shlex.quote(command)}"
        stdin = access.password.open().encode() + b"\n" if access.password is not None else b""
        fresh = Transport(access, self.transport.known_hosts, min(within, self.transport.timeout))
        try:
            fresh.run(command, stdin)
        except (Unreachable, OSError, EOFError) as e:
            self.say({"e": "unconfirmed", "reason": str(e)})
        finally:
            fresh.close()

    def _wait_for_answer(self) -> None:
        while (word := self.answer.wait(1.0)) is None:
            self._heard = time.monotonic() if self.channel.recv_ready() else self._heard
            if self.channel.recv_ready():
                self._buffer += self.channel.recv(1 << 16)
            self._beat()
        self._send(ship.word_frame(word))

    def _end(self) -> Event:
        assert self.done is not None
        if self.done.get("why"):
            return {"status": "broken", "reason": self.done["why"], "trace": self.done.get("trace", "")}
        return {"status": "done", "ok": self.done["ok"]}


class Answer:
    """The user's word for all hosts at once, given later."""

    def __init__(self) -> None:
        self._given = threading.Event()
        self._word: str | None = None

    @property
    def given(self) -> bool:
        return self._given.is_set()

    def give(self, word: str) -> None:
        self._word = word
        self._given.set()

    def wait(self, seconds: float) -> str | None:
        return self._word if self._given.wait(seconds) else None
