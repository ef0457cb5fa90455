"""One run of a command: started on its leash, read while it runs, ended with all that it started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarmops.workers.shell import leash
from swarmops.workers.shell.commands import PATH, READABLE, READABLE_TOO, Command, Rules

MARK = "SWARMOPS_TASK_FOLDER"  # in the environment of all that a task starts
CHUNK = 1 << 16
EVERY = 0.5  # seconds between two words on progress
TAIL = 2000  # bytes of output in one
DRAIN = 5.0  # seconds in which output that is still in the pipe is read
Tell = Callable[[str], Awaitable[None]]


@dataclass
class Stream:
    """What came on stdout or stderr: the first `most` bytes are kept, all are counted."""

    most: int
    kept: bytearray = field(default_factory=bytearray)
    size: int = 0

    def take(self, data: bytes) -> None:
        self.size += len(data)
        self.kept += data[: max(0, self.most - len(self.kept))]

    @property
    def truncated(self) -> bool:
        return self.size > len(self.kept)

    def tail(self, most: int) -> str:
        """The last bytes as text; half a character at its beginning is left out."""
        end = bytes(self.kept[max(0, len(self.kept) - most) :])
        if len(end) < len(self.kept):
            end = end.lstrip(bytes(range(0x80, 0xC0)))
        return end.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. exit: as of a shell, negative for a signal. timed_out: by the command's own `timeout`."""

    exit: int
    seconds: float
    stdout: Stream
    stderr: Stream
    timed_out: bool


class Run:
    """One run in `place` (a folder of Folders)."""

    def __init__(self, command: Command, rules: Rules, place: Path, facts: Mapping[str, str]):
        self.command, self.rules, self.place, self.facts = command, rules, place, facts
        self.work = place / "work"
        self.stdout, self.stderr = Stream(rules.output), Stream(rules.output)
        self._recent = b""

    async def __call__(self, args: tuple[str, ...], stdin: bytes, tell: Tell) -> Ended:
        """Run it to its end. However that comes about (also by cancellation), nothing it started is left."""
        began, timed_out, process = time.monotonic(), False, None
        try:
            with open(self.place / "output.log", "ab", buffering=0) as log:
                process = await self._begin(args)
                try:
                    async with asyncio.timeout(self.command.timeout):
                        await self._attend(process, stdin, log, tell)
                except TimeoutError:
                    timed_out = True
        finally:
            gentle = self.rules.grace if timed_out else 0.3
            code = await asyncio.shield(end(process, self.work, gentle)) if process else 126
        return Ended(code, time.monotonic() - began, self.stdout, self.stderr, timed_out)

    async def _begin(self, args: tuple[str, ...]) -> asyncio.subprocess.Process:
        c = self.command
        folders = [str(self.work), *c.write, *([c.dir] if c.dir else [])]
        user = None
        if self.rules.user and os.geteuid() == 0:
            found = pwd.getpwnam(self.rules.user)
            user = [found.pw_uid, found.pw_gid]
        spec = {
            "write": folders,
            "read": [*READABLE, *READABLE_TOO, *c.read],
            "limits": dict(self.rules.limits),
            "parent": os.getpid(),
            "folder": c.dir or str(self.work),
            "user": user,
            "confine": self.rules.confine,
            "ports": c.ports,
        }
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", leash.__file__, json.dumps(spec), *c.argv, *args),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment(),
            start_new_session=True,
            limit=CHUNK,
        )

    def _environment(self) -> dict[str, str]:
        """Nothing of our own: there may be a password in it."""
        secrets = {name: Path(path).read_text().rstrip("\n") for name, path in self.command.secrets.items()}
        least = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": str(self.work), "TMPDIR": str(self.work / "tmp")}
        return {**least, **self.facts, **self.command.env, **secrets, MARK: str(self.work)}

    async def _attend(self, process: asyncio.subprocess.Process, stdin: bytes, log: Any, tell: Tell) -> None:
        assert process.stdin and process.stdout and process.stderr
        telling = asyncio.create_task(self._tell(tell))
        jobs = [
            asyncio.create_task(self._feed(process.stdin, stdin)),
            asyncio.create_task(self._read(process.stdout, self.stdout, log)),
            asyncio.create_task(self._read(process.stderr, self.stderr, log)),
        ]
        leader = asyncio.create_task(left(process))
        try:
            # It is over when the command is: what it left in the background goes, and with it the pipe's other end.
            await asyncio.wait([leader, telling], return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                telling.result()  # the task is not ours any more
            await leader
            await asyncio.to_thread(kill_all, str(self.work), process.pid)
            await asyncio.wait(jobs, timeout=DRAIN)
        finally:
            for job in (telling, leader, *jobs):
                job.cancel()
            await asyncio.gather(telling, leader, *jobs, return_exceptions=True)

    async def _feed(self, pipe: asyncio.StreamWriter, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # it does not want to hear it all
            pipe.write(data)
            await pipe.drain()
        pipe.close()

    async def _read(self, pipe: asyncio.StreamReader, stream: Stream, log: Any) -> None:
        while data := await pipe.read(CHUNK):
            if not stream.truncated:
                log.write(data)
            stream.take(data)
            self._recent = (self._recent + data)[-TAIL:]

    async def _tell(self, tell: Tell) -> None:
        """What came since the last time, when there is something. Raises what `tell` raises."""
        while True:
            await asyncio.sleep(EVERY)
            if self._recent:
                recent, self._recent = self._recent, b""
                await tell(recent.decode("utf-8", "replace"))


async def left(process: asyncio.subprocess.Process) -> int:
    """When this one process has ended, its exit code. `process.wait()` of Python 3.13 waits for the other ends
    of its pipes too, and those may be held by what it left in the background."""
    pause = 0.005
    while process.returncode is None:
        await asyncio.sleep(pause)
        pause = min(0.1, pause * 1.2)
    return process.returncode


async def end(process: asyncio.subprocess.Process, work: Path, gentle: float) -> int:
    """End the session of `process`, first asking, and then whatever of it hid elsewhere. Its exit code."""
    if process.returncode is None:
        _kill_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(gentle):
                await left(process)
    _kill_group(process.pid, signal.SIGKILL)
    code = await left(process)
    await asyncio.to_thread(kill_all, str(work), process.pid)
    return code


def kill_all(work: str, session: int) -> None:
    """Until nothing of it is left: while one look is taken, what is looked for may have children."""
    for _ in range(20):
        if not kill_marked(work, session):
            return
        time.sleep(0.01)


def _kill_group(group: int, which: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, which)


def kill_marked(work: str, session: int = -1) -> int:
    """SIGKILL for every process of this session, or that has `work` (or a folder below it) as its mark; how many."""
    mark, many = f"{MARK}={work}".encode(), 0
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            told = Path(entry.path, "stat").read_bytes().rpartition(b")")[2].split()
            if told[0] in (b"Z", b"X"):
                continue
            if int(told[3]) != session:
                variables = Path(entry.path, "environ").read_bytes().split(b"\0")
                if not any(v == mark or v.startswith(mark + b"/") for v in variables):
                    continue
            os.kill(int(entry.name), signal.SIGKILL)
            many += 1
        except (OSError, IndexError, ValueError):  # it has ended, or is none of ours
            continue
    return many
