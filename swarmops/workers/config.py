"""The configuration of a worker process: a JSON file, or what the role does without one. All mistakes are said at once.

{"role": "npu", "name": "npu-1", "bind": ["10.77.0.22", "127.0.0.1"], "port": 8081, "tokens": "tokens.json",
 "queue": "default", "home": "/var/lib/swarmops/npu", "concurrency": 16, "drain": 30, "options": {}}

"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from swarmops.runtime import ids
from swarmops.runtime.errors import Invalid
from swarmops.runtime.registry.agents import stable_id
from swarmops.workers.finding import known_roles
from swarmops.workers.reading import mapping

PORTS = {"npu": 8081, "ai": 8080, "browser": 3000}  # of the roles that come with swarmops; a shell has none
LOOPBACK = ("127.0.0.1",)


@dataclass(frozen=True, slots=True)
class Config:
    """How one worker process is to be.

    roles: executors, by the names of their files. name: its id as an agent. bind: addresses; port: None for no HTTP.
    tokens: the file of those who may ask, None: whoever reaches loopback may. concurrency: tasks at once. drain:
    seconds that what runs is given at the end. hosts: names under which it may be asked, besides its own. body: bytes
    of one request. options: the executor's own; of several roles, by role. source: where all this is said.
    """

    roles: tuple[str, ...]
    name: str
    home: Path
    bind: tuple[str, ...] = LOOPBACK
    port: int | None = None
    queue: str = "default"
    tokens: Path | None = None
    concurrency: int = 16
    drain: float = 30.0
    lease: float = 30.0
    hosts: tuple[str, ...] = ()
    body: int = 1 << 20
    options: Mapping[str, Any] = field(default_factory=dict)
    source: str = "the defaults"

    def options_of(self, role: str) -> Mapping[str, Any]:
        """What the executor of this role is told."""
        if len(self.roles) == 1:
            return self.options
        found: Mapping[str, Any] = self.options.get(role, {})
        return found

    @property
    def url(self) -> str:
        """Where others reach it, "" for nowhere."""
        if self.port is None:
            return ""
        host = next((b for b in self.bind if not _loopback(b)), self.bind[0])
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


class BadConfig(Invalid):
    """Mistakes of a configuration, one a line."""

    def __init__(self, faults: Sequence[str]):
        self.faults = list(faults)
        super().__init__("", "\n".join(faults))


def default(roles: Sequence[str]) -> Config:
    """What roles do without a file: loopback, the first role's port, no tokens. Raises BadConfig."""
    if faults := [f"--role: {why}" for role in roles if (why := _role_fault(role))]:
        raise BadConfig(faults)
    first = roles[0]
    return Config(tuple(dict.fromkeys(roles)), stable_id(first), _home(first), port=PORTS.get(first))


def read(path: str | Path, roles: Sequence[str] = ()) -> Config:
    """A configuration from a file; names of other files in it are relative to its folder.

    `roles` must be those it says, if it says any. Raises BadConfig with one line a mistake, `worker.json: port: ...`.
    """
    file = Path(path)
    try:
        said = json.loads(file.read_text())
    except OSError as e:
        raise BadConfig([f"{file}: {e.strerror or e}"]) from None
    except ValueError as e:
        raise BadConfig([f"{file}: is not JSON: {e}"]) from None
    if not isinstance(said, dict):
        raise BadConfig([f"{file}: is not a JSON object"])
    found, faults = _checked(said, roles, file.parent)
    if faults or found is None:
        raise BadConfig([f"{file}: {fault}" for fault in faults])
    return replace(found, source=str(file))


def with_options(config: Config, **given: Any) -> Config:
    """`config` with what the command line says besides. Raises BadConfig."""
    changes = {k: v for k, v in given.items() if v not in (None, ())}
    found = replace(config, **changes)
    if fault := _open_fault(found):
        raise BadConfig([f"--bind: {fault}"])
    return found


