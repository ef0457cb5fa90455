"""`when`: what the inventory can answer is decided here; what only the host knows is sent to it.

An expression is split at its top-level `and`. A part that names a registered result or `facts` becomes a text of the
small language of `target/when.py`, the values it needs from here beside it as constants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import nodes

from swarmops.model.faults import Mark, closest
from swarmops.planning.prepared import Text
from swarmops.planning.running import Trouble
from swarmops.planning.templating import Fault, Templates, names_in
from swarmops.target.when import holds

FACTS = (
    *("distribution", "release", "version", "python", "arch", "libc", "kernel", "hostname", "machine_id"),
    *("memory_mb", "cores", "systemd"),
)
RESULTS = {"changed": "changed", "failed": "failed", "skipped": "skipped"} | dict.fromkeys(
    ("succeeded", "success", "successful"), "succeeded"
)
# What a task that was left out of the plan has registered.
LEFT_OUT = {"changed": False, "failed": False, "skipped": True, "succeeded": True}
_COMPARE = {
    **{"eq": "==", "ne": "!=", "lt": "<", "lteq": "<=", "gt": ">", "gteq": ">="},
    **{"in": "in", "notin": "not in"},
}


@dataclass
class Part:
    """One part of a `when`: decided here by `text`, or on the host by `host` with `consts`."""

    mark: Mark
    text: Text | None = None
    host: str = ""
    consts: dict[str, Text] = field(default_factory=dict)
    uses: frozenset[str] = frozenset()  # registered names in it
    facts: bool = False


@dataclass
class Decision:
    """False: the task is left out. Otherwise the expressions that the host decides, with their constants."""

    wanted: bool = True
    when: list[str] = field(default_factory=list)
    consts: dict[str, Any] = field(default_factory=dict)
    secret: bool = False  # a constant holds one


def compile_when(
    templates: Templates, expressions: Iterable[tuple[str, Mark]], earlier: Iterable[str], later: Mapping[str, str]
) -> list[Part]:
    """The parts of a `when`. `earlier` are the results registered before, `later` those registered afterwards and by
    which task. Raises `Fault`."""
    known = frozenset(earlier)
    parts = []
    for source, mark in expressions:
        tree = templates.parse_expression(source, mark)
        for name in sorted(names_in([tree]) & set(later) - known):
            raise Fault(Trouble(mark, f"'{name}' is registered later, by '{later[name]}'", "move that task up"))
        for piece in _conjuncts(tree):
            parts.append(_part(templates, piece, mark, known))
    return parts


def _conjuncts(tree: nodes.Expr) -> list[nodes.Expr]:
    if isinstance(tree, nodes.And):
        return _conjuncts(tree.left) + _conjuncts(tree.right)
    return [tree]


def _part(templates: Templates, tree: nodes.Expr, mark: Mark, known: frozenset[str]) -> Part:
    used = names_in([tree])
    remote = (used & known) | (used & {"facts"})
    if not remote:
        return Part(mark, text=templates.tree(tree, mark))
    writer = _Writer(templates, mark, known)
    text = writer.write(tree)
    return Part(mark, None, text, writer.consts, frozenset(used & known), "facts" in used)


class _Writer:
    """A Jinja expression as one of the host's language."""

    def __init__(self, templates: Templates, mark: Mark, known: frozenset[str]):
        self.templates, self.mark, self.known = templates, mark, known
        self.consts: dict[str, Text] = {}

    def write(self, node: nodes.Node) -> str:
        if not names_in([node]) & (self.known | {"facts"}):
            return self._constant(node)
        writer = getattr(self, f"_{type(node).__name__.lower()}", None)
        if writer is None:
            self._cannot(type(node).__name__.lower())
        made: str = writer(node)  # type: ignore[misc]
        return made

    def _cannot(self, what: str) -> None:
        what = {"filter": "filters", "call": "calls", "concat": "~"}.get(what, f"'{what}'")
        raise Fault(Trouble(self.mark, f"a `when` over results or facts cannot use {what}", "compare with ==, in, <"))

    def _constant(self, node: nodes.Node) -> str:
        if isinstance(node, nodes.Const) and isinstance(node.value, str | int | float | bool | None):
            return repr(node.value)
        name = node.name if isinstance(node, nodes.Name) else f"const_{len(self.consts)}"
        self.consts[name] = self.templates.tree(node, self.mark)
        return name

    def _name(self, node: nodes.Name) -> str:
        return node.name

    def _getattr(self, node: nodes.Getattr) -> str:
        if isinstance(node.node, nodes.Name) and node.node.name == "facts" and node.attr not in FACTS:
            raise Fault(Trouble(self.mark, f"there is no fact '{node.attr}'", closest(node.attr, FACTS)))
        return f"{self.write(node.node)}.{node.attr}"

    def _getitem(self, node: nodes.Getitem) -> str:
        return f"{self.write(node.node)}[{self.write(node.arg)}]"

    def _compare(self, node: nodes.Compare) -> str:
        tail = "".join(f" {_COMPARE[o.op]} {self.write(o.expr)}" for o in node.ops)
        return f"({self.write(node.expr)}{tail})"

    def _and(self, node: nodes.And) -> str:
        return f"({self.write(node.left)} and {self.write(node.right)})"

    def _or(self, node: nodes.Or) -> str:
        return f"({self.write(node.left)} or {self.write(node.right)})"

    def _not(self, node: nodes.Not) -> str:
        return f"(not {self.write(node.node)})"

    def _list(self, node: nodes.List) -> str:
        return f"[{', '.join(self.write(i) for i in node.items)}]"

    _tuple = _list

    def _test(self, node: nodes.Test) -> str:
        if node.name in ("defined", "undefined"):
            return f"({self.write(node.node)} {'is not' if node.name == 'defined' else 'is'} None)"
        if node.name not in RESULTS:
            hint = closest(node.name, RESULTS)
            raise Fault(Trouble(self.mark, f"a result cannot be tested with 'is {node.name}'", hint))
        return f"{self.write(node.node)}.{RESULTS[node.name]}"


def decide(parts: Iterable[Part], left_out: Iterable[str], value_of: Any) -> Decision:
    """Decides the parts for one host. `value_of(text)` evaluates here; `left_out` are results of tasks that this host
    does not have."""
    gone = frozenset(left_out)
    decision = Decision()
    for part in parts:
        if part.text is not None:
            if not value_of(part.text):
                return Decision(wanted=False)
            continue
        consts = {name: value_of(text) for name, text in part.consts.items()}
        consts |= dict.fromkeys(part.uses & gone, LEFT_OUT)
        if not part.facts and part.uses <= gone:
            if not holds(part.host, consts):
                return Decision(wanted=False)
            continue
        decision.when.append(part.host)
        decision.consts |= consts
    return decision
