"""The allow-list: which commands there are, what tasks may give them, and how far they may go.

{"commands": {"count": {"argv": ["wc", "-w"], "timeout": 60, "args": {"most": 1, "match": "[a-z]+[.]txt"}}},
 "user": "swarmops-task", "limits": {"output": 8388608}, "keep": 3600}

"""

from __future__ import annotations

import os
import pwd
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarmops.runtime import ids
from swarmops.runtime.errors import Invalid
from swarmops.workers.reading import Fields, mapping, pattern

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What a program needs to run at all. Homes, /var, /run (with the credentials of services) and /tmp are not among them.
READABLE = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/proc", "/sys/devices/system/cpu")
READABLE_TOO = ("/dev/null", "/dev/urandom", "/run/systemd/resolve")
NOT_AN_OPTION = re.compile(r"[^-].*", re.S)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LIMITS = {"memory": "AS", "processes": "NPROC", "file_size": "FSIZE", "open_files": "NOFILE", "cpu_seconds": "CPU"}


@dataclass(frozen=True, slots=True)
class Command:
    """One command. argv: the program and its fixed arguments; a task may add at most `most_args` that all fit `match`.

    timeout: seconds. dir: where it works, in place of a folder of its own. env: its environment beside the least one.
    secrets: variables from files. read, write: folders it may use besides. files: patterns of what it leaves behind
    that is kept as results. check: an exit code other than 0 is a failure, to be tried again. ports: TCP ports that it
    may connect to, and none that it may listen on; None: whatever the worker may.
    """

    name: str
    argv: tuple[str, ...]
    timeout: float = 600.0
    dir: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    most_args: int = 0
    match: re.Pattern[str] = NOT_AN_OPTION
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    check: bool = False
    ports: tuple[int, ...] | None = None

    def given(self, args: tuple[str, ...], faults: list[str]) -> None:
        """Look at what a task adds; mistakes go to `faults`."""
        if len(args) > self.most_args:
            most = f"takes at most {self.most_args}" if self.most_args else "takes none"
            faults.append(f"args: {self.name} {most}, these are {len(args)}")
        for i, arg in enumerate(args[: self.most_args]):
            if not self.match.fullmatch(arg):
                faults.append(f"args[{i}]: {arg[:80]!r} does not fit {self.match.pattern!r}")


@dataclass(frozen=True, slots=True)
class Rules:
    """All options of the executor. output: bytes kept of each of stdout and stderr; inline: of these, in the result.

    limits: by names of RLIMIT_. keep: seconds that folders of ended tasks stay. confine: with Landlock.
    """

    commands: Mapping[str, Command]
    user: str = ""
    output: int = 8 << 20
    inline: int = 64 << 10
    limits: Mapping[str, int] = field(default_factory=dict)
    keep: float = 3600.0
    most_kept: int = 100
    grace: float = 2.0
    confine: bool = True


def rules_of(options: Mapping[str, Any], home: Path, faults: list[str]) -> Rules:
    """Read the options; mistakes go to `faults`. home: what names of secret files are relative to."""
    fields = Fields(options, "options", faults)
    said = fields.objects("commands")
    commands = {name: _command(name, one, home, faults) for name, one in said.items()}
    user = fields.take("user", "", _user)
    limits, output, inline = _limits(fields.inner("limits"))
    found = Rules(
        commands,
        user,
        output,
        inline,
        limits,
        fields.number("keep", 3600, 0, 30 * 86400),
        fields.whole("most_kept", 100, 0, 100_000),
        fields.number("grace", 2, 0, 60),
        fields.one_of("isolation", "required", ("required", "none")) == "required",
    )
    fields.end()
    return found


def _command(name: str, said: object, home: Path, faults: list[str]) -> Command:
    at = f"options.commands.{name}"
    try:
        ids.name(name, "")
    except Invalid as e:
        faults.append(f"{at}: {e}")
    fields = Fields(said, at, faults)
    fields.need("argv")
    argv = fields.texts("argv")
    if fields.has("argv") and not argv:
        fields.fault("argv", "is empty: the program comes first")
    most, match = fields.take("args", (0, NOT_AN_OPTION), _args)
    nothing: dict[str, str] = {}
    env = fields.take("env", nothing, _environment)
    found = Command(
        name,
        argv,
        fields.number("timeout", 600, 0.1, 7 * 86400),
        fields.take("dir", "", _folder),
        env,
        fields.take("secrets", nothing, lambda v: _secrets(v, home)),
        most,
        match,
        fields.take("read", (), _paths),
        fields.take("write", (), _paths),
        fields.texts("files", most=20),
        fields.flag("check", False),
        fields.take("ports", None, _ports),
    )
    fields.end()
    if argv and not shutil.which(argv[0], path=env.get("PATH", PATH)):
        fields.fault("argv[0]", f"{argv[0]!r} is not a program here (looked in {env.get('PATH', PATH)})")
    return found


def _limits(fields: Fields) -> tuple[dict[str, int], int, int]:
    output = fields.whole("output", 8 << 20, 1024, 60 << 20)
    inline = fields.whole("inline", 64 << 10, 0, 256 << 10)
    found = {"CORE": 0, "FSIZE": 1 << 30}
    for key, name in _LIMITS.items():
        most = fields.whole(key, -1, 1, 1 << 50)
        if most >= 0:
            found[name] = most
    fields.end()
    return found, output, inline


def _args(value: object) -> tuple[int, re.Pattern[str]]:
    """false: none. true: up to 64 that are no options. {"most": 3, "match": "..."}: as said."""
    if isinstance(value, bool):
        return (64 if value else 0), NOT_AN_OPTION
    faults: list[str] = []
    fields = Fields(value, "", faults)
    found = fields.whole("most", 64, 0, 1000), fields.take("match", NOT_AN_OPTION, pattern)
    fields.end()
    if faults:
        raise Invalid("", "; ".join(faults))
    return found


def _environment(value: object) -> dict[str, str]:
    said = mapping(value)
    for key, text in said.items():
        if not _VARIABLE.fullmatch(key) or not isinstance(text, str) or "\0" in text:
            raise Invalid("", f"{key[:80]!r} is not a variable with a text")
    return said


def _secrets(value: object, home: Path) -> dict[str, str]:
    """Variable -> the path of its file, which must be there."""
    found = {}
    for key, name in _environment(value).items():
        folder = Path(os.environ.get("CREDENTIALS_DIRECTORY", home))
        path = folder / name
        if not os.access(path, os.R_OK):
            raise Invalid(f".{key}", f"{path} cannot be read")
        found[key] = str(path)
    return found


def _paths(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(v, str) and Path(v).is_absolute() for v in value):
        raise Invalid("", "is not a list of absolute paths")
    return tuple(value)


def _ports(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list) or not all(type(v) is int and 1 <= v <= 65535 for v in value):
        raise Invalid("", "is not a list of ports")
    return tuple(value)


def _folder(value: object) -> str:
    if not isinstance(value, str) or not Path(value).is_absolute() or not Path(value).is_dir():
        raise Invalid("", f"{str(value)[:200]!r} is not the absolute path of a folder")
    return value


def _user(value: object) -> str:
    """Another user, which only root can become. Raises Invalid."""
    if not isinstance(value, str):
        raise Invalid("", f"{str(value)[:80]!r} is not the name of a user")
    try:
        found = pwd.getpwnam(value)
    except KeyError:
        raise Invalid("", f"there is no user {value[:80]!r}") from None
    if os.geteuid() not in (0, found.pw_uid):
        raise Invalid("", f"only root can run commands as {value}")
    return value