def _checked(said: Mapping[str, Any], asked: Sequence[str], folder: Path) -> tuple[Config | None, list[str]]:
    faults: list[str] = []
    values: dict[str, Any] = {}
    for key, value in said.items():
        if key not in READ:
            faults.append(f"{key}: is no setting of a worker{_like(key)}")
            continue
        try:
            values[key] = READ[key](value)
        except Invalid as e:
            faults.append(f"{key}{e.path}: {str(e).removeprefix(f'{e.path}: ')}")
    roles = values.pop("role", ()) or tuple(asked)
    if not roles and "role" not in said:
        faults.append("role: is not said (and no --role)")
    if roles and asked and set(asked) - set(roles):
        faults.append(f"role: is {', '.join(roles)}, but --role says {', '.join(asked)}")
    if faults:
        return None, faults
    first = roles[0]
    values["home"] = folder / values["home"] if "home" in values else _home(first)
    if values.get("tokens"):
        values["tokens"] = folder / values["tokens"]
    values.setdefault("name", stable_id(first))
    values.setdefault("port", PORTS.get(first))
    config = Config(tuple(dict.fromkeys(roles)), **values)
    return config, _whole_faults(config)


def _whole_faults(config: Config) -> list[str]:
    faults = [f"tokens: {fault}" for fault in [_open_fault(config)] if fault]
    if config.tokens and not os.access(config.tokens, os.R_OK):
        faults.append(f"tokens: {config.tokens} cannot be read")
    if len(config.roles) > 1:
        for role, options in config.options.items():
            if role not in config.roles or not isinstance(options, dict):
                faults.append(f"options.{role}: with several roles, options are by role: an object for each")
    return faults


def _open_fault(config: Config) -> str:
    if config.port is None or config.tokens:
        return ""
    open_ = [b for b in config.bind if not _loopback(b)]
    return f"without tokens it may listen on loopback only, not on {', '.join(open_)}" if open_ else ""


def _home(role: str) -> Path:
    """Under the user's state directory, as the tier `local` has it."""
    state = os.environ.get("STATE_DIRECTORY", "").split(":")[0]  # systemd's
    if state:
        return Path(state)
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(base) / "swarmops" / "workers" / role


def _loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _like(key: str) -> str:
    close = get_close_matches(key, READ, 1)
    return f" (did you mean {close[0]!r}?)" if close else f" (there are {', '.join(sorted(READ))})"


# -- one setting each: the value as it is used, or Invalid


def _role_fault(role: object) -> str:
    known = known_roles()
    return "" if role in known else f"{str(role)[:80]!r} is no role of workers (there are {', '.join(known)})"


def _roles(value: object) -> tuple[str, ...]:
    many = value if isinstance(value, list) else [value]
    for role in many:
        if fault := _role_fault(role):
            raise Invalid("", fault)
    if not many:
        raise Invalid("", "is empty")
    return tuple(str(role) for role in many)


def _addresses(value: object) -> tuple[str, ...]:
    many = value if isinstance(value, list) else [value]
    for i, one in enumerate(many):
        try:
            ipaddress.ip_address(one)
        except ValueError:
            raise Invalid(f"[{i}]", f"{str(one)[:80]!r} is not an IP address") from None
    if not many:
        raise Invalid("", "is empty: say 127.0.0.1, or port null for no HTTP")
    return tuple(many)


def _hosts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise Invalid("", "is not a list of names")
    return tuple(v.lower() for v in value)


def _port(value: object) -> int | None:
    return None if value is None else _whole(value, 1, 65535)


def _whole(value: object, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Invalid("", f"{str(value)[:80]!r} is not a whole number from {low} to {high}")
    return int(ids.number(value, "", low, high))


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise Invalid("", f"{str(value)[:80]!r} is not a path")
    return Path(value)


def _optional_path(value: object) -> Path | None:
    return None if value is None else _path(value)


READ: dict[str, Callable[[Any], Any]] = {
    "role": _roles,
    "name": lambda v: ids.name(v, ""),
    "bind": _addresses,
    "port": _port,
    "queue": lambda v: ids.name(v, ""),
    "home": _path,
    "tokens": _optional_path,
    "concurrency": lambda v: _whole(v, 1, 10_000),
    "drain": lambda v: ids.number(v, "", 0, 86400),
    "lease": lambda v: ids.number(v, "", 0.1, 86400),
    "hosts": _hosts,
    "body": lambda v: _whole(v, 1024, 64 << 20),
    "options": mapping,
}
_unread = {f.name for f in fields(Config)} - {*READ, "roles", "source"}
assert not _unread, f"settings that no file can say: {_unread}"
