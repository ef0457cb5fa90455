"""An INI inventory file, by Ansible's own rules: `[group]`, `[group:vars]`, `[group:children]`, host lines."""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from typing import Any

from swarmops.model.faults import Mark, closest
from swarmops.model.inventory import ranges
from swarmops.model.inventory.draft import Draft, Given
from swarmops.model.inventory.names import group_name, shorten
from swarmops.model.inventory.types import Group

SECTIONS = ("hosts", "children", "vars")
_SECTION = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?$")
_GROUP_NAME = re.compile(r"([^:\]\s]+)\s*(?:#.*)?$")
_SURELY_TEXT = re.compile(r"(?!(?:True|False|None)\Z)[A-Za-z_][A-Za-z0-9_./-]*\Z")


def read(text: str, file: str, draft: Draft) -> None:
    """Adds what a file holds."""
    reader = _Reader(file, draft)
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped and stripped[0] not in "#;":
            reader.line(stripped, number, line)
    reader.end()


class _Pending:
    """A group that was named before it was declared: by `[name:vars]`, or below `[parent:children]`."""

    def __init__(self, state: str, mark: Mark):
        self.state = state
        self.mark = mark
        self.parents: list[tuple[str, Mark]] = []


class _Reader:
    """Goes through the lines once; groups may be named before they are declared, as in Ansible."""

    def __init__(self, file: str, draft: Draft):
        self.file = file
        self.draft = draft
        self.group: Group | None = draft.groups["ungrouped"]
        self.state = "hosts"
        self.pending: dict[str, _Pending] = {}
        self.number = 0
        self.whole = ""

    def mark(self, text: str = "", after: int = 0) -> Mark:
        """The place of a piece of the line."""
        at = self.whole.find(text, after) if text else len(self.whole) - len(self.whole.lstrip())
        return Mark(self.file, self.number, max(at, 0) + 1)

    def fault(self, mark: Mark, sentence: str, hint: str = "", path: str = "") -> None:
        self.draft.faults.add(mark, path, sentence, hint)

    def line(self, line: str, number: int, whole: str) -> None:
        self.number, self.whole = number, whole
        section = _SECTION.match(line)
        if section:
            self.section(section[1], section[2])
        elif line.startswith("[") and line.endswith("]"):
            self.fault(self.mark(), f"'{shorten(line)}' is not a section", "[group], [group:vars] or [group:children]")
            self.group = None
        elif self.group is None:
            return  # below a section that was a fault already
        elif self.state == "hosts":
            self.host(line, self.group)
        elif self.state == "vars":
            self.variable(line, self.group)
        else:
            self.child(line, self.group)

    def section(self, name: str, state: str | None) -> None:
        mark = self.mark(name)
        self.state = state or "hosts"
        self.group = None
        if self.state not in SECTIONS:
            self.fault(self.mark(self.state), f"a section cannot be '{state}'", closest(self.state, SECTIONS), name)
            return
        if name not in self.draft.groups and self.state == "vars" and name not in self.pending:
            self.pending[name] = _Pending("vars", mark)
        self.group = self.draft.add_group(name, mark)
        if self.group and name in self.pending and self.state != "vars":
            if self.pending[name].state == "children":
                self.adopt(name)
            else:
                del self.pending[name]

    def adopt(self, name: str) -> None:
        """A group that was awaited is declared: it goes below its parents now (this makes Ansible's order)."""
        waiting = [name]
        while waiting:
            child = waiting.pop(0)
            for parent, mark in self.pending.pop(child).parents:
                self.draft.add_child(parent, child, mark)
                if parent in self.pending and self.pending[parent].state == "children":
                    waiting.append(parent)

    def child(self, line: str, group: Group) -> None:
        found = _GROUP_NAME.match(line)
        if not found:
            self.fault(self.mark(), f"'{shorten(line)}' is not the name of a group", path=f"{group.name}:children")
            return
        name, mark = found[1], self.mark()
        if name in self.draft.groups:
            self.draft.add_child(group.name, name, mark)
        elif group_name(name, None, mark, self.draft.faults):
            self.pending.setdefault(name, _Pending("children", mark)).parents.append((group.name, mark))

    def variable(self, line: str, group: Group) -> None:
        name, equals, value = line.partition("=")
        if not equals:
            hint = "this section holds variables; hosts go below [group]"
            self.fault(self.mark(), f"'{shorten(line)}' is not name=value", hint, f"{group.name}:vars")
            return
        at = self.mark(value.strip() or "=", self.whole.find("=") + 1 if value.strip() else 0)
        self.draft.set_group_var(group, name.strip(), Given(self.value(value.strip(), at), at, self.mark()))

    def host(self, line: str, group: Group) -> None:
        try:
            tokens = shlex.split(line, comments=True)
        except ValueError as e:
            self.fault(self.mark(), f"cannot be split into name=value: {str(e).lower()}", "look at the quotes")
            return
        if not tokens:
            return
        pattern = tokens[0]
        if pattern.endswith(":"):
            self.fault(self.mark(), f"'{shorten(pattern)}' ends with ':'", "is this YAML? Then name the file *.yaml")
            return
        values = self.inline(tokens[1:], group)
        names, port = ranges.expand(pattern, self.mark(), group.name, self.draft.faults)
        for name in names:
            host = self.draft.add_host(name, group, self.mark(), port)
            if host is None:
                continue
            for key, (value, mark) in values.items():
                self.draft.set_host_var(host, key, Given(value, mark))

    def inline(self, tokens: list[str], group: Group) -> dict[str, tuple[Any, Mark]]:
        values: dict[str, tuple[Any, Mark]] = {}
        for token in tokens:
            name, equals, value = token.partition("=")
            mark = self.mark(f"{name}=" if equals else token)
            if not equals:
                hint = "quote a value that holds spaces"
                self.fault(mark, f"'{shorten(token)}' is not name=value", hint, group.name)
            else:
                values[name] = (self.value(value, mark), mark)
        return values

    def value(self, text: str, mark: Mark) -> Any:
        """A value as Ansible reads it: a Python literal where it is one, else the text as it stands."""
        if _SURELY_TEXT.match(text):
            return text
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _plain(ast.literal_eval(text))
        except (ValueError, SyntaxError):
            return text
        except (TypeError, MemoryError, RecursionError):
            self.fault(mark, f"'{shorten(text)}' cannot be read", "quote it when it is meant as text")
            return text

    def end(self) -> None:
        """What was named and never declared."""
        for name, pending in self.pending.items():
            if pending.state == "vars":
                self.fault(pending.mark, f"there is no group '{name}'", closest(name, self.known()), f"{name}:vars")
                continue
            for parent, mark in pending.parents:
                self.fault(mark, f"there is no group '{name}'", closest(name, self.known()), f"{parent}:children")

    def known(self) -> list[str]:
        return [name for name in self.draft.groups if name not in self.pending]


def _plain(value: Any) -> Any:
    """Only what YAML and JSON know too: tuples and sets become lists, as in Ansible."""
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_plain(k): _plain(v) for k, v in value.items()}
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if value is ...:
        return "..."
    return str(value) if isinstance(value, complex) else value
