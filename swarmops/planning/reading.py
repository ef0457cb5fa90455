"""What all parts of a role file are read with: words, lists, conditions, values that may be templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swarmops.model.faults import Faults, Mark, closest
from swarmops.model.yaml import Map, Seq
from swarmops.planning.kinds_spec import describe
from swarmops.planning.prepared import is_template
from swarmops.planning.templating import Fault, Templates

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


class Reader:
    """Reads parts of `data`; every mistake is added to `faults` and reading goes on."""

    def __init__(self, data: Map, templates: Templates, faults: Faults):
        self.data, self.templates, self.faults = data, templates, faults

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
        items = value if isinstance(value, Seq) else [value]
        for i, item in enumerate(items):
            if not isinstance(item, str) or not item:
                mark = value.value_mark(i) if isinstance(value, Seq) else box.value_mark(key)
                self.faults.add(mark, path, f"{describe(item)} is not a name")
        return [item for item in items if isinstance(item, str) and item]

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
        if not isinstance(value, Seq):
            hint = "begin each with '- '"
            self.faults.add(self.data.value_mark(key), key, f"must be a list, not {describe(value)}", hint)
            return []
        found = []
        for i, entry in enumerate(value):
            if isinstance(entry, Map):
                found.append((i, entry))
            else:
                self.faults.add(value.value_mark(i), f"{key}[{i}]", f"must be a map, not {describe(entry)}")
        return found

    def _when(self, entry: Any, path: str, key: str = "when") -> list[tuple[str, Mark]]:
        value = entry.get(key)
        if value is None:
            return []
        items = value if isinstance(value, Seq) else [value]
        found = []
        for i, item in enumerate(items):
            mark = value.value_mark(i) if isinstance(value, Seq) else entry.value_mark(key)
            if isinstance(item, bool):
                item = str(item).lower()
            if not isinstance(item, str) or not item.strip():
                self.faults.add(mark, f"{path}.{key}", f"must be an expression, not {describe(item)}")
            elif item.strip().startswith("{{"):
                self.faults.add(mark, f"{path}.{key}", "is an expression already", "write it without {{ }}")
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
