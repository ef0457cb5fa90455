"""Jinja as the roles use it: sandboxed, strict, every template compiled once, every fault with its line.

`Templates.file` is a template file; `Templates.prepare` is a value of a role file, which may hold `{{ ... }}` at any
depth. A value that is one whole expression gives what the expression gives (a list stays a list), as in Ansible.
Values of the inventory never come here as templates: they are data (case 59).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import BaseLoader, Template, TemplateNotFound, TemplateSyntaxError, Undefined, nodes
from jinja2.compiler import CodeGenerator
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError
from jinja2.utils import missing

from swarmops.model.faults import Faults, InputError, Mark, closest
from swarmops.model.textfile import read_text, shown
from swarmops.planning import filters
from swarmops.planning.running import (
    Lines,
    Missing,
    Run,
    SecretText,
    Silent,
    Trouble,
    check_deep,
    holds_secret,
    opened,
    place_of_error,
    running,
    trusted,
    unveil,
    veil,
    written,
)

_SIMPLE = re.compile(r"\{\{-?\s*([a-zA-Z_]\w*(?:\.[a-zA-Z_]\w*)*)\s*-?\}\}")
_WORDS = {"true", "false", "none", "True", "False", "None", "not"}


class Fault(Exception):
    """A template that cannot be used: arg is a `Trouble`."""

    @property
    def trouble(self) -> Trouble:
        made: Trouble = self.args[0]
        return made


class _Code(CodeGenerator):
    """Text that a macro, a `call` or a `set` block made keeps the line breaks its author wrote."""

    def return_buffer_contents(self, frame: Any, force_unescaped: bool = False) -> None:
        self.writeline(f"return environment.made(concat({frame.buffer}))")

    def visit_AssignBlock(self, node: nodes.AssignBlock, frame: Any) -> None:
        self._in_assign = True
        super().visit_AssignBlock(node, frame)

    def write(self, x: str) -> None:
        if getattr(self, "_in_assign", False) and x == " = (Markup if context.eval_ctx.autoescape else identity)(":
            x, self._in_assign = " = environment.made(", False
        super().write(x)


class _Context(Context):
    """Asks the scope for each name when it is used, without copying hundreds of variables."""

    def resolve_or_missing(self, key: str) -> Any:
        if key in self.vars:
            return self.vars[key]
        find = getattr(self.parent, "find", None)
        return find(key) if find else self.parent.get(key, missing)

    def get_all(self) -> Any:
        return Within(self.vars, self.parent) if self.vars else self.parent


class Within(Mapping):  # type: ignore[type-arg]
    """Some names on top of a scope: a loop's item, a template's own assignments. Top-most wins."""

    def __init__(self, top: Mapping[str, Any], below: Any):
        self.top, self.below = top, below

    def find(self, key: str) -> Any:
        if key in self.top:
            return self.top[key]
        find = getattr(self.below, "find", None)
        return find(key) if find else self.below.get(key, missing)

    def __getitem__(self, key: str) -> Any:
        value = self.find(key)
        if value is missing:
            raise KeyError(key)
        return value

    def __iter__(self) -> Any:
        return iter({*self.top, *self.below})

    def __len__(self) -> int:
        return len({*self.top, *self.below})


class _Template(Template):
    """A template whose includes see the same scope, and their own locals on top, without a copy."""

    def new_context(self, vars: Any = None, shared: bool = False, locals: Mapping[str, Any] | None = None) -> Context:
        if not shared:
            return super().new_context(vars, shared, locals)
        here = {k: v for k, v in (locals or {}).items() if v is not missing}
        scope = Within(here, vars) if here else vars
        return _Context(self.environment, scope, self.name, self.blocks)  # type: ignore[arg-type]


class _Loader(BaseLoader):
    """Files below templates/, and nothing else (case 60)."""

    def __init__(self, roots: Sequence[Path], project: Path | None):
        self.roots, self.project = roots, project

    def find(self, name: str) -> Path | None:
        """The file of a template's name. Raises `SecurityError` when it is outside templates/."""
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name:
            raise SecurityError(f"'{name}' is outside templates/")
        for root in self.roots:
            file = root / name
            if file.is_file():
                if not file.resolve().is_relative_to(root.resolve()):
                    raise SecurityError(f"'{name}' leads outside templates/")
                return file
        return None

    def get_source(self, environment: Any, template: str) -> tuple[str, str, Callable[[], bool]]:
        file = self.find(template)
        if file is None:
            raise TemplateNotFound(template)
        faults = Faults()
        text = read_text(file, faults, root=self.project)
        for fault in faults.errors:
            raise Fault(Trouble(fault.mark, fault.sentence, fault.hint))
        return text or "", shown(file, self.project), lambda: True


