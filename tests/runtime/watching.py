"""What scripts really touch: MONITOR on a real Redis, read back script by script."""

from __future__ import annotations

import re
import socket
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from swarmops.runtime import Runtime, scripts
from swarmops.runtime.client.cluster import slot_of
from swarmops.runtime.op import command
from tests.runtime.server import Server

_LINE = re.compile(rb"^\+?[\d.]+ \[\d+ (lua|[^\]]*)\] (.*)$")
_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_BASE = re.compile(r"^[^{]*\{[^}]*\}:")


@dataclass(slots=True)
class Ran:
    """One run of a script: the keys it was given, and those that it touched."""

    script: str
    declared: tuple[str, ...]
    touched: set[str] = field(default_factory=set)


class Watching:
    """Between enter and exit everything is recorded; then `.runs` tells of each script that ran."""

    def __init__(self, server: Server):
        self.server, self.runs, self._lines = server, list[Ran](), list[bytes]()
        self._by_sha = {scripts.load(n).sha: n for n in scripts.names()}

    def __enter__(self) -> Watching:
        self._over = False
        talk = self._connect()
        self._thread = threading.Thread(target=self._listen, args=(talk,), daemon=True)
        self._thread.start()
        return self

    def _connect(self) -> socket.socket:
        talk = socket.create_connection(("127.0.0.1", self.server.port), 10)
        talk.settimeout(None)
        talk.sendall(b"MONITOR\r\n")
        assert talk.recv(5) == b"+OK\r\n"
        return talk

    def _listen(self, talk: socket.socket) -> None:
        """Until the last word. A test that kills all connections kills this one too: then again."""
        while not self._over:
            with talk, talk.makefile("rb") as lines:
                for line in lines:
                    if b'"over-and-out"' in line:
                        self._over = True
                        return
                    self._lines.append(line.rstrip(b"\r\n"))
            talk = self._connect()

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        with Runtime(self.server.settings) as rt:
            rt.run(command("x", "ECHO", "over-and-out"))
            self._thread.join(30)
            if kind is None:
                self._read(rt)

    def _read(self, rt: Runtime) -> None:
        known: dict[tuple[str, ...], list[str]] = {}
        ran: Ran | None = None
        for line in self._lines:
            match = _LINE.match(line)
            if not match:
                continue
            words = [_plain(w) for w in _WORD.findall(match[2])]
            if match[1] != b"lua":
                ran = self._started(words)
            elif ran is not None and words[0].upper() not in ("TIME", "PUBLISH"):
                for key in self._keys(rt, words, known):
                    ran.touched.add(key)

    def _started(self, words: list[str]) -> Ran | None:
        if words[0].upper() != "EVALSHA" or words[1] not in self._by_sha:
            return None
        self.runs.append(Ran(self._by_sha[words[1]], tuple(words[3 : 3 + int(words[2])])))
        return self.runs[-1]

    def _keys(self, rt: Runtime, words: list[str], known: dict[tuple[str, ...], list[str]]) -> list[str]:
        if tuple(words) not in known:
            said: Any = rt.run(command("x", "COMMAND", "GETKEYS", *words))
            known[tuple(words)] = [k.decode("utf-8", "replace") for k in said]
        return known[tuple(words)]


def _plain(word: bytes) -> str:
    return re.sub(r"\\x([0-9a-f]{2})|\\(.)", lambda m: chr(int(m[1], 16)) if m[1] else m[2], word.decode("latin-1"))


def faults(runs: list[Ran]) -> list[str]:
    """What is wrong: a key that is neither declared nor of a declared family, or keys in several slots."""
    found: dict[tuple[str, str], str] = {}
    for ran in runs:
        script = scripts.load(ran.script)
        slots = {slot_of(key) for key in {*ran.declared, *ran.touched}}
        if len(slots) != 1:
            found[ran.script, ""] = f"{ran.script}: {len(slots)} slots: {sorted({*ran.declared, *ran.touched})[:4]}"
        for key in ran.touched - set(ran.declared):
            part = _BASE.sub("", key).split(":")[0]
            if part not in script.families:
                found[ran.script, part] = f"{ran.script} touches {part} ({key}), which its head does not name"
    return sorted(found.values())
