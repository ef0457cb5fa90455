"""The commands that the role `shell` lets tasks run, as a project declares them: read with every fault at its place.

    shell_commands:
      agent: {argv: [/opt/agents/agent, --print], args: {most: 1, match: "[a-z]+"}, timeout: 10m,
              secrets: {API_KEY: {secret: agents.key}}}

What comes of it is the `options` of the worker (`swarmops.workers.shell.commands` reads those on the host, where it
looks at what only the host knows: whether programs and folders are there).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from swarmops.model.literals import looks_secret
from swarmops.model.schema import readers as r
from swarmops.model.schema.section import Place, Reader, Section, Wrong, field
from swarmops.model.secrets import Secret, reference
from swarmops.planning.views import Context

SHELLS = ("sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "csh", "tcsh", "fish", "rbash", "busybox", "pwsh")
RUNNERS = ("env", "sudo", "su", "doas", "xargs", "setpriv", "nsenter", "unshare", "chroot")  # of any other program
OURS = ("PATH", "HOME", "TMPDIR", "LANG", "SWARMOPS_TASK", "SWARMOPS_ATTEMPT", "SWARMOPS_TASK_FOLDER")
CHANGES_PROGRAMS = re.compile(r"LD_.*|GCONV_PATH|BASH_ENV|ENV|IFS")
HIDDEN = tuple("/home /root /run /tmp /var/tmp /dev".split())  # from the unit, or from every command
SYSTEM = tuple("/bin /boot /dev /etc /lib /lib32 /lib64 /proc /root /run /sbin /sys /usr".split())
WHOLE = tuple("/ /home /media /mnt /opt /srv /tmp /var /var/cache /var/lib /var/tmp".split())
WEEK = 7 * 86400


def path(value: Any, place: Place) -> str:
    """An absolute path without . and .. in it."""
    given = r.text(value, place)
    if not given.startswith("/"):
        raise Wrong(f"{r.show(value)} is not an absolute path", "it starts with /")
    if str(PurePosixPath(given)) != given or ".." in given.split("/"):
        raise Wrong(f"{r.show(value)} has '..', '.', '//' or a '/' at its end", "write it in full")
    return given


def program(value: Any, place: Place) -> str:
    """What is run: by its whole path, and neither a shell nor what runs any other program."""
    given = r.text(value, place)
    name = re.sub(r"[-.\d]+$", "", PurePosixPath(given).name)
    if name in SHELLS:
        hint = "name a program, or a script that begins with #!"
        raise Wrong(f"{r.show(value)} is a shell: who gives it arguments or stdin could run anything", hint)
    if name in RUNNERS:
        raise Wrong(f"{r.show(value)} runs other programs, whatever the list says", "name the program itself")
    if not given.startswith("/"):
        raise Wrong(
            f"{r.show(value)} is not the whole path of a program",
            f"such as /usr/bin/{PurePosixPath(given).name or 'wc'}",
        )
    return path(value, place)


def argv(value: Any, place: Place) -> list[str]:
    if not isinstance(value, list) or not value:
        raise Wrong("must be a list that begins with a program", "argv: [/usr/bin/wc, -w]")
    found = [place.child(value, 0).read(program, value[0], "")]
    return found + [place.child(value, i).read(word, value[i], "") for i in range(1, len(value))]


def word(value: Any, place: Place) -> str:
    """A fixed argument. Numbers are meant as they are written."""
    if reference(value):
        raise Wrong("a secret in an argument could be seen by every user of the host", "secrets: {NAME: {secret: ...}}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = place.raw if isinstance(place.raw, str) else str(value)
    return r.text(value, place)


def pattern(value: Any, place: Place) -> str:
    given = r.text(value, place)
    try:
        re.compile(given)
    except re.error as e:
        raise Wrong(f"{r.show(value)} is not a regular expression: {e}") from None
    return given


class Args(Section):
    most: int = field(r.integer(0, 1000, "a number of arguments"), 64, "how many a task may add")
    match: str = field(pattern, "", "what each of them must fit, as a whole")


def args(value: Any, place: Place) -> Any:
    """true, or how many and what they must fit."""
    if isinstance(value, bool):
        return value
    found = Args.read(value, place)
    return {name: getattr(found, name) for name in found.given}


def variable(value: Any, place: Place) -> str:
    """A name of the environment that is not ours and does not change how programs are loaded."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise Wrong(f"{r.show(value)} is not a name for an environment variable", "letters, digits and _")
    if value in OURS:
        raise Wrong(f"{value} is set for every command", f"not to be given: {', '.join(OURS)}")
    if CHANGES_PROGRAMS.fullmatch(value):
        raise Wrong(f"{value} changes which code programs load")
    return value