class _Environment(ImmutableSandboxedEnvironment):
    code_generator_class = _Code
    context_class = _Context
    template_class = _Template
    made = staticmethod(Lines)
    intercepted_binops = frozenset({"+", "%", "*"})

    def join_path(self, template: str, parent: str) -> str:
        """`include "x"` is beside the including file, else from templates/."""
        beside = str(PurePosixPath(parent).parent / template)
        loader: _Loader = self.loader  # type: ignore[assignment]
        return beside if ".." not in template and loader.find(beside) else template

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, str | list) and (holds_secret(left) or holds_secret(right)):
            opened()
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, SecretText) or any(map(holds_secret, args)):
            opened()
        return super().call(__context, __obj, *args, **kwargs)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, SecretText):
            opened()
        return super().getitem(obj, argument)


class Text:
    """A text of a role file with `{{ }}` in it."""

    __slots__ = ("mark", "native", "parts", "source", "template")

    def __init__(self, source: str, mark: Mark, templates: Templates):
        self.source, self.mark = source, mark
        self.parts = _simple_parts(source)
        self.native = self.parts is not None and len(self.parts) == 1
        self.template: Template | None = None
        if self.parts is None:
            self.template, self.native = templates.compile(source, mark)

    @classmethod
    def of(cls, template: Template, mark: Mark) -> Text:
        """A compiled expression."""
        made = cls.__new__(cls)
        made.source, made.mark, made.parts, made.native, made.template = "", mark, None, True, template
        return made

    def evaluate(self, env: _Environment, scope: Any) -> Any:
        """The value, inside a run. Raises what the template raises."""
        if self.parts is not None:
            if self.native:
                return _lookup(env, scope, self.parts[0])  # type: ignore[arg-type]
            return "".join(p if isinstance(p, str) else written(_lookup(env, scope, p)) for p in self.parts)
        context = _Context(env, scope, self.template.name, self.template.blocks)  # type: ignore[union-attr, arg-type]
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


def _lookup(env: _Environment, scope: Any, words: tuple[str, ...]) -> Any:
    value = scope.find(words[0])
    if value is missing:
        value = Missing(name=words[0])
    for word in words[1:]:
        value = env.getattr(value, word)
    return value


