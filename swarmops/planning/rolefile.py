"""Reads `roles/<name>/role.yaml`: what it declares, with its places, and every mistake in it.

A role is read once for the whole fleet: unknown keys, kinds and arguments, missing and mistyped ones, names that
nothing registers or handles are found here, whatever the hosts are. What depends on a host is left as templates.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from swarmops.model import yaml
from swarmops.model.faults import Faults, Mark, closest
from swarmops.model.schema.section import Place
from swarmops.model.schema.serial import Serial, serial
from swarmops.model.textfile import shown
from swarmops.planning.items import BACKUP_KEYS, CHECK_KEYS, HANDLER_KEYS, TASK_KEYS, ItemReader
from swarmops.planning.kinds_spec import describe
from swarmops.planning.roles import Port, Role
from swarmops.planning.templating import Templates

ROLE_KEYS = (
    "role",
    "needs",
    "after",
    "when",
    "rootless",
    "serial",
    "tags",
    "secrets",
    "vars",
    "ports",
    "tasks",
    "handlers",
    "checks",
    "backups",
)
PORT_KEYS = ("port", "from", "proto", "via", "name", "when")


def load(folder: Path, templates: Templates, faults: Faults, *, project: Path | None = None) -> Role | None:
    """The role in `folder`; None when its file cannot be read at all. Adds every fault."""
    file = folder / "role.yaml"
    where = Mark(shown(file, project), 1, 1)
    before = len(faults.errors)
    data = yaml.load(file, faults, root=project)
    if not isinstance(data, yaml.Map):
        if len(faults.errors) == before:
            faults.add(where, "", "is empty" if data is None else "is not a map", "it begins with role: NAME")
        return None
    return RoleReader(folder, where.file, data, templates, faults).role()


class RoleReader(ItemReader):
    """Reads one role file into `made`."""

    def __init__(self, folder: Path, file: str, data: yaml.Map, templates: Templates, faults: Faults):
        super().__init__(data, templates, faults)
        self.made = Role(folder.name, folder, file, mark=data.mark)

    def role(self) -> Role:
        data, made = self.data, self.made
        self._known(data, ROLE_KEYS, "")
        if data.get("role", made.name) != made.name:
            said = f"says '{data['role']}', its folder says '{made.name}'"
            self.faults.add(data.value_mark("role"), "role", said, f"role: {made.name}")
        for key in ("needs", "tags"):
            setattr(made, key, self._words(data, key, key))
        self._after(data.get("after"))
        made.secrets = self._secrets()
        made.needs_marks = self._word_marks("needs") | self._word_marks("after")
        made.when = self._when(data, "when")
        made.rootless = self._rootless()
        made.serial = self._serial()
        self._vars()
        made.ports = [p for i, entry in self._entries("ports") if (p := self._port(entry, i))]
        made.tasks = self._items("tasks", "kind", TASK_KEYS)
        made.handlers = self._items("handlers", "kind", HANDLER_KEYS)
        made.checks = self._items("checks", "probe", CHECK_KEYS)
        made.backups = self._items("backups", "source", BACKUP_KEYS)
        self._names_meet()
        self._python()
        return made

    def _after(self, value: Any) -> None:
        """Roles whose hosts come first: a list, or a map of role to when that matters."""
        if isinstance(value, yaml.Map):
            self.made.after = [str(name) for name in value]
            self.made.after_when = {str(name): self._when(value, "after", name) for name in value}
        else:
            self.made.after = self._words(self.data, "after", "after")

    def _word_marks(self, key: str) -> dict[str, Mark]:
        value = self.data.get(key)
        if isinstance(value, yaml.Seq):
            return {str(v): value.value_mark(i) for i, v in enumerate(value)}
        if isinstance(value, yaml.Map):
            return {str(name): value.key_mark(name) for name in value}
        return {str(value): self.data.value_mark(key)} if value else {}

    def _rootless(self) -> bool:
        """Whether it can run without root."""
        value = self.data.get("rootless", False)
        if not isinstance(value, bool):
            said = f"must be true or false, not {describe(value)}"
            self.faults.add(self.data.value_mark("rootless"), "rootless", said)
        return value is True

    def _serial(self) -> Serial | None:
        """How many of its hosts are changed at a time, where distributed.yaml does not say it."""
        if "serial" not in self.data:
            return None
        if "serial" not in self.data:
            return None
        place = Place(self.faults, mark=self.data.mark).child(self.data, "serial")
        return place.read(serial, self.data["serial"], None)

    def _secrets(self) -> list[str]:
        return self._words(self.data, "secrets", "secrets")

    def _vars(self) -> None:
        box = self.data.get("vars")
        if box is None:
            return
        if not isinstance(box, yaml.Map):
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
            line = getattr(e, "lineno", None) or last_line(e, file)
            self.faults.add(Mark(mark.file, line or 0), "", f"cannot be loaded: {type(e).__name__}: {e}")


def last_line(error: BaseException, file: Path) -> int:
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
