"""Environment overrides: SWARMOPS_<SECTION>_<KEY>=value wins; a bad value names its variable (case 52)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swarmops.model import yaml
from swarmops.model.faults import Faults, Mark, closest
from swarmops.model.schema.section import Section
from swarmops.model.schema.sections import EMPTY, Mesh


class Overlay(dict[str, Any]):
    """A map over a map from a file: values that were put on top stand in an environment variable."""

    def __init__(self, base: Any):
        super().__init__(base or {})
        self._base = base
        self._marks: dict[str, Mark] = {}

    def put(self, keys: list[str], value: Any, mark: Mark) -> None:
        """Sets the value that the keys lead to."""
        head, *rest = keys
        if not rest:
            self[head] = value
        else:
            below = self.get(head)
            if not isinstance(below, Overlay):
                if below is not None and not isinstance(below, Mapping):
                    return  # the reader will say that it is no map
                below = self[head] = Overlay(below)
            below.put(rest, value, mark)
        if not rest or not hasattr(self._base, "mark") or head not in self._base:
            self._marks[head] = mark

    @property
    def mark(self) -> Mark:
        return getattr(self._base, "mark", None) or next(iter(self._marks.values()), Mark())

    def value_mark(self, key: str) -> Mark:
        return self._marks.get(key) or (self._base.value_mark(key) if hasattr(self._base, "mark") else self.mark)

    def key_mark(self, key: str) -> Mark:
        return self._marks.get(key) or (self._base.key_mark(key) if hasattr(self._base, "mark") else self.mark)

    def raw(self, key: str) -> str | None:
        if key in self._marks or not hasattr(self._base, "raw"):
            return None
        return self._base.raw(key)


def apply(data: Any, environ: Mapping[str, str], faults: Faults) -> Any:
    """The data with every `SWARMOPS_<SECTION>_...` variable on top; the data itself when there is none."""
    wanted = {k: v for k, v in sorted(environ.items()) if _section(k)}
    if not wanted:
        return data
    over = Overlay(data)
    for variable, written in wanted.items():
        keys = _keys(variable, _section(variable), over)
        if keys is None:
            known = [f"SWARMOPS_{p.upper()}" for p in _paths(_section(variable))]
            faults.add(Mark(variable), "", "no setting of distributed.yaml has this name", closest(variable, known))
            continue
        found = Faults()
        value = yaml.parse(written, variable, found)
        over.put(keys, written if found else value, Mark(variable))
    return over


def _section(variable: str) -> str:
    if not variable.startswith("SWARMOPS_"):
        return ""
    return next((s for s in EMPTY if variable.startswith(f"SWARMOPS_{s.upper()}_")), "")


def _paths(section: str) -> list[str]:
    fields = getattr(EMPTY[section], "fields", {})
    own = [f"{section}_{name}" for name in fields]
    return own + ([f"network_mesh_{name}" for name in Mesh.fields] if section == "network" else [])


def _keys(variable: str, section: str, data: Overlay) -> list[str] | None:
    """The way to the setting: ['network', 'mesh', 'port'], ['services', 'redis', 'port']."""
    rest = variable.removeprefix(f"SWARMOPS_{section.upper()}_").lower()
    kind = EMPTY[section]
    if isinstance(kind, type) and issubclass(kind, Section):
        if section == "network" and rest.removeprefix("mesh_") in Mesh.fields and rest.startswith("mesh_"):
            return ["network", "mesh", rest.removeprefix("mesh_")]
        return [section, rest] if rest in kind.fields else None
    if section in ("features", "infrastructure"):
        return [section, rest]
    names = data.get(section) if isinstance(data.get(section), Mapping) else {}
    under = {str(n).replace("-", "_"): str(n) for n in names or {}}
    best = max((n for n in under if rest.startswith(n + "_")), key=len, default=None)
    return [section, under[best], rest[len(best) + 1 :]] if best else None