def environment(value: Any, place: Place) -> dict[str, str]:
    """Variable -> text."""

    def one(value: Any, place: Place) -> str:
        if reference(value):
            raise Wrong("a secret in `env` would stand in the configuration", "secrets: {NAME: {secret: ...}}")
        return r.text(value, place)

    found: dict[str, str] = r.map_of(one, variable)(value, place)
    return found


def secrets(value: Any, place: Place) -> dict[str, str]:
    """Variable -> the name of a secret."""

    def one(value: Any, place: Place) -> str:
        name = reference(value)
        if isinstance(value, str) and looks_secret(place.path.rpartition(".")[2]):
            return ""  # a literal one, which has its fault
        if not name:
            raise Wrong("must refer to a secret", "NAME: {secret: agents.key}, and 'swarmops secrets set agents.key'")
        return name

    found: dict[str, str] = r.map_of(one, variable)(value, place)
    return {key: name for key, name in found.items() if name}


def within(value: Any, place: Place) -> str:
    """A pattern of files below a task's folder."""
    given = r.text(value, place)
    if not given or given.startswith("/") or ".." in given.split("/"):
        raise Wrong(f"{r.show(value)} is not within the task's folder", "such as answer/*.md")
    return given


class Command(Section):
    argv: list[str] = field(argv, list, "the program and its fixed arguments")
    args: Any = field(args, False, "what a task may add")
    timeout: float = field(r.duration(most=WEEK), 600.0, "seconds")
    env: dict[str, str] = field(environment, dict, "its environment besides ours")
    secrets: dict[str, str] = field(secrets, dict, "variables whose values are secrets")
    write: list[str] = field(r.list_of(path), list, "folders that it may write besides")
    dir: str = field(path, "", "where it works, in place of a folder of its own")
    files: list[str] = field(r.list_of(within), list, "what it leaves that is kept as results")
    ports: list[int] = field(r.list_of(r.port), list, "TCP ports that it may connect to; without it all, [] for none")
    check: bool = field(r.boolean, False, "an exit code other than 0 is a failure")

    box: Mapping[str, Any] = {}  # as it is written

    def settle(self, place: Place) -> None:
        if "argv" not in self.given:
            place.faults.add(place.mark, place.path, "'argv' is missing", "argv: [/usr/bin/wc, -w]")
        for name in self.secrets.keys() & self.env.keys():
            place.faults.add(self.given["secrets"].mark, f"{place.path}.secrets.{name}", "is in `env` already")

    def options(self, name: str) -> dict[str, Any]:
        """As the worker reads it; secrets are files that the unit is handed."""
        found = {key: value for key, value in self.plain().items() if key in self.given}
        if self.secrets:
            found["secrets"] = {key: f"{name}.{key}" for key in self.secrets}
        return found


# `read` is what a section does, too.
Command.fields["read"] = field(r.list_of(path), list, "folders and files that it may read besides")


class Limits(Section):
    output: int = field(r.size, 8 << 20, "bytes kept of each of stdout and stderr")
    inline: int = field(r.size, 64 << 10, "bytes of these in the result")
    memory: int = field(r.size, 0, "address space of a process")
    file_size: int = field(r.size, 1 << 30, "bytes of a file")
    processes: int = field(r.integer(1, 1 << 22), 0, "of the user")
    open_files: int = field(r.integer(1, 1 << 20), 0, "of a process")
    cpu_seconds: int = field(r.integer(1, WEEK), 0, "of a process")


