"""A task's arguments for one host: rendered, read as their types, with the content they name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from jinja2 import Undefined
from jinja2.sandbox import SecurityError

from swarmops.model.faults import Mark
from swarmops.planning import conditions
from swarmops.planning.kinds_spec import Wrong
from swarmops.planning.prepared import is_template
from swarmops.planning.roles import Item, Role
from swarmops.planning.templating import Fault, plain
from swarmops.planning.values import OMIT, odd_in
from swarmops.planning.world import World


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


class Arguments:
    """Makes arguments of one role on one host; `contents` gathers the bytes they name by sha256."""

    def __init__(self, world: World, shared: Shared, host: str, role: Role):
        self.world, self.shared, self.host, self.role = world, shared, host, role
        self.scope = world.role_scope(world.scope(host), role)
        self.contents: dict[str, bytes] = {}

    def _value(self, prepared: Any, scope: Any, mark: Mark, path: str) -> Any:
        """The value; what is wrong is noted, and `Silent` comes back."""
        if not is_template(prepared):
            return prepared
        made, run = self.world.templates.value(prepared, scope, mark)
        self.world.report(self.host, path, run.troubles, self.role, self.scope)
        return made

    def _fault(self, mark: Mark, path: str, sentence: str, hint: str = "") -> None:
        self.world.host_faults.add(self.host, mark, path, sentence, hint)

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
            if value is not OMIT and (odd := odd_in(value)):
                self._fault(mark, path, f"gives a {odd}, which cannot go to a host")
                made.ok = False
            elif value is OMIT or value is None:
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
