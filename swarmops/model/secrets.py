"""Secrets: a type that does not leak, and one store. What leaves the program goes through redactor.py.

The inventory holds references only (`{secret: redis.app}`). The store is the environment
(`SWARMOPS_SECRET_REDIS_APP`) over one file: the one that `SWARMOPS_SECRETS` names, else `secrets.yaml.age` in
the project (encrypted, may live in git), else `secrets.yaml` in ~/.config/swarmops/<deployment>/ (mode 0600,
folder 0700).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from swarmops.model.faults import Faults, InputError, Mark, closest
from swarmops.model.secretvalues import MIN_LENGTH, generate, weak

if TYPE_CHECKING:
    from swarmops.model.secretfile import Entry, SecretFile

PREFIX = "SWARMOPS_SECRET_"
NAME = r"[a-z][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)*"


class Secret:
    """A value that shows itself as `<secret redis.app 3f9a>` everywhere but in `open()`.

    The four hex digits are of a keyed hash: they tell two versions apart and nothing else.
    """

    __slots__ = ("__open", "name", "tag")

    def __init__(self, name: str, value: str, key: bytes = b""):
        self.name = name
        self.tag = hmac.new(key or name.encode(), value.encode(), hashlib.sha256).hexdigest()[:4]
        self.__open: Callable[[], str] = lambda: value

    def open(self) -> str:
        """The value itself. For the renderer and for `secrets show`, nobody else."""
        return self.__open()

    def __str__(self) -> str:
        return f"<secret {self.name} {self.tag}>"

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        # What is pickled goes to a file or another process: it goes as the text it shows.
        return str, (str(self),)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self.open().encode(), other.open().encode())

    def __hash__(self) -> int:
        return hash((self.name, self.tag))

    def __iter__(self) -> NoReturn:
        raise TypeError(f"{self} has no letters to go through")


class UnknownSecret(KeyError):
    """The store has no secret of this name. `str()` is a sentence."""

    def __init__(self, name: str, where: str, known: Iterable[str] = ()):
        super().__init__(name)
        near = closest(name, known)
        hint = near if near.startswith("did") else "'swarmops secrets init' makes what is missing"
        self.name, self.sentence, self.hint = name, f"there is no secret '{name}' in {where}", hint

    def __str__(self) -> str:
        return f"{self.sentence} ({self.hint})"


def variable_of(name: str) -> str:
    """The environment variable that holds a secret: redis.app -> SWARMOPS_SECRET_REDIS_APP."""
    return PREFIX + name.upper().replace(".", "_").replace("-", "_")


class Store:
    """Where secrets are. Reads once; every change is written at once, atomically, under a lock.

    deployment: whose secrets they are.
    """

    def __init__(self, file: SecretFile, environ: Mapping[str, str], deployment: str = "swarmops"):
        self.file, self.deployment = file, deployment
        self.environ = {k: v for k, v in environ.items() if k.startswith(PREFIX) and v}

    @classmethod
    def find(cls, project: Any, environ: Mapping[str, str] | None = None) -> Store:
        """The store of a project (anything with `root` and `name`). Reads nothing yet."""
        return cls.at(project.root, project.name, environ)

    @classmethod
    def at(cls, root: Path | None, name: str, environ: Mapping[str, str] | None = None) -> Store:
        from swarmops.model.secretfile import SecretFile

        env = os.environ if environ is None else environ
        identity = env.get("SWARMOPS_AGE_IDENTITY")
        return cls(SecretFile(_path(root, name, env), Path(identity) if identity else None), env, name)

    @property
    def where(self) -> str:
        return str(self.file.path)

    @property
    def entries(self) -> dict[str, Entry]:
        return self.file.entries

    def get(self, name: str) -> Secret:
        """The secret. Raises `UnknownSecret`; `InputError` when the store cannot be used."""
        if value := self.environ.get(variable_of(name)):
            return Secret(name, value)
        if entry := self.entries.get(name):
            return Secret(name, entry.value, self.file.key)
        raise UnknownSecret(name, self.where, self.names())

    def previous(self, name: str) -> Secret | None:
        """The value before the rotation that is under way; None when there is none."""
        entry = self.entries.get(name)
        if not entry or not entry.previous or self.source(name) == "environment":
            return None
        return Secret(name, entry.previous, self.file.key)

    def source(self, name: str) -> str:
        """'environment', 'file' or '' (missing)."""
        if variable_of(name) in self.environ:
            return "environment"
        return "file" if name in self.entries else ""

    def names(self) -> list[str]:
        """All names. Those that only the environment has are guessed: REDIS_APP as redis.app."""
        known = set(self.entries)
        covered = {variable_of(n) for n in known}
        guessed = {v.removeprefix(PREFIX).lower().replace("_", ".") for v in self.environ if v not in covered}
        return sorted(known | guessed)

    def values(self) -> list[Secret]:
        """Every value there is, earlier ones too: what the redactor looks for. Never raises."""
        found = [Secret(v.removeprefix(PREFIX).lower().replace("_", "."), x) for v, x in self.environ.items()]
        try:
            entries = self.entries
        except InputError:
            return found
        for name, entry in entries.items():
            found += [Secret(name, v, self.file.key) for v in (entry.value, entry.previous) if v]
        return found

    def create(self, name: str, kind: str = "") -> Secret:
        """Makes a secret that is missing; one that exists is returned as it is, never overwritten."""
        if self.source(name):
            return self.get(name)
        self.file.change(lambda entries, make: entries.setdefault(name, make(generate(name, kind))))
        return self.get(name)

    def set(self, name: str, value: str) -> Secret:
        """Sets a value that somebody else made (a Tailscale key). Keeps no previous one."""
        self._not_from_environment(name)
        self.file.change(lambda entries, make: entries.update({name: make(value)}))
        return self.get(name)

    def rotate(self, name: str) -> Secret:
        """A new value; the old one stays as `previous` until `finish`, so that both are accepted meanwhile.

        Raises `InputError` while an earlier rotation is not finished, `UnknownSecret` without such a secret.
        """
        self._not_from_environment(name)

        def change(entries: dict[str, Entry], make: Callable[[str], Entry]) -> None:
            old = entries.get(name)
            if old is None:
                raise UnknownSecret(name, self.where, entries)
            if old.previous:
                raise InputError.one(
                    f"an earlier rotation of '{name}' is not finished",
                    hint=f"swarmops deploy, then swarmops secrets rotate {name} --finish",
                )
            entries[name] = old.rotated(make(generate(name)))

        self.file.change(change)
        return self.get(name)

    def finish(self, name: str) -> bool:
        """Forgets the previous value. False when there was none."""
        done: list[str] = []

        def change(entries: dict[str, Entry], make: Callable[[str], Entry]) -> None:
            if (entry := entries.get(name)) is None:
                raise UnknownSecret(name, self.where, entries)
            if entry.previous:
                entries[name] = entry.finished()
                done.append(name)

        self.file.change(change)
        return bool(done)

    def _not_from_environment(self, name: str) -> None:
        if self.source(name) == "environment":
            hint = "change it where the environment comes from"
            raise InputError.one(f"'{name}' comes from {variable_of(name)}", hint=hint)

    def check(self, faults: Faults) -> None:
        """Adds what is wrong with the store (case 50) and with weak values in it (case 48)."""
        try:
            entries = self.entries
        except InputError as e:
            for fault in e.faults:
                faults.add(fault.mark, fault.path, fault.sentence, fault.hint)
            entries = {}
        for name, entry in entries.items():
            if why := weak(entry.value):
                faults.add(Mark(self.where), name, why, f"swarmops secrets rotate {name}")
        for variable, value in self.environ.items():
            if why := weak(value):
                faults.add(Mark(variable), "", why, f"at least {MIN_LENGTH} random characters")


class StandIns(Store):
    """A store for `validate`: what is missing or cannot be read is made up, so that all else can be checked."""

    @classmethod
    def of(cls, store: Store) -> StandIns:
        return cls(store.file, store.environ)

    def get(self, name: str) -> Secret:
        try:
            return super().get(name)
        except (UnknownSecret, InputError):
            return Secret(name, generate(name))

    def previous(self, name: str) -> Secret | None:
        try:
            return super().previous(name)
        except InputError:
            return None


def _path(root: Path | None, name: str, env: Mapping[str, str]) -> Path:
    if named := env.get("SWARMOPS_SECRETS"):
        return Path(named).expanduser()
    if root and (root / "secrets.yaml.age").exists():
        return root / "secrets.yaml.age"
    config = env.get("XDG_CONFIG_HOME") or Path(env.get("HOME") or "~").expanduser() / ".config"
    folder = Path(config) / "swarmops" / name
    aged = folder / "secrets.yaml.age"
    return aged if aged.exists() else folder / "secrets.yaml"


def reference(value: Any) -> str | None:
    """The name in `{secret: name}`; None when the value is something else."""
    if isinstance(value, Mapping) and len(value) == 1 and isinstance(value.get("secret"), str):
        return str(value["secret"])
    return None


def references(value: Any, mark: Mark | None = None) -> Iterator[tuple[str, Mark]]:
    """Every `{secret: name}` inside a value, with its place."""
    if name := reference(value):
        yield name, (value.value_mark("secret") if hasattr(value, "value_mark") else mark or Mark())
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from references(item, value.value_mark(key) if hasattr(value, "value_mark") else mark)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from references(item, value.value_mark(i) if hasattr(value, "value_mark") else mark)
