"""One role on one host: its tasks, handlers, checks and backups made concrete."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from jinja2 import Undefined
from jinja2.sandbox import SecurityError

from swarmops.model.faults import Mark
from swarmops.planning import conditions
from swarmops.planning.kinds_spec import Wrong, describe
from swarmops.planning.roles import Item, Role, read_more
from swarmops.planning.running import SecretText
from swarmops.planning.templating import Fault, Nest, Text, Within, is_template, plain
from swarmops.planning.world import OMIT, World
from swarmops.target import wire


@dataclass(frozen=True)
class RenderedFile:
    """A file that a step lands, and where it came from: the role's task (`mark`) and the template."""

    path: str
    sha: str
    mode: str | None
    owner: str | None
    group: str | None
    secret: bool
    validate: Any
    role: str
    step: str
    template: str
    mark: Mark
    guarded_by_when: bool = False  # the host decides whether it is written


class Shared:
    """What is the same on all hosts, made once: compiled conditions, plain files, bytes by their hash."""

    def __init__(self, world: World):
        self.world = world
        self.raw: dict[str, bytes] = {}
        self.parts: dict[int, list[conditions.Part]] = {}
        self.wanted: set[int] = set()  # items whose constant arguments were tried already

    def when(self, role: Role, item: Item, index: int, handler: bool) -> list[conditions.Part]:
        """The compiled `when` of an item; what is wrong in it is a fault once."""
        if id(item) not in self.parts:
            names = [(t.register, t.label) for t in role.tasks]
            earlier = [n for n, _ in (names if handler else names[:index]) if n]
            later = {} if handler else {n: label for n, label in names[index:] if n}
            try:
                self.parts[id(item)] = conditions.compile_when(self.world.templates, item.when, earlier, later)
            except Fault as e:
                path = f"{item.path}.when"
                self.world.faults.add(e.trouble.mark, path, e.trouble.sentence, e.trouble.hint)
                self.parts[id(item)] = []
        return self.parts[id(item)]


@dataclass
class Made:
    """An item's arguments for one host."""

    args: dict[str, Any]
    secret: bool
    content: str = ""
    source: str = ""
    ok: bool = True


