"""Jinja as the roles use it: sandboxed, strict, every template compiled once, every fault with its line.

`Templates.file` is a template file; `Templates.prepare` is a value of a role file, which may hold `{{ ... }}` at any
depth. A value that is one whole expression gives what the expression gives (a list stays a list), as in Ansible.
Values of the inventory never come here as templates: they are data (case 59).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import Template, TemplateNotFound, TemplateSyntaxError, Undefined, nodes
from jinja2.parser import Parser
from jinja2.sandbox import SecurityError

from swarmops.model.faults import InputError, Mark, closest
from swarmops.planning.environment import Fault, Loader, ScopedContext, Within, make_environment
from swarmops.planning.prepared import Nest, Text, is_template
from swarmops.planning.running import Run, Trouble, place_of_error, running
from swarmops.planning.values import Silent, check_deep, trusted, unveil, veil

__all__ = ["Fault", "Templates", "Within", "names_in", "plain"]


class Templates:
    """Everything compiled, for one planning. `roots` are searched in order; marks are relative to `project`."""

    def __init__(self, roots: Sequence[Path], project: Path | None = None):
        self.roots = [r for r in roots if r.is_dir()]
        self.loader = Loader(self.roots, project)
        self.env = make_environment(self.loader)
        self._texts: dict[tuple[str, Mark], Text] = {}

    def text(self, source: str, mark: Mark) -> Text:
        """A text with `{{ }}`, compiled once. Raises `Fault` when its syntax is wrong."""
        key = (source, mark)
        if key not in self._texts:
            self._texts[key] = Text(source, mark, self.compile)
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
        """An expression that was parsed already. Raises `Fault`, for an unknown filter or test."""
        try:
            template = self.env.from_string(self._assigning(tree))
        except TemplateSyntaxError as e:
            raise Fault(_syntax(e, mark))
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
        context = ScopedContext(self.env, scope, template.name, template.blocks)
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
