"""Commands of an allow-list, each task in a folder of its own: this is how a CLI agent of any vendor is driven."""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swarmops.runtime.worker import AsyncContext, Handlers
from swarmops.workers.config import BadConfig
from swarmops.workers.executor import Executor as Base
from swarmops.workers.executor import Found
from swarmops.workers.reading import Fields, mapping, refuse, text
from swarmops.workers.shell import leash
from swarmops.workers.shell.commands import Command, Rules, rules_of
from swarmops.workers.shell.folders import Folders, write_result
from swarmops.workers.shell.run import Ended, Run, kill_marked

log = logging.getLogger("swarmops.worker")
SWEEP = 60.0  # seconds between two looks at folders that are no longer needed
FILES, FILE = 50, 60 << 20  # results that are files: how many, bytes of each


class Executor(Base):
    """Kind `shell` {"command": name, "args": [...], "stdin": text | {"ref": "ctx:..."}}."""

    rules: Rules
    folders: Folders
    able = True

    async def start(self) -> Found:
        faults: list[str] = []
        self.rules = rules_of(self.setting.options, self.setting.home, faults)
        if faults:
            raise BadConfig(faults)
        self.ended: Counter[str] = Counter()
        self.folders = Folders(self.setting.home, self.rules.user, self.rules.keep, self.rules.most_kept)
        self.folders.prepare()
        if left := kill_marked(str(self.folders.home)):
            log.warning("%d processes of tasks were left over from before, and have been ended", left)
        self._sweeping = asyncio.create_task(self._sweep())
        return self._found()

    def _found(self) -> Found:
        have, lacking = leash.version(), {}
        if self.rules.confine and have < leash.LEAST:
            self.able = False
            lacking["shell"] = (
                f"commands cannot be kept in their folders: this kernel has no Landlock of version {leash.LEAST} or"
                " newer (options.isolation: none runs them all the same)"
            )
        user = self.rules.user or pwd.getpwuid(os.geteuid()).pw_name
        facts = {
            "commands": sorted(self.rules.commands),
            "shell_user": user,
            "landlock": have,
            "isolation": "landlock" if self.rules.confine and self.able else "none",
        }
        return Found(frozenset({"shell"} if self.able else ()), facts, lacking)

    def handlers(self) -> Handlers:
        handlers = Handlers()
        if self.able:
            handlers.add("shell", self.shell)
        return handlers

    async def health(self) -> str:
        if not self.able:
            return "there is no Landlock in this kernel, so no command may run"
        return "" if self.rules.commands else "no command is allowed (options.commands)"

    def metrics(self) -> Mapping[str, float]:
        return {f'shell_runs_total{{command="{c}"}}': float(self.ended[c]) for c in self.rules.commands}

    async def close(self) -> None:
        self._sweeping.cancel()

    async def _sweep(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.folders.sweep)
            except OSError as e:
                log.warning("folders of ended tasks: %s", e)
            await asyncio.sleep(SWEEP)

    # -- one task

    async def shell(self, context: AsyncContext, **said: Any) -> dict[str, Any]:
        """Run a command. Raises Invalid for what the allow-list does not allow, Failed as its `check` says."""
        command, args, stdin = self._asked(said)
        if isinstance(stdin, Mapping):
            stdin = await self.setting.runtime.contexts.resolve(stdin)
        facts = {"SWARMOPS_TASK": context.id, "SWARMOPS_ATTEMPT": str(context.attempt)}
        with self.folders.folder(context.id, context.attempt) as place:
            run = Run(command, self.rules, place, facts)
            attach = f"tail -f {shlex.quote(str(place / 'output.log'))}"
            log.info("%s runs %s (to watch it: %s)", context.id, command.name, attach)

            async def tell(output: str) -> None:
                await context.progress(0.0, output)

            await tell(f"{command.name} begins; to watch it on its host: {attach}")
            ended = await run(args, stdin.encode() if isinstance(stdin, str) else stdin, tell)
            self.ended[command.name] += 1
            result = await self._result(command, ended, place)
            await asyncio.to_thread(write_result, place, result)
        _judge(command, ended)
        return result

    def _asked(self, said: Mapping[str, Any]) -> tuple[Command, tuple[str, ...], Any]:
        faults: list[str] = []
        fields = Fields(said, "", faults)
        fields.need("command")
        name = fields.text("command", "")
        args, stdin = fields.texts("args"), fields.take("stdin", "", _stdin)
        fields.end()
        command = self.rules.commands.get(name)
        if fields.has("command") and command is None:
            known = ", ".join(sorted(self.rules.commands)) or "none"
            faults.append(f"command: {name[:80]!r} is not allowed here (allowed: {known})")
        if command:
            command.given(args, faults)
        refuse(faults)
        assert command
        return command, args, stdin

    async def _result(self, command: Command, ended: Ended, place: Path) -> dict[str, Any]:
        result: dict[str, Any] = {"exit": ended.exit, "seconds": round(ended.seconds, 3)}
        streams = {"stdout": ended.stdout, "stderr": ended.stderr}
        for name, stream in streams.items():
            result[name] = stream.tail(self.rules.inline)
            if len(stream.kept) > self.rules.inline:
                result[f"{name}_ref"] = await self._keep(bytes(stream.kept), f"{command.name} {name}")
            result[f"{name}_bytes"] = stream.size
        result["truncated"] = any(s.truncated for s in streams.values())
        result["timed_out"] = ended.timed_out
        if command.files:
            found = await asyncio.to_thread(self.folders.results, place, command.files, FILES, FILE)
            result["files"] = {
                name: {"ref": await self._keep(data, name), "bytes": len(data)} for name, data in found.items()
            }
        return result

    async def _keep(self, data: bytes, source: str) -> str:
        line = "".join(c if c.isprintable() else "?" for c in source)[:200]
        return (await self.setting.runtime.contexts.store(data, source=line)).ref


class Failed(Exception):
    """The command did not do its work; the task is tried again as its `retries` say."""


def _judge(command: Command, ended: Ended) -> None:
    """Raises Failed."""
    last = ended.stderr.tail(500).strip()
    if ended.timed_out:
        raise Failed(f"{command.name} was ended after {command.timeout:g} s, the most it may take")
    if ended.exit < 0:
        raise Failed(f"{command.name} was ended by signal {-ended.exit}: {last}")
    if ended.exit and command.check:
        raise Failed(f"{command.name} ended with exit code {ended.exit}: {last}")


def _stdin(value: object) -> Any:
    if isinstance(value, Mapping):
        return mapping(value)
    return text(value, 1 << 20)