class Templates:
    """Everything compiled, for one planning. `roots` are searched in order; marks are relative to `project`."""

    def __init__(self, roots: Sequence[Path], project: Path | None = None):
        self.roots = [r for r in roots if r.is_dir()]
        self.loader = _Loader(self.roots, project)
        self.env = _Environment(
            loader=self.loader,
            undefined=Missing,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
            cache_size=-1,
            finalize=written,
        )
        own = {**self.env.filters, **filters.FILTERS}
        self.env.filters.update({name: filters.tracked(name, f) for name, f in own.items()})
        self.env.tests.update(filters.TESTS)
        self._texts: dict[tuple[str, Mark], Text] = {}

    def text(self, source: str, mark: Mark) -> Text:
        """A text with `{{ }}`, compiled once. Raises `Fault` when its syntax is wrong."""
        key = (source, mark)
        if key not in self._texts:
            self._texts[key] = Text(source, mark, self)
        return self._texts[key]

    def expression(self, source: str, mark: Mark) -> Text:
        """A bare expression, such as one of `when`. Raises `Fault` when its syntax is wrong."""
        return self.text("{{ " + source + " }}", mark)

    def compile(self, source: str, mark: Mark) -> tuple[Template, bool]:
        """The template of a source, and whether it is one whole expression. Raises `Fault`."""
        try:
            tree = self.env.parse(source)
            whole = None
            if len(tree.body) == 1 and isinstance(output := tree.body[0], nodes.Output) and len(output.nodes) == 1:
                whole = None if isinstance(output.nodes[0], nodes.TemplateData) else output.nodes[0]
            if whole is not None:
                tree = self._assigning(whole)
            template = self.env.from_string(tree)
        except TemplateSyntaxError as e:
            raise Fault(_syntax(e, Mark(mark.file, mark.line + e.lineno - 1, mark.column if e.lineno == 1 else 0)))
        template.swarmops_mark = mark  # type: ignore[attr-defined]
        return template, whole is not None

    def tree(self, tree: nodes.Expr | nodes.Node, mark: Mark) -> Text:
        """An expression that was parsed already."""
        template = self.env.from_string(self._assigning(tree))
        template.swarmops_mark = mark  # type: ignore[attr-defined]
        return Text.of(template, mark)

    def _assigning(self, tree: nodes.Node) -> nodes.Template:
        assign = nodes.Assign(nodes.Name("result", "store"), tree, lineno=1)
        made = nodes.Template([assign], lineno=1)
        made.set_environment(self.env)
        return made

    def parse_expression(self, source: str, mark: Mark) -> nodes.Expr:
        """The tree of a bare expression. Raises `Fault`."""
        try:
            parser = Parser(self.env, source, state="variable")
            tree = parser.parse_expression()
            if not parser.stream.eos:
                raise TemplateSyntaxError(f"unexpected '{parser.stream.current.value}'", 1)
        except TemplateSyntaxError as e:
            raise Fault(_syntax(e, mark))
        return tree

    def file(self, name: str, mark: Mark) -> Template:
        """A template file by its name below templates/. Raises `Fault`."""
        try:
            return self.env.get_template(name)
        except TemplateNotFound:
            raise Fault(Trouble(mark, f"there is no templates/{name}", self.near(name)))
        except SecurityError as e:
            raise Fault(Trouble(mark, str(e)))
        except TemplateSyntaxError as e:
            raise Fault(_syntax(e, Mark(e.filename or f"templates/{name}", e.lineno)))

    def near(self, name: str) -> str:
        """A hint that names a template or the ones beside it."""
        folder = PurePosixPath(name).parent
        beside = [f.name for root in self.roots for f in (root / folder).glob("*") if f.is_file()]
        return closest(PurePosixPath(name).name, beside)

    def prepare(self, value: Any, mark: Mark) -> Any:
        """A value of a role file, with the `{{ }}` in it compiled at any depth. Raises `Fault`."""
        if isinstance(value, str):
            return self.text(str(value), mark) if "{{" in value or "{%" in value or "{#" in value else value
        if isinstance(value, dict):
            made = {k: self.prepare(v, _at(value, k, mark)) for k, v in value.items()}
            return Nest(made) if any(is_template(v) for v in made.values()) else value
        if isinstance(value, list):
            items = [self.prepare(v, _at(value, i, mark)) for i, v in enumerate(value)]
            return Nest(items) if any(is_template(v) for v in items) else value
        return value

    def fill(self, prepared: Any, scope: Any) -> Any:
        """The value of what `prepare` made, inside a run."""
        if isinstance(prepared, Text):
            return prepared.evaluate(self.env, scope)
        if isinstance(prepared, Nest):
            if isinstance(prepared.inner, dict):
                return {k: self.fill(v, scope) for k, v in prepared.inner.items()}
            return [self.fill(v, scope) for v in prepared.inner]
        return prepared

    def value(self, prepared: Any, scope: Any, mark: Mark) -> tuple[Any, Run]:
        """The value in a run of its own. What opened a secret comes as `SecretText`; a value in trouble as `Silent`."""
        run = Run(mark, expression=isinstance(prepared, Text) and prepared.parts is not None)
        made = self._attempt(run, mark, lambda: self._nested(prepared, scope, run))
        return (veil(made) if run.secret else made), run

    def _nested(self, prepared: Any, scope: Any, run: Run) -> Any:
        if isinstance(prepared, Nest):
            return self._nest(prepared.inner, scope, run)
        made = self.fill(prepared, scope)
        if isinstance(made, Undefined):
            str(made)
        elif isinstance(prepared, Text):
            if not prepared.native:
                return trusted(made)
            if not isinstance(made, str | int | float | bool | Mapping | list | tuple | None):
                made = list(made) if hasattr(made, "__iter__") else made
            check_deep(made)
        return made

    def _nest(self, inner: Any, scope: Any, outer: Run) -> Any:
        """Each text of a nested value in a run of its own, so that its mark and its secrecy are its own."""

        def one(item: Any) -> Any:
            if isinstance(item, Nest):
                return self._nest(item.inner, scope, outer)
            if not isinstance(item, Text):
                return item
            made, run = self.value(item, scope, item.mark)
            outer.troubles += run.troubles
            return made

        if isinstance(inner, dict):
            return {k: one(v) for k, v in inner.items()}
        return [one(v) for v in inner]

    def render(self, template: Template, scope: Any, mark: Mark) -> tuple[str, Run]:
        """A template file's text for one scope, in a run of its own."""
        run = Run(mark)
        context = _Context(self.env, scope, template.name, template.blocks)  # type: ignore[arg-type]
        made = self._attempt(run, mark, lambda: "".join(template.root_render_func(context)))
        return ("" if isinstance(made, Undefined) else made), run

    def _attempt(self, run: Run, mark: Mark, action: Callable[[], Any]) -> Any:
        """`action()` in the run; whatever it raises becomes a trouble with its line."""
        with running(run):
            try:
                made = action()
            except Fault as e:
                run.troubles.append(e.trouble)
            except TemplateNotFound as e:
                where = place_of_error(e, mark)
                run.troubles.append(Trouble(where, f"there is no templates/{e.name}", self.near(str(e.name))))
            except TemplateSyntaxError as e:
                run.troubles.append(_syntax(e, Mark(e.filename or mark.file, e.lineno)))
            except RecursionError as e:
                run.troubles.append(Trouble(place_of_error(e, mark), "calls itself without end"))
            except Exception as e:
                run.troubles.append(_raised(e, place_of_error(e, mark), run))
        if run.silent and run.troubles:
            run.troubles = [t for t in run.troubles if not t.raised]
        return Silent() if run.troubles or run.silent else made


