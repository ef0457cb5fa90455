"""Real programs judge what was rendered. One file per kind of artefact; a new file here is a new validator.

A validator is a module with

    TOOLS: dict[str, str]                       # the programs it asks -> what they judge
    def validate(files, tools) -> list[(file, line, sentence)]

`files` are the rendered files of one host (`path`, `sha`, `secret`); the validator picks its own by path. A
secret file's sentences never quote its content. A program that is missing here is named as not run, never
passed over in silence.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class File(Protocol):
    """What a validator knows of a rendered file."""

    path: str
    sha: str
    secret: bool


Finding = tuple[Any, int, str]  # (file, line counted from 1 or 0, sentence)


@dataclass
class Result:
    rc: int
    out: str  # standard output and error, as one text

    @property
    def lines(self) -> list[str]:
        return [line for line in self.out.splitlines() if line.strip()]


@dataclass
class Tools:
    """The programs of this machine, and what was asked of them.

    One `Tools` serves a whole run: equal files of many hosts are judged once.
    """

    contents: Mapping[str, bytes]
    ran: dict[str, int] = field(default_factory=dict)  # program -> times
    not_run: dict[str, str] = field(default_factory=dict)  # program -> why
    _memo: dict[Any, Any] = field(default_factory=dict)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def text(self, file: File) -> str:
        return self.contents[file.sha].decode("utf-8", "replace")

    def find(self, name: str, judges: str = "") -> str | None:
        """The program's path, or None; then it is noted as not run."""
        path = shutil.which(name, path=os.environ.get("PATH", "") + ":" + SEARCH)
        if path is None:
            self.skip(name, f"not installed here{', so ' + judges + ' not judged by it' if judges else ''}")
        return path

    def skip(self, name: str, why: str) -> None:
        self.not_run.setdefault(name, why)

    def run(
        self,
        argv: list[str],
        *,
        name: str = "",
        stdin: str | None = None,
        timeout: float = 20,
        env: dict[str, str] | None = None,
    ) -> Result:
        """Run a judge, counted under `name` (by default the program's own)."""
        name = name or Path(argv[0]).name
        self.ran[name] = self.ran.get(name, 0) + 1
        try:
            done = subprocess.run(
                argv,
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=timeout,
                env={"PATH": SEARCH, "LC_ALL": "C", **(env or {})},
            )
        except subprocess.TimeoutExpired:
            return Result(124, f"{name} did not answer within {timeout:g} s")
        return Result(done.returncode, done.stdout)

    def apart(self) -> list[str]:
        """Words that give a judge a network namespace of its own, or nothing where that is not allowed."""

        def probe() -> list[str]:
            unshare = shutil.which("unshare", path=SEARCH)
            if unshare:
                for words in ([unshare, "-n", "--"], [unshare, "-rn", "--"]):
                    if subprocess.run([*words, "/bin/true"], capture_output=True).returncode == 0:
                        return words
            return []

        return self.once("apart", probe)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """`make()`, remembered under `key` for this run."""
        if key not in self._memo:
            self._memo[key] = make()
        return self._memo[key]

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A private folder (0700) that is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="swarmops-judge-") as name:
            yield Path(name)

    def kept_scratch(self) -> Path:
        """A private folder that stays until `close`."""
        return Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="swarmops-judge-")))

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Tools:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_private(path: Path, text: str | bytes) -> Path:
    """Write a file that only we can read, from its first byte on."""
    data = text.encode() if isinstance(text, str) else text
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(data)
    return path


def modules() -> dict[str, Any]:
    """Every validator by name."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}


def validate_all(files: Iterable[File], tools: Tools) -> list[Finding]:
    """Ask every validator about one host's files. Never raises for what the user wrote."""
    files = sorted(files, key=lambda f: f.path)
    found: list[Finding] = []
    for module in modules().values():
        for finding in module.validate(files, tools):
            if finding not in found:
                found.append(finding)
    return found


def line_of(text: str, pattern: str) -> int:
    """The first line (from 1) that `pattern` matches, else 0."""
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(pattern, line):
            return number
    return 0
