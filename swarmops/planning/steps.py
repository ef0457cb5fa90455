"""One role on one host: its tasks, handlers, checks and backups made concrete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Undefined

from swarmops.model.faults import Mark
from swarmops.planning import conditions
from swarmops.planning.arguments import Arguments, Made, Shared
from swarmops.planning.items import read_more
from swarmops.planning.kinds_spec import Wrong, describe
from swarmops.planning.prepared import Text, is_template
from swarmops.planning.roles import Item, Role
from swarmops.planning.templating import Within, plain
from swarmops.planning.values import SecretText, odd_in
from swarmops.planning.world import World
from swarmops.target import wire


@dataclass
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


class HostPlanner(Arguments):
    """Plans one role on one host; see the lists it fills."""

    def __init__(self, world: World, shared: Shared, host: str, role: Role):
        super().__init__(world, shared, host, role)
        self.steps: list[dict[str, Any]] = []
        self.checks: list[dict[str, Any]] = []
        self.backups: list[dict[str, Any]] = []
        self.files: list[RenderedFile] = []
        self.left_out: set[str] = set()  # results of tasks that this host does not have

    def run(self) -> None:
        watched: dict[str, list[str]] = {}
        for i, task in enumerate(self.role.tasks):
            ids = self._task(task, i)
            if task.register and not ids:
                self.left_out.add(task.register)
            for handler in task.notify:
                watched.setdefault(handler, []).extend(ids)
        for item in self.role.handlers:
            if watches := watched.get(item.label):
                self._handler(item, watches)
        for check in self.role.checks:
            self._each(check, self._check)
        for backup in self.role.backups:
            self._each(backup, self._backup)

    def _decide(self, item: Item, scope: Any, index: int, handler: bool) -> conditions.Decision:
        parts = self.shared.when(self.role, item, index, handler) if item.when else []

        secrets = []

        def value_of(text: Text) -> Any:
            value, secret = plain(self._value(text, scope, text.mark, f"{item.path}.when"))
            secrets.append(secret)
            return value

        decision = conditions.decide(parts, self.left_out, value_of)
        decision.secret = any(secrets)
        if odd := odd_in(decision.consts):
            self._fault(item.when[0][1], f"{item.path}.when", f"a {odd} cannot go to a host")
        return decision

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

    def _turns(self, item: Item, index: int, handler: bool) -> Any:
        """(scope, label, name, decision) of every turn of the loop that this host has."""
        if item.broken:
            return
        for value, label in self._loop(item):
            scope = self.scope if item.loop is None else Within({"item": value}, self.scope)
            decision = self._decide(item, scope, index, handler)
            if decision.wanted:
                name, secret = plain(self._value(item.name, scope, item.mark, item.path))
                if secret:
                    self._fault(item.mark, item.path, "its name holds a secret, and names are shown")
                    continue
                yield scope, label, str(name), decision

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
            consts=decision.consts,
            register=item.register,
            secret=made.secret or decision.secret or self._flag(item, "secret", scope),
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
        value = self._value(prepared, scope, mark, path)
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
