"""Values of a role file made ready to be filled in: texts with `{{ }}`, and lists and maps that hold such texts.

A text of plain names, as `{{ port }}` or `{{ redis.host }}:{{ port }}`, is looked up without going through Jinja.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from jinja2 import Template
from jinja2.utils import missing

from swarmops.model.faults import Mark
from swarmops.planning.environment import Environment, ScopedContext
from swarmops.planning.values import Missing, written

_SIMPLE = re.compile(r"\{\{-?\s*([a-zA-Z_]\w*(?:\.[a-zA-Z_]\w*)*)\s*-?\}\}")
_WORDS = {"true", "false", "none", "True", "False", "None", "not"}


class Text:
    """A text of a role file with `{{ }}` in it."""

    __slots__ = ("mark", "native", "parts", "source", "template")

    def __init__(self, source: str, mark: Mark, compile: Callable[[str, Mark], tuple[Template, bool]]):
        self.source, self.mark = source, mark
        self.parts = _simple_parts(source)
        self.native = self.parts is not None and len(self.parts) == 1
        self.template: Template | None = None
        if self.parts is None:
            self.template, self.native = compile(source, mark)

    @classmethod
    def of(cls, template: Template, mark: Mark) -> Text:
        """A compiled expression."""
        made = cls.__new__(cls)
        made.source, made.mark, made.parts, made.native, made.template = "", mark, None, True, template
        return made

    def evaluate(self, env: Environment, scope: Any) -> Any:
        """The value, inside a run. Raises what the template raises."""
        if self.parts is not None:
            if self.native:
                return _lookup(env, scope, self.parts[0])  # type: ignore[arg-type]
            return "".join(p if isinstance(p, str) else written(_lookup(env, scope, p)) for p in self.parts)
        context = ScopedContext(env, scope, self.template.name, self.template.blocks)  # type: ignore[union-attr]
        pieces = list(self.template.root_render_func(context))  # type: ignore[union-attr]
        return context.vars["result"] if self.native else "".join(pieces)


def _simple_parts(source: str) -> list[str | tuple[str, ...]] | None:
    """The text and the dotted names of a source that holds no other Jinja, else None."""
    parts: list[str | tuple[str, ...]] = []
    end = 0
    for match in _SIMPLE.finditer(source):
        words = tuple(match[1].split("."))
        if _WORDS & set(words) or "-}}" in match[0] or "{{-" in match[0]:
            return None
        parts += [source[end : match.start()], words]
        end = match.end()
    parts.append(source[end:])
    if any("{{" in p or "{%" in p or "{#" in p for p in parts if isinstance(p, str)):
        return None
    return [p for p in parts if p != ""]


def _lookup(env: Environment, scope: Any, words: tuple[str, ...]) -> Any:
    value = scope.find(words[0])
    if value is missing:
        value = Missing(name=words[0])
    for word in words[1:]:
        value = env.getattr(value, word)
    return value


class Nest:
    """A list or map with templates somewhere in it."""

    __slots__ = ("inner",)

    def __init__(self, inner: Any):
        self.inner = inner


def is_template(prepared: Any) -> bool:
    return isinstance(prepared, Text | Nest)
