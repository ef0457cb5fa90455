"""Tasks, handlers, checks and backups as they are written: a name, one kind and its arguments, when and how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swarmops.model.faults import Mark, closest
from swarmops.planning.kinds_spec import Spec, Wrong, describe, names, read_duration, spec
from swarmops.planning.prepared import is_template
from swarmops.planning.reading import ELSEWHERE, Reader
from swarmops.planning.roles import Item

TASK_KEYS = ("name", "when", "loop", "notify", "register", "tags", "secret", "guard")
HANDLER_KEYS = ("name", "when", "tags", "secret", "guard")
CHECK_KEYS = ("name", "when", "loop", "tags", "within", "from", "max", "min", "warn", "service")
BACKUP_KEYS = ("name", "when", "loop", "tags", "keep")


class ItemReader(Reader):
    """Reads the lists of a role file."""

    def _items(self, key: str, room: str, keys: Sequence[str]) -> list[Item]:
        found: list[Item] = []
        for i, entry in self._entries(key):
            item = self._item(key, i, entry, room, keys)
            if item is None:
                continue
            if any(other.label == item.label and not _either(other, item, key) for other in found):
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
        marks = dict.fromkeys(of.templates, mark)
        args |= {name: self._prepare(text, mark, f"{path}.{name}") for name, text in of.templates.items()}
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


def _either(one: Item, other: Item, key: str) -> bool:
    """Whether two handlers of one name are two ways to do one thing: `notify` means the one that a host has."""
    return key == "handlers" and bool(one.when and other.when)


def _bare(key: Any) -> str:
    """`ansible.builtin.copy` means `copy`."""
    return str(key).removeprefix("ansible.builtin.").removeprefix("ansible.posix.")


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