def elsewhere(hint: str) -> Reader:
    """Of the worker's options those that the role says itself."""

    def read(value: Any, place: Place) -> Any:
        raise Wrong(f"'{place.path.rpartition('.')[2]}' is not among the options", hint)

    return read


class Options(Section):
    limits: Limits = field(Limits.read, Limits, "of each command")
    keep: float = field(r.duration(most=30 * 86400), 3600.0, "how long folders of ended tasks stay")
    most_kept: int = field(r.integer(0, 100_000), 100, "how many of them")
    grace: float = field(r.duration(most=60), 2.0, "between SIGTERM and SIGKILL")
    isolation: str = field(r.choice("required", "none", what="a kind of isolation"), "required", "Landlock")
    commands: None = field(elsewhere("they are shell_commands"), None, "said apart")
    user: None = field(elsewhere("commands run as the unit's own"), None, "the unit's")


def read_folders(context: Context) -> list[str]:
    """The folders that commands share, which the role makes. Adds faults."""
    value, place = context.written("folders")
    value = [] if value is None else value
    rootless, found = bool(context.vars["rootless"]), []
    for i, folder in enumerate(place.read(r.list_of(path), value, [])):
        here = place.child(value, i) if isinstance(value, list) else place
        if folder in WHOLE or any(_below(folder, (s,)) for s in SYSTEM):
            here.faults.add(here.mark, here.path, f"{r.show(folder)} is the system's", "such as /srv/agents")
        elif not rootless and _below(folder, HIDDEN):
            here.faults.add(here.mark, here.path, f"the unit does not see {r.show(folder)}", "such as /srv/agents")
        else:
            found.append(folder)
    return found


def read_commands(context: Context, folders: Sequence[str]) -> tuple[dict[str, Any], dict[str, Secret]]:
    """The commands as the worker reads them, and the secrets by `<command>.<VARIABLE>`. Adds faults.

    Raises UnknownSecret.
    """
    value, place = context.written("commands")
    commands: dict[str, Any] = {}
    opened: dict[str, Secret] = {}
    declared: dict[str, Command] = place.read(r.map_of(Command.read), value, {})
    for name, command in declared.items():
        command.box = value[name]
        _reachable(command, folders, bool(context.vars["rootless"]))
        commands[name] = command.options(name)
        opened |= {f"{name}.{key}": context.store.get(secret) for key, secret in command.secrets.items()}
    return commands, opened


def read_options(context: Context) -> dict[str, Any]:
    """What holds for all commands. Adds faults."""
    value, place = context.written("options")
    found: Options | None = place.read(Options.read, value, None)
    return {} if found is None else {name: _given(getattr(found, name)) for name in found.given}


def _given(value: Any) -> Any:
    return {name: getattr(value, name) for name in value.given} if isinstance(value, Section) else value


def _reachable(command: Command, folders: Sequence[str], rootless: bool) -> None:
    """What the unit hides no command can use; what it may write is declared."""
    for key in ("argv", "read"):
        for i, at in enumerate(getattr(command, key)[: 1 if key == "argv" else None]):
            if not rootless and _below(at, HIDDEN) and not _below(at, folders):
                _fault(command, key, i, f"commands of the unit do not see {r.show(at)}", "put it into /opt or /srv")
    for i, at in enumerate(command.write):
        if not _below(at, folders):
            _fault(command, "write", i, f"{r.show(at)} is in none of the folders", f"shell_folders: [{at}]")
    if command.dir and not _below(command.dir, folders):
        said = f"{r.show(command.dir)} is in none of the folders"
        _fault(command, "dir", None, said, f"shell_folders: [{command.dir}]")


def _fault(command: Command, key: str, index: int | None, sentence: str, hint: str) -> None:
    place, box = command.given[key], command.box[key]
    here = place if index is None or not isinstance(box, list) else place.child(box, index)
    place.faults.add(here.mark, here.path, sentence, hint)


def _below(at: str, folders: Sequence[str]) -> bool:
    return any(PurePosixPath(at).is_relative_to(folder) for folder in folders)
