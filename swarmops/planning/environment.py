"""Our Jinja: sandboxed and strict, looking names up in a scope, finding files in templates/ and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import BaseLoader, Template, TemplateNotFound, nodes
from jinja2.compiler import CodeGenerator
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError
from jinja2.utils import missing

from swarmops.model.faults import Faults
from swarmops.model.textfile import read_text, shown
from swarmops.planning import filters
from swarmops.planning.running import Trouble, opened
from swarmops.planning.values import Lines, Missing, SecretText, holds_secret, written


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


class ScopedContext(Context):
    """Asks the scope for each name when it is used, without copying hundreds of variables."""

    def resolve_or_missing(self, key: str) -> Any:
        if key in self.vars:
            return self.vars[key]
        find = getattr(self.parent, "find", None)
        return find(key) if find else self.parent.get(key, missing)

    def get_all(self) -> Any:
        return Within(self.vars, self.parent) if self.vars else self.parent


class Within(Mapping[str, Any]):
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

    def __iter__(self) -> Iterator[str]:
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
        return ScopedContext(self.environment, scope, self.name, self.blocks)  # type: ignore[arg-type]


class Loader(BaseLoader):
    """Files below templates/, and nothing else (case 60)."""

    def __init__(self, roots: Sequence[Path], project: Path | None):
        self.roots, self.project = roots, project
        self._found: dict[str, Path | None] = {}  # each task of each host asks

    def find(self, name: str) -> Path | None:
        """The file of a template's name. Raises `SecurityError` when it is outside templates/."""
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def _find(self, name: str) -> Path | None:
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


class Environment(ImmutableSandboxedEnvironment):
    code_generator_class = _Code
    context_class = ScopedContext
    template_class = _Template
    made = staticmethod(Lines)
    intercepted_binops = frozenset({"+", "%", "*"})

    def join_path(self, template: str, parent: str) -> str:
        """`include "x"` is beside the including file, else from templates/."""
        beside = str(PurePosixPath(parent).parent / template)
        loader: Loader = self.loader  # type: ignore[assignment]
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


def make_environment(loader: Loader) -> Environment:
    """The environment of one planning."""
    env = Environment(
        loader=loader,
        undefined=Missing,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
        cache_size=-1,
        finalize=written,
    )
    own = {**env.filters, **filters.FILTERS}
    env.filters.update({name: filters.tracked(name, f) for name, f in own.items()})
    env.tests.update(filters.TESTS)
    return env
