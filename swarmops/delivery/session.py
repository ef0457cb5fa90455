"""One host's part of a run: one exec, the envelope in, events out, until the host says it is done.

The host may be broken or hostile: whatever it sends or does not send, a session stays bounded in memory and ends.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from swarmops.delivery import events, ship
from swarmops.delivery.events import Event
from swarmops.delivery.transport import Transport, Unreachable
from swarmops.target import wire

LOST_AFTER = 3 * wire.HEARTBEAT  # seconds of silence after which a host counts as lost
START_WITHIN = 60.0  # seconds until our program must have begun, however much a login shell talks
PATIENCE = 2 * 3600.0  # seconds of nothing but signs of life, beyond the longest time limit of a step
MAX_LINE = 4 << 20  # bytes; a line beyond it is not of our engine
MAX_NOISE = 16 << 20  # bytes of lines that are none of ours
MAX_EVENTS = 10_000  # events, beyond some for each step
BURST = 64  # sends of 32 KiB, then we listen again
PROMPT = "swarmops-sudo:"


class Lost(Exception):
    """The connection was there and is gone."""


class Session:
    """Runs one envelope on one host. `say` hands over every event; `play` returns the closing event. `word` gives the
    word that a host which has asked waits for, None until there is one.
    """

    def __init__(
        self,
        transport: Transport,
        envelope: Mapping[str, Any],
        contents: Mapping[str, bytes | Path],
        say: Callable[[Event], None],
        word: Callable[[], str | None],
    ):
        self.transport, self.envelope, self.contents = transport, envelope, contents
        self.say, self.word = say, word
        self.started, self.asked = False, False
        self.done: dict[str, Any] | None = None
        self._stuck = False  # the host takes nothing more for now
        self._buffer, self._stderr, self._out = bytearray(), bytearray(), bytearray()
        self._files = ship.Pieces()
        self._noise = self._events = 0
        self._began = self._beat_sent = self._heard = self._moved = time.monotonic()
        self._over = threading.Event()
        self._unconfirmed: list[str] = []
        steps = envelope.get("steps") or ()
        limits = [t for s in steps if isinstance(t := s["args"].get("timeout"), (int, float))]
        self._patience = PATIENCE + max(limits, default=0)
        self._most = MAX_EVENTS + 10 * len(steps)

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
        finally:
            self._over.set()
            self._files.clear()

    def _start(self) -> None:
        access = self.transport.access
        secret = access.password if access.become else None
        writes = self.envelope.get("mode") in ("apply", "backup")
        prompt = PROMPT if secret is not None else ""
        self.channel = self.transport.channel(ship.command(access.python, access.become, prompt, writes, access.state))
        self._began = self._heard = self._beat_sent = self._moved = time.monotonic()  # the login may have taken long
        if secret is not None:
            self._log_in(secret.open())
        self._send(ship.envelope_frame(self.envelope))
        word = b""
        while not word.startswith(wire.SENTINEL.encode() + b" "):
            self._noise += len(word)
            word = self._line().strip()
        if word.split()[1] == b"old":
            version = word.split()[-1].decode("ascii", "replace")
            raise Lost(f"{access.python} is Python {version}, 3.9 or later is needed (set ansible_python_interpreter)")
        self.started = True
        if word.endswith(b" need"):
            self._send(ship.engine_frame())

    def _log_in(self, password: str) -> None:
        """Give sudo its password when it asks, and only then: else our program would read it."""
        asked = False
        while wire.SENTINEL.encode() not in self._buffer:
            if self._stderr.count(PROMPT.encode()) > asked:
                if asked:
                    raise Lost("sudo did not take the password (ansible_become_password)")
                asked = True
                self._send(password.encode() + b"\n")
            self._more()

    # -- frames out

    def _send(self, frame: bytes) -> None:
        self._out += frame
        self._pump()

    def _pump(self) -> None:
        """Send as much as the host takes now. What it does not take waits, so that we go on listening."""
        for _ in range(BURST):
            self._out += b"" if self._out else self._files.next()
            if not (self._out and self.channel.send_ready()):
                break
            try:
                sent = self.channel.send(bytes(self._out[:32768]))
            except OSError:
                sent = 0
            if not sent:
                self._out.clear()  # it has ended; reading tells more than this does
                self._files.clear()
                return
            del self._out[:sent]
            self._beat_sent = time.monotonic()
            if self._stuck:  # it takes more only because it has read what it had
                self._heard = self._beat_sent
            self._stuck = False
        self._out += b"" if self._out else self._files.next()
        self._stuck = bool(self._out)

    def keep_alive(self) -> None:
        """Give the host a sign of life when one is due. For whoever keeps the session waiting."""
        now = time.monotonic()
        if self.started and not self._out and now - self._beat_sent >= wire.HEARTBEAT:
            self._beat_sent = now
            self._out += ship.BEAT_FRAME
        self._pump()

    # -- lines in

    def _line(self) -> bytes:
        seen = 0
        while (end := self._buffer.find(b"\n", seen)) < 0:
            seen = len(self._buffer)
            if seen > MAX_LINE:
                raise Lost("the host sent a line that is too long to be one of ours")
            self._more()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _raw(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _more(self) -> None:
        self.keep_alive()
        self._look_around()
        self.channel.settimeout(0.01 if self._out else 0.1 if self.asked or not self.started else 1.0)
        try:
            data = self.channel.recv(1 << 17)
        except TimeoutError:
            self._drain_stderr()
            if time.monotonic() - self._heard > LOST_AFTER:
                raise Lost(f"nothing was heard for {LOST_AFTER} s") from None
            return
        self._drain_stderr()
        if not data:
            raise Lost(self._why_ended())
        self._heard = time.monotonic()
        self._buffer += data

    def _look_around(self) -> None:
        """What may have happened beside the channel, and the limits of our patience."""
        now = time.monotonic()
        if self.asked and (word := self.word()) is not None:
            self.asked, self._moved = False, now
            self._send(ship.word_frame(word))
        while self._unconfirmed:
            self.say({"e": "unconfirmed", "reason": self._unconfirmed.pop()})
        if not self.started and (now - self._began > START_WITHIN or self._noise + len(self._buffer) > MAX_LINE):
            raise Lost("the login shell talks, and our program does not begin")
        if self.started and not self.asked and now - self._moved > self._patience:
            raise Lost(f"nothing but signs of life for {self._patience:.0f} s")

    def _drain_stderr(self) -> None:
        for _ in range(64):  # not for ever, where it never ends
            if not self.channel.recv_stderr_ready():
                break
            self._stderr += self.channel.recv_stderr(4096)
            del self._stderr[: -wire.MAX_TEXT]

    def _why_ended(self) -> str:
        """The channel closed before the host was done: say why as well as it can be known."""
        self.channel.status_event.wait(2.0)
        self._drain_stderr()
        said = self._stderr.decode("utf-8", "replace").replace(PROMPT, "").strip()
        last = next((line.strip()[-500:] for line in reversed(said.splitlines()) if line.strip()), "")
        code = self.channel.recv_exit_status() if self.channel.exit_status_ready() else None
        access = self.transport.access
        if self.started:
            return f"the connection closed before the host was done{': ' + last if last else ''}"
        if "password is required" in said or "a terminal is required" in said or "must have a tty" in said:
            return "sudo asks for a password (set ansible_become_password to a {secret: ...}, or allow NOPASSWD)"
        if "incorrect password" in said or "Sorry, try again" in said:
            return "sudo did not take the password (ansible_become_password)"
        if access.become and (code == 127 or "not found" in last) and "sudo" in last and access.python not in last:
            return "sudo is not there (install it, or log in as root without ansible_become)"
        if code == 127 or "not found" in last and access.python in last:
            return f"{access.python} is not there (set ansible_python_interpreter, or install python3)"
        return last or f"the remote shell ended with exit code {code} before our program started"

    # -- events

    def _event(self, line: bytes) -> None:
        if not line.strip():
            return
        event = events.parse(line)
        if event is None or not events.fits(event, self.envelope):
            self._noise += len(line) + 64  # a short line costs time, too
            if self._noise > MAX_NOISE:
                raise Lost("the host sends what is none of ours")
            return
        kind = event["e"]
        if kind == "beat":
            return
        self._moved = time.monotonic()
        self._events += kind not in ("bytes", "file")
        if self._events > self._most:
            raise Lost("the host reports more than it was given to do")
        if kind == "bytes":
            event["data"] = self._raw(event["n"])
        if kind == "need":
            for sha in event["contents"]:
                content = self.contents.get(sha)
                if isinstance(content, Path):
                    self._files.add(sha, content)
                elif content is not None:
                    self._send(ship.content_frame(sha, content))
        elif kind == "confirm":
            threading.Thread(target=self._confirm, args=(event["token"], event["within"]), daemon=True).start()
        elif kind == "done":
            self.done = event
        else:
            self.asked = self.asked or kind == "asked"
            self.say(event)

    def _confirm(self, token: str, within: float) -> None:
        """Prove by a new connection that the host can still be reached; try for as long as the host waits."""
        sign = f"/run/swarmops/confirm-{self.envelope['run']}-{token}"
        access = self.transport.access
        command = f"sh -c {shlex.quote(f'umask 077; : > {sign}')}"
        if access.become:
            command = f"sudo {'-S -p' if access.password is not None else '-n -p'} '' {command}"
        stdin = access.password.open().encode() + b"\n" if access.password is not None else b""
        end, reason = time.monotonic() + within - min(1.0, within / 4), "no time was left"
        while (left := end - time.monotonic()) > 0 and not self._over.wait(0):
            fresh = Transport(access, self.transport.known_hosts, min(left, self.transport.timeout))
            try:
                code, said = fresh.run(command, stdin, left)
                if code == 0:
                    return
                reason = said.strip()[-300:] or f"exit code {code}"
            except (Unreachable, OSError, EOFError) as e:
                reason = str(e)
            finally:
                fresh.close()
            self._over.wait(0.3)  # sshd may just be taking in its new configuration
        self._unconfirmed.append(reason)

    def _end(self) -> Event:
        assert self.done is not None
        while self._unconfirmed:
            self.say({"e": "unconfirmed", "reason": self._unconfirmed.pop()})
        if self.done.get("why"):
            return {"status": "broken", "reason": self.done["why"], "trace": self.done.get("trace", "")}
        return {"status": "done", "ok": self.done["ok"]}
