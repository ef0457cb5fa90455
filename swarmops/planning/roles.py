"""Reads `roles/<name>/role.yaml`: what it declares, with its places, and every mistake in it.

A role is read once for the whole fleet: unknown keys, kinds and arguments, missing and mistyped ones, names that
nothing registers or handles are found here, whatever the hosts are. What depends on a host is left as templates.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarmops.model import yaml
from swarmops.model.faults import Faults, Mark, closest
from swarmops.model.textfile import shown
from swarmops.planning.kinds_spec import Spec, Wrong, describe, names, read_duration, spec
from swarmops.planning.templating import Fault, Templates, is_template

NOWHERE = Mark()
ROLE_KEYS = (
    "role",
    "needs",
    "after",
    "when",
    "tags",
    "secrets",
    "vars",
    "ports",
    "tasks",
    "handlers",
    "checks",
    "backups",
)
TASK_KEYS = ("name", "when", "loop", "notify", "register", "tags", "secret", "guard")
HANDLER_KEYS = ("name", "when", "tags", "secret", "guard")
CHECK_KEYS = ("name", "when", "loop", "tags", "within", "from", "max", "min", "warn", "service")
BACKUP_KEYS = ("name", "when", "loop", "tags", "keep")
PORT_KEYS = ("port", "from", "proto", "via", "name", "when")
ELSEWHERE = {
    "block": "write its tasks one after the other, each with its `when`",
    "rescue": "a failed task stops its role; there is no rescue",
    "always": "a failed task stops its role; there is no always",
    "become": "every task runs as root",
    "become_user": "use the kind `command` with runuser, or the argument `owner`",
    "with_items": "use loop",
    "with_dict": 'use loop: "{{ map | dict2items }}"',
    "vars": "put them into the role's vars",
    "ignore_errors": "a failed task stops its role",
    "delegate_to": "a task runs on its own host",
    "run_once": "a task runs on every host of its role",
    "listen": "name the handler in notify",
    "changed_when": "the kind knows; a command takes creates or unless",
    "failed_when": "the kind knows",
    "environment": "the kind `command` takes env",
    "include_tasks": "one role, one file",
    "import_tasks": "one role, one file",
}


@dataclass
class Item:
    """A task, handler, check or backup as it is written: `spec` of its kind, prepared arguments, places."""

    name: Any
    label: str  # the name as written, for messages
    mark: Mark
    spec: Spec
    args: dict[str, Any]
    marks: dict[str, Mark]
    args_mark: Mark
    when: list[tuple[str, Mark]] = field(default_factory=list)
    loop: Any = None
    loop_mark: Mark = NOWHERE
    notify: list[str] = field(default_factory=list)
    register: str = ""
    tags: list[str] = field(default_factory=list)
    secret: Any = False  # or a template
    guard: Any = False
    more: dict[str, Any] = field(default_factory=dict)  # checks: within, from, max, min, warn, service; backups: keep
    path: str = ""
    broken: bool = False  # it has a fault that was noted: no host is planned with it


@dataclass
class Port:
    """One entry of `ports`: who may reach which port. Values may be templates."""

    port: Any
    sources: Any
    proto: Any
    via: Any
    name: str
    when: list[tuple[str, Mark]]
    mark: Mark
    path: str


@dataclass
class Role:
    """One role, read."""

    name: str
    folder: Path
    file: str
    needs: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    when: list[tuple[str, Mark]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    vars: dict[str, Any] = field(default_factory=dict)  # prepared
    var_marks: dict[str, Mark] = field(default_factory=dict)
    ports: list[Port] = field(default_factory=list)
    tasks: list[Item] = field(default_factory=list)
    handlers: list[Item] = field(default_factory=list)
    checks: list[Item] = field(default_factory=list)
    backups: list[Item] = field(default_factory=list)
    needs_marks: dict[str, Mark] = field(default_factory=dict)
    derive: Callable[[Any], Mapping[str, Any]] | None = None  # role.py's vars(context)
    mark: Mark = NOWHERE

    @property
    def prefix(self) -> str:
        """How its variables begin outside the role: `ai-stack` -> `ai_stack_`."""
        return self.name.replace("-", "_") + "_"


def known_roles(paths: Sequence[Path]) -> dict[str, Path]:
    """Every role there is: name -> its folder. Earlier paths win."""
    found: dict[str, Path] = {}
    for path in reversed(list(paths)):
        if path.is_dir():
            found.update({p.name: p for p in sorted(path.iterdir()) if (p / "role.yaml").is_file()})
    return dict(sorted(found.items()))


def load(folder: Path, templates: Templates, faults: Faults, *, project: Path | None = None) -> Role | None:
    """The role in `folder`; None when its file cannot be read at all. Adds every fault."""
    file = folder / "role.yaml"
    where = Mark(shown(file, project), 1, 1)
    before = len(faults.errors)
    data = yaml.load(file, faults, root=project)
    if not isinstance(data, Mapping):
        if len(faults.errors) == before:
            faults.add(where, "", "is empty" if data is None else "is not a map", "it begins with role: NAME")
        return None
    return _Reader(folder, where.file, data, templates, faults).role()


class _Reader:
    def __init__(self, folder: Path, file: str, data: Any, templates: Templates, faults: Faults):
        self.data, self.templates, self.faults = data, templates, faults
        self.made = Role(folder.name, folder, file, mark=data.mark)

    def role(self) -> Role:
        data, made = self.data, self.made
        self._known(data, ROLE_KEYS, "")
        if data.get("role", made.name) != made.name:
            said = f"says '{data['role']}', its folder says '{made.name}'"
            self.faults.add(data.value_mark("role"), "role", said, f"role: {made.name}")
        for key in ("needs", "after", "tags"):
            setattr(made, key, self._words(data, key, key))
        made.secrets = self._secrets()
        made.needs_marks = self._word_marks("needs") | self._word_marks("after")
        made.when = self._when(data, "when")
        self._vars()
        made.ports = [p for i, entry in self._entries("ports") if (p := self._port(entry, i))]
        made.tasks = self._items("tasks", "kind", TASK_KEYS)
        made.handlers = self._items("handlers", "kind", HANDLER_KEYS)
        made.checks = self._items("checks", "probe", CHECK_KEYS)
        made.backups = self._items("backups", "source", BACKUP_KEYS)
        self._names_meet()
        self._python()
        return made

    def _known(self, box: Any, keys: Sequence[str], path: str) -> None:
        for key in box:
            if key not in keys:
                hint = ELSEWHERE.get(str(key)) or closest(str(key), keys)
                self.faults.add(box.key_mark(key), path, f"unknown key '{key}'", hint)

    def _words(self, box: Any, key: str, path: str) -> list[str]:
        """A text or a list of texts."""
        value = box.get(key)
        if value is None:
            return []
        items = value if isinstance(value, list) else [value]
        for i, item in enumerate(items):
            if not isinstance(item, str) or not item:
                mark = value.value_mark(i) if isinstance(value, list) else box.value_mark(key)
                self.faults.add(mark, path, f"{describe(item)} is not a name")
        return [item for item in items if isinstance(item, str) and item]

    def _word_marks(self, key: str) -> dict[str, Mark]:
        value = self.data.get(key)
        if isinstance(value, list):
            return {str(v): value.value_mark(i) for i, v in enumerate(value)}
        return {str(value): self.data.value_mark(key)} if value else {}

    def _secrets(self) -> list[str]:
        return self._words(self.data, "secrets", "secrets")

    def _vars(self) -> None:
        box = self.data.get("vars")
        if box is None:
            return
        if not isinstance(box, Mapping):
            self.faults.add(self.data.value_mark("vars"), "vars", f"must be a map, not {describe(box)}")
            return
        for key, value in box.items():
            mark = box.value_mark(key)
            if not isinstance(key, str) or not key.isidentifier():
                hint = "letters, digits and _"
                self.faults.add(box.key_mark(key), "vars", f"'{key}' is not a variable's name", hint)
                continue
            self.made.vars[key] = self._prepare(value, mark, f"vars.{key}")
            self.made.var_marks[key] = box.key_mark(key)

    def _prepare(self, value: Any, mark: Mark, path: str) -> Any:
        try:
            return self.templates.prepare(value, mark)
        except Fault as e:
            self.faults.add(e.trouble.mark, path, e.trouble.sentence, e.trouble.hint)
            return None

    def _entries(self, key: str) -> list[tuple[int, Any]]:
        value = self.data.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            hint = "begin each with '- '"
            self.faults.add(self.data.value_mark(key), key, f"must be a list, not {describe(value)}", hint)
            return []
        found = []
        for i, entry in enumerate(value):
            if isinstance(entry, Mapping):
                found.append((i, entry))
            else:
                self.faults.add(value.value_mark(i), f"{key}[{i}]", f"must be a map, not {describe(entry)}")
        return found

    def _items(self, key: str, room: str, keys: Sequence[str]) -> list[Item]:
        found: list[Item] = []
        for i, entry in self._entries(key):
            item = self._item(key, i, entry, room, keys)
            if item is None:
                continue
            if any(other.label == item.label for other in found):
                self.faults.add(item.mark, item.path, "the name is used twice", "names tell them apart in the output")
            found.append(item)
        return found

    def _item(self, key: str, i: int, entry: Any, room: str, keys: Sequence[str]) -> Item | None:
        name = entry.get("name")
        label = str(name) if name else str(i)
        path = f"{key}[{label}]"
        kinds = names(room)
        chosen = [k for k in entry if k not in keys and _bare(k) in kinds]
        unknown = [k for k in entry if k not in keys and k not in chosen]
        for k in unknown:
            wants = [*keys, *kinds]
            hint = ELSEWHERE.get(str(k)) or closest(str(k), wants)
            sentence = f"unknown key '{k}'" if chosen or k in ELSEWHERE else f"unknown {room} '{k}'"
            self.faults.add(entry.key_mark(k), path, sentence, hint)
        if not isinstance(name, str) or not name.strip():
            self.faults.add(entry.mark, path, "has no name", "name: what it makes so")
        if len(chosen) != 1:
            if len(chosen) > 1:
                said = f"has two {room}s: {' and '.join(map(str, chosen))}"
                self.faults.add(entry.key_mark(chosen[1]), path, said, f"one {room} each")
            elif not unknown:
                self.faults.add(entry.mark, path, f"has no {room}", "")
            return None
        return self._filled(entry, chosen[0], spec(room, _bare(chosen[0])), path, label)

    def _filled(self, entry: Any, key: str, of: Spec, path: str, label: str) -> Item:
        mark, before = entry.value_mark(key), len(self.faults.errors)
        item = Item(self._prepare(entry.get("name") or label, entry.mark, path), label, entry.mark, of, {}, {}, mark)
        item.path = path
        item.when = self._when(entry, path)
        if "loop" in entry:
            item.loop, item.loop_mark = self._loop(entry, path), entry.value_mark("loop")
        item.args, item.marks = self._args(of, entry, key, f"{path}.{of.name}")
        item.notify = self._words(entry, "notify", f"{path}.notify")
        item.tags = self._words(entry, "tags", f"{path}.tags")
        item.secret, item.guard = (self._flag(entry, k, path) for k in ("secret", "guard"))
        item.register = self._register(entry, path)
        item.more = self._more(entry, path)
        item.broken = len(self.faults.errors) > before
        return item

    def _loop(self, entry: Any, path: str) -> Any:
        prepared = self._prepare(entry["loop"], entry.value_mark("loop"), f"{path}.loop")
        if not is_template(prepared) and not isinstance(prepared, list) and prepared is not None:
            said = f"must be a list, not {describe(prepared)}"
            self.faults.add(entry.value_mark("loop"), f"{path}.loop", said, 'such as [a, b] or "{{ names }}"')
        return prepared

    def _args(self, of: Spec, entry: Any, key: str, path: str) -> tuple[dict[str, Any], dict[str, Mark]]:
        """Arguments by name: constants as their types, the rest prepared. Defaults filled in."""
        value, mark = entry[key], entry.value_mark(key)
        args: dict[str, Any] = {a.name: a.default for a in of.args.values()}
        given = of.names_for(value, mark, path, self.faults)
        if given is None:
            return args, {}
        marks = {}
        short = not isinstance(value, Mapping)
        for name, arg in of.args.items():
            if given.get(name) is None:
                continue
            marks[name] = mark if short else value.value_mark(name)
            raw = entry.raw(key) if short else value.raw(name)
            args[name] = self._prepare(given[name], marks[name], f"{path}.{name}")
            if is_template(args[name]) or args[name] is None:
                continue
            try:
                args[name] = arg.read(args[name], raw)
            except Wrong as e:
                self.faults.add(marks[name], f"{path}.{name}", e.sentence, e.hint)
                args[name] = None
        return args, marks

    def _when(self, entry: Any, path: str) -> list[tuple[str, Mark]]:
        value = entry.get("when")
        if value is None:
            return []
        items = value if isinstance(value, list) else [value]
        found = []
        for i, item in enumerate(items):
            mark = value.value_mark(i) if isinstance(value, list) else entry.value_mark("when")
            if isinstance(item, bool):
                item = str(item).lower()
            if not isinstance(item, str) or not item.strip():
                self.faults.add(mark, f"{path}.when", f"must be an expression, not {describe(item)}")
            elif item.strip().startswith("{{"):
                self.faults.add(mark, f"{path}.when", "is an expression already", "write it without {{ }}")
            else:
                found.append((item.strip(), mark))
        return found

    def _flag(self, entry: Any, key: str, path: str) -> Any:
        value = self._prepare(entry.get(key, False), entry.value_mark(key), f"{path}.{key}")
        if is_template(value):
            return value
        if not isinstance(value, bool):
            self.faults.add(entry.value_mark(key), f"{path}.{key}", f"must be true or false, not {describe(value)}")
        return value is True

    def _register(self, entry: Any, path: str) -> str:
        value = entry.get("register")
        if value is None:
            return ""
        if not isinstance(value, str) or not value.isidentifier() or value in ("facts", "item"):
            said = f"{describe(value)} is not a name for a result"
            self.faults.add(entry.value_mark("register"), f"{path}.register", said, "letters, digits and _")
            return ""
        if "loop" in entry:
            said = "a task with a loop has many results"
            self.faults.add(
                entry.value_mark("register"), f"{path}.register", said, "notify a handler, or write two tasks"
            )
        return value

    def _more(self, entry: Any, path: str) -> dict[str, Any]:
        more: dict[str, Any] = {}
        for key in ("within", "max", "min", "warn", "service", "keep", "from"):
            if entry.get(key) is None:
                continue
            more[key] = self._prepare(entry[key], entry.value_mark(key), f"{path}.{key}")
            more[f"{key} mark"] = entry.value_mark(key)
            if not is_template(more[key]):
                try:
                    more[key] = read_more(key, more[key], entry.raw(key))
                except Wrong as e:
                    self.faults.add(entry.value_mark(key), f"{path}.{key}", e.sentence, e.hint)
        return more

    def _port(self, entry: Any, i: int) -> Port | None:
        path = f"ports[{entry.get('name') or i}]"
        self._known(entry, PORT_KEYS, path)
        if "port" not in entry or "from" not in entry:
            for key in ("port", "from"):
                if key not in entry:
                    self.faults.add(entry.mark, path, f"'{key}' is missing", "who may reach which port")
            return None
        take = {k: self._prepare(entry.get(k), entry.value_mark(k), f"{path}.{k}") for k in PORT_KEYS[:4]}
        return Port(
            take["port"],
            take["from"],
            take["proto"] or "tcp",
            take["via"] or "any",
            str(entry.get("name") or ""),
            self._when(entry, path),
            entry.mark,
            path,
        )

    def _names_meet(self) -> None:
        """Whatever `notify` names must be a handler."""
        handlers = [h.label for h in self.made.handlers]
        for i, entry in self._entries("tasks"):
            for name in self._words(entry, "notify", "") if "notify" in entry else []:
                if name not in handlers:
                    path = f"tasks[{entry.get('name') or i}].notify"
                    hint = closest(name, handlers) or "the role has no handlers"
                    self.faults.add(entry.value_mark("notify"), path, f"there is no handler '{name}'", hint)
        seen: dict[str, str] = {}
        for item in self.made.tasks:
            if item.register and item.register in seen:
                said = f"'{item.register}' is registered by '{seen[item.register]}' already"
                self.faults.add(item.mark, f"{item.path}.register", said)
            seen[item.register] = item.label

    def _python(self) -> None:
        """`role.py` beside role.yaml: its `vars(context)` derives variables."""
        file = self.made.folder / "role.py"
        if not file.is_file():
            return
        mark = Mark(str(Path(self.made.file).with_name("role.py")))
        module_spec = importlib.util.spec_from_file_location(f"swarmops_role_{self.made.name}", file)
        module = importlib.util.module_from_spec(module_spec)  # type: ignore[arg-type]
        try:
            module_spec.loader.exec_module(module)  # type: ignore[union-attr]
            self.made.derive = module.vars
        except Exception as e:  # a role is the user's file: whatever is wrong in it is a fault of theirs
            line = getattr(e, "lineno", None) or _last_line(e, file)
            self.faults.add(Mark(mark.file, line or 0), "", f"cannot be loaded: {type(e).__name__}: {e}")


def _bare(key: Any) -> str:
    """`ansible.builtin.copy` means `copy`."""
    return str(key).removeprefix("ansible.builtin.").removeprefix("ansible.posix.")


def _last_line(error: BaseException, file: Path) -> int:
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def read_more(key: str, value: Any, raw: str | None = None) -> Any:
    """What a check or backup says besides its arguments, as its type. Raises `Wrong`."""
    if key == "within":
        return read_duration(value, raw)
    if key in ("max", "min", "keep"):
        number = _number(value)
        if key == "keep" and (number != int(number) or number < 1):
            raise Wrong(f"must be a whole number above 0, not {describe(value)}")
        return int(number) if number == int(number) else number
    if key == "warn":
        if not isinstance(value, Mapping) or not value or set(value) - {"max", "min"}:
            raise Wrong("must hold max or min", "warn: {max: 0.8}")
        return {k: v if is_template(v) else read_more(k, v) for k, v in value.items()}
    if key == "from" and value not in ("host", "controller"):
        raise Wrong(f"{describe(value)} is not one of host, controller")
    return value


def _number(value: Any) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError):
        raise Wrong(f"must be a number, not {describe(value)}") from None