class Nest:
    """A list or map with templates somewhere in it."""

    __slots__ = ("inner",)

    def __init__(self, inner: Any):
        self.inner = inner


def is_template(prepared: Any) -> bool:
    return isinstance(prepared, Text | Nest)


def plain(value: Any) -> tuple[Any, bool]:
    """The value as it goes to a host, secrets as text, and whether there was one."""
    run = Run(Mark())
    with running(run):
        made = unveil(value)
    return made, run.secret


def names_in(texts: Iterable[nodes.Node]) -> set[str]:
    """The variables that trees ask for."""
    return {n.name for tree in texts for n in [*tree.find_all(nodes.Name), *_self(tree)] if n.ctx == "load"}


def _self(tree: nodes.Node) -> list[nodes.Name]:
    return [tree] if isinstance(tree, nodes.Name) else []


def _at(value: Any, key: Any, mark: Mark) -> Mark:
    return value.value_mark(key) if hasattr(value, "value_mark") else mark


def _raised(error: Exception, mark: Mark, run: Run) -> Trouble:
    """An exception in a template as a sentence. Its own words are kept unless a secret was opened before it."""
    if isinstance(error, InputError):
        fault = error.faults.errors[0]
        return Trouble(mark, f"{fault.mark}: {fault.sentence}", fault.hint)
    if run.secret:
        return Trouble(
            mark, f"fails with {type(error).__name__} (its words are withheld: a secret was in use)", raised=True
        )
    words = " ".join(str(error).split())[:200] or type(error).__name__
    return Trouble(mark, f"fails: {words}", raised=True)


def _syntax(error: TemplateSyntaxError, mark: Mark) -> Trouble:
    words = " ".join(str(error.message or "cannot be read").split())
    return Trouble(mark, words[:1].lower() + words[1:].rstrip("."))