@dataclass
class HostPlanner:
    """Plans one role on one host; see the lists it fills."""

    world: World
    shared: Shared
    host: str
    role: Role
    steps: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    backups: list[dict[str, Any]] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)
    files: list[RenderedFile] = field(default_factory=list)

    def run(self) -> None:
        self.scope = self.world.role_scope(self.world.scope(self.host), self.role)
        self.left_out: set[str] = set()
        watched: dict[str, list[str]] = {}
        for i, task in enumerate(self.role.tasks):
            ids = self._task(task, i)
            if task.register and not ids:
                self.left_out.add(task.register)
            for handler in task.notify:
                watched.setdefault(handler, []).extend(ids)
        for handler in self.role.handlers:
            if ids := watched.get(handler.label):
                self._handler(handler, ids)
        for check in self.role.checks:
            self._each(check, self._check)
        for backup in self.role.backups:
            self._each(backup, self._backup)

    # -- what an item says about this host

    def _value(self, prepared: Any, scope: Any, mark: Mark, path: str) -> Any:
        """The value; what is wrong is noted, and `Silent` comes back."""
        if not is_template(prepared):
            return prepared
        made, run = self.world.templates.value(prepared, scope, mark)
        self.world.report(self.host, path, run.troubles, self.role, self.scope)
        return made

    def _decide(self, item: Item, scope: Any, index: int, handler: bool) -> conditions.Decision:
        parts = self.shared.when(self.role, item, index, handler) if item.when else []

        def value_of(text: Text) -> Any:
            made = self._value(text, scope, text.mark, f"{item.path}.when")
            return plain(made)[0] if isinstance(made, SecretText | list | dict) else made

        return conditions.decide(parts, self.left_out, value_of)

    def _loop(self, item: Item) -> list[tuple[Any, str]]:
        """(item, its label) for each turn; one turn without a label where there is no loop."""
        if item.loop is None:
            return [(None, "")]
        made = self._value(item.loop, self.scope, item.loop_mark, f"{item.path}.loop")
        if isinstance(made, Undefined):
            return []
        if not isinstance(made, list | tuple):
            hint = "`| dict2items` makes one of a map" if isinstance(made, Mapping) else ""
            said = f"must be a list, not {describe(made) if not isinstance(made, SecretText) else 'a text'}"
            self._fault(item.loop_mark, f"{item.path}.loop", said, hint)
            return []
        labels: list[str] = []
        for i, value in enumerate(made):
            label = _label(value)
            labels.append(label if label and label not in labels else str(i))
        return list(zip(made, labels, strict=True))

    def _fault(self, mark: Mark, path: str, sentence: str, hint: str = "") -> None:
        self.world.host_faults.add(self.host, mark, path, sentence, hint)

    def _turns(self, item: Item, index: int, handler: bool) -> Any:
        """(scope, label, name, decision) of every turn of the loop that this host has."""
        if item.broken:
            return
        for value, label in self._loop(item):
            scope = self.scope if item.loop is None else Within({"item": value}, self.scope)
            decision = self._decide(item, scope, index, handler)
            if decision.wanted:
                name = self._value(item.name, scope, item.mark, item.path)
                yield scope, label, plain(str(name))[0], decision

    # -- tasks and handlers

    def _task(self, item: Item, index: int) -> list[str]:
        ids = []
        for scope, label, name, decision in self._turns(item, index, False):
            id = f"{self.role.name}/{name}" + (f"[{label}]" if label and label not in name else "")
            if self._step(item, id, name, scope, decision, notify=[f"{self.role.name}/{h}" for h in item.notify]):
                ids.append(id)
        return ids

    def _handler(self, item: Item, watches: list[str]) -> None:
        for scope, _, name, decision in self._turns(item, 0, True):
            id = f"{self.role.name}/{item.label}"
            self._step(item, id, name, scope, decision, handler=True, watches=watches)

    def _step(
        self, item: Item, id: str, name: str, scope: Any, decision: conditions.Decision, **more: Any
    ) -> dict[str, Any] | None:
        made = self._arguments(item, scope)
        self._content(item, made, scope)
        if not made.ok:
            return None
        self._try_want(item, made)
        step = wire.step(
            id,
            self.role.name,
            name,
            item.spec.name,
            {k: v for k, v in made.args.items() if k not in item.spec.planner_only},
            content=made.content,
            when=decision.when,
            consts=plain(decision.consts)[0],
            register=item.register,
            secret=made.secret or self._flag(item, "secret", scope),
            guard=self._flag(item, "guard", scope),
            tags=self._tags(item),
            **more,
        )
        self.steps.append(step)
        self._file(item, made, step)
        return step

    def _flag(self, item: Item, key: str, scope: Any) -> bool:
        """`secret` or `guard`, which may be an expression."""
        path = f"{item.path}.{key}"
        value = self._value(getattr(item, key), scope, item.mark, path)
        if isinstance(value, Undefined):
            return True
        if not isinstance(value, bool):
            self._fault(item.mark, path, f"must be true or false, not {describe(value)}")
        return value is True

    def _tags(self, item: Item) -> list[str]:
        if "never" in item.tags:  # only a tag of its own wakes it
            return sorted(item.tags)
        return sorted({*self.role.tags, *item.tags, self.role.name})

    def _arguments(self, item: Item, scope: Any) -> Made:
        """Every argument as its type, secrets opened."""
        made = Made(dict(item.args), False)
        for name, prepared in item.args.items():
            if not is_template(prepared):
                continue
            path, mark, arg = f"{item.path}.{item.spec.name}.{name}", item.marks[name], item.spec.args[name]
            value = self._value(prepared, scope, mark, path)
            if isinstance(value, Undefined):
                made.ok = False
                continue
            value, secret = plain(value)
            made.secret = made.secret or secret
            if value is OMIT or value is None:
                value = arg.default
                if arg.required:
                    self._fault(mark, path, f"'{name}' is null", f"{name}: {arg.type}")
                    made.ok = False
            else:
                value = self._read(arg, value, mark, path, secret, made)
            made.args[name] = value
        return made

    def _read(self, arg: Any, value: Any, mark: Mark, path: str, secret: bool, made: Made) -> Any:
        try:
            return arg.read(value)
        except Wrong as e:
            sentence = f"does not fit its type, {arg.type} (its value is secret)" if secret else e.sentence
            self._fault(mark, path, sentence, e.hint)
            made.ok = False
            return None

    # -- contents

    def _content(self, item: Item, made: Made, scope: Any) -> None:
        """Resolves `src` or `content` into bytes; `args.content` becomes their sha256."""
        spec, args = item.spec, made.args
        resolves = "src" in spec.planner_only or ("remote_src" in spec.args and not args.get("remote_src"))
        if not resolves and not ("content" in spec.args and "dest" in spec.args):
            return
        path = f"{item.path}.{spec.name}"
        if args.get("src") is not None and args.get("content") is not None:
            self._fault(item.args_mark, path, "has both src and content", "one of them")
            made.ok = False
        elif args.get("src") is not None and resolves:
            mark = item.marks.get("src", item.args_mark)
            data = self._source(str(args["src"]), spec.name, made, mark, f"{path}.src", scope)
            self._keep(made, data)
        elif args.get("content") is not None:
            self._keep(made, str(args["content"]).encode())
        elif made.ok:
            self._fault(item.args_mark, path, "has neither src nor content", "src: NAME of a file in templates/")
            made.ok = False

    def _keep(self, made: Made, data: bytes | None) -> None:
        if data is None:
            made.ok = False
            return
        if not made.secret and self.world.holds_secret(data.decode("utf-8", "replace")):
            made.secret = True
        made.content = hashlib.sha256(data).hexdigest()
        made.args["content"] = made.content
        self.contents[made.content] = data

    def _source(self, src: str, kind: str, made: Made, mark: Mark, path: str, scope: Any) -> bytes | None:
        """The bytes of a file of templates/, rendered where it is a template."""
        loader, templates = self.world.templates.loader, self.world.templates
        own = str(PurePosixPath(self.role.name) / src)
        try:
            name = own if loader.find(own) or not loader.find(src) else src
            made.source = f"templates/{name}"
            if kind == "template" or src.endswith(".j2"):
                text, run = templates.render(templates.file(name, mark), scope, mark)
                self.world.report(self.host, path, run.troubles, self.role, self.scope)
                made.secret = made.secret or run.secret
                return None if run.troubles else text.encode()
            return self._raw(name, mark, path)
        except SecurityError as e:
            self.world.faults.add(mark, path, str(e))
        except Fault as e:
            self.world.faults.add(e.trouble.mark, path, e.trouble.sentence, e.trouble.hint)
        return None

    def _raw(self, name: str, mark: Mark, path: str) -> bytes | None:
        if name not in self.shared.raw:
            file = self.world.templates.loader.find(name)
            if file is None:
                hint = self.world.templates.near(name)
                self.world.faults.add(mark, path, f"there is no templates/{name}", hint)
                return None
            self.shared.raw[name] = file.read_bytes()
        return self.shared.raw[name]

    def _try_want(self, item: Item, made: Made) -> None:
        """The kind itself says whether its arguments go together."""
        constant = item.loop is None and not any(is_template(v) for v in item.args.values())
        if constant and id(item) in self.shared.wanted:
            return
        self.shared.wanted.add(id(item))
        try:
            item.spec.module.want(made.args)
        except (ValueError, KeyError, TypeError) as e:
            words = str(e) if not made.secret else "the arguments do not go together (they hold a secret)"
            path = f"{item.path}.{item.spec.name}"
            if constant:
                self.world.faults.add(item.args_mark, path, words)
            else:
                self._fault(item.args_mark, path, words)

    def _file(self, item: Item, made: Made, step: dict[str, Any]) -> None:
        dest = made.args.get("dest") or made.args.get("path")
        if not made.content or not dest or "remote_src" in item.spec.args:
            return
        file = RenderedFile(
            path=dest,
            sha=made.content,
            mode=made.args.get("mode"),
            owner=made.args.get("owner"),
            group=made.args.get("group"),
            secret=bool(step.get("secret")),
            validate=made.args.get("validate"),
            role=self.role.name,
            step=step["id"],
            template=made.source,
            mark=item.marks.get("src", item.args_mark),
            guarded_by_when=bool(step.get("when")),
        )
        self.files.append(file)

    # -- checks and backups

    def _each(self, item: Item, make: Any) -> None:
        for scope, label, name, decision in self._turns(item, 0, False):
            if decision.when:
                said = "a check or backup is chosen before any host is asked"
                self.world.faults.add(item.when[0][1], f"{item.path}.when", said, "no facts here")
                continue
            made = self._arguments(item, scope)
            if made.ok:
                id = f"{self.role.name}/{name}" + (f"[{label}]" if label and label not in name else "")
                make(item, {"id": id, "role": self.role.name, "name": name}, made, scope)

    def _more(self, item: Item, key: str, scope: Any, default: Any = None) -> Any:
        """What a check or backup says besides its arguments."""
        prepared = item.more.get(key)
        if prepared is None or not is_template(prepared):
            return default if prepared is None else prepared
        mark, path = item.more[f"{key} mark"], f"{item.path}.{key}"
        inner = prepared.inner if isinstance(prepared, Nest) else prepared
        value = self._value(prepared if not isinstance(prepared, Nest) else Nest(inner), scope, mark, path)
        if isinstance(value, Undefined):
            return default
        try:
            return read_more(key, plain(value)[0])
        except Wrong as e:
            self._fault(mark, path, e.sentence, e.hint)
            return default

    def _check(self, item: Item, check: dict[str, Any], made: Made, scope: Any) -> None:
        check |= {"probe": item.spec.name, "args": made.args}
        check["within"] = self._more(item, "within", scope, 1.0)
        check["from"] = self._more(item, "from", scope, "host")
        check["service"] = self._more(item, "service", scope, self.role.name)
        for key in ("max", "min", "warn"):
            if (value := self._more(item, key, scope)) is not None:
                check[key] = value
        if made.secret:
            check["secret"] = True
        self.checks.append(check)

    def _backup(self, item: Item, backup: dict[str, Any], made: Made, scope: Any) -> None:
        backup |= {"source": item.spec.name, "args": made.args}
        backup["keep"] = self._more(item, "keep", scope, self.world.project.distributed.backup.keep)
        if made.secret:
            backup["secret"] = True
        self.backups.append(backup)


def _label(value: Any) -> str:
    """How a loop's item is called in ids; never a secret."""
    if isinstance(value, Mapping):
        for key in ("name", "key", "path", "dest", "user"):
            if isinstance(value.get(key), str | int) and not isinstance(value[key], SecretText):
                return str(value[key])[:60]
        return ""
    if isinstance(value, SecretText) or not isinstance(value, str | int | float):
        return ""
    return str(value)[:60]
