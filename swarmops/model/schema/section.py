"""Sections: a class whose attributes are fields, read from a YAML map with every fault at its place.

Written here rather than with a library because each command waits for it: reading a declaration takes some
milliseconds, and every sentence can name what YAML made of the text (docs/decisions/2026-11-21-declaration-schema.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from swarmops.model.faults import Faults, Mark, closest


class Wrong(Exception):
    """A value cannot be read. Becomes a fault at the value's place."""

    def __init__(self, sentence: str, hint: str = ""):
        super().__init__(sentence)
        self.sentence, self.hint = sentence, hint


NOWHERE = Mark()


@dataclass(frozen=True)
class Place:
    """Where a value stands, and where its faults go. `raw` is the text as written, for plain scalars."""

    faults: Faults
    path: str = ""
    mark: Mark = NOWHERE
    raw: str | None = None
    lenient: bool = False

    def child(self, box: Any, key: Any) -> Place:
        """The place of `box[key]`."""
        path = f"{self.path}[{key}]" if isinstance(key, int) else f"{self.path}.{key}".lstrip(".")
        mark = box.value_mark(key) if hasattr(box, "value_mark") else self.mark
        raw = box.raw(key) if hasattr(box, "raw") else None
        return replace(self, path=path, mark=mark or self.mark, raw=raw if isinstance(raw, str) else None)

    def read(self, reader: Reader, value: Any, default: Any) -> Any:
        """`reader(value)`, or a fault and the default."""
        try:
            return reader(value, self)
        except Wrong as e:
            self.faults.add(self.mark, self.path, e.sentence, e.hint or self._what_yaml_did(value))
            return default

    def _what_yaml_did(self, value: Any) -> str:
        if not self.raw or isinstance(value, str) or self.raw == str(value):
            return ""
        read_as = "nothing" if value is None else str(value).lower()
        return "" if read_as == self.raw else f"YAML reads {self.raw} as {read_as}; put it in quotes"


Reader = Callable[[Any, Place], Any]


@dataclass(frozen=True)
class Field:
    reader: Reader
    default: Any
    doc: str

    def fresh(self) -> Any:
        return self.default() if callable(self.default) else self.default


def field(reader: Reader, default: Any, doc: str) -> Any:
    """A field: how it is read, its default (a class or function makes a fresh one) and what it means."""
    return Field(reader, default, doc)


def mapping(value: Any, place: Place) -> Mapping[str, Any]:
    """The value as a map with text keys; a section that is there but empty counts as empty."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        what = "a list" if isinstance(value, list) else f"'{value}'"
        raise Wrong(f"{what} is not a map of settings", "write key: value lines below it")
    for key in value:
        if not isinstance(key, str):
            mark = value.key_mark(key) if hasattr(value, "key_mark") else place.mark
            place.faults.add(mark, place.path, f"the key {key!r} is not text", "put it in quotes")
    return {k: v for k, v in value.items() if isinstance(k, str)} if not all_text(value) else value


def all_text(value: Mapping[Any, Any]) -> bool:
    return all(isinstance(k, str) for k in value)


class Section:
    """Base of all sections. Every field is an attribute; `plain()` is the section as templates see it."""

    fields: ClassVar[dict[str, Field]] = {}

    def __init_subclass__(cls) -> None:
        own = {k: v for k, v in vars(cls).items() if isinstance(v, Field)}
        cls.fields = {**cls.fields, **own}

    def __init__(self) -> None:
        for name, spec in self.fields.items():
            setattr(self, name, spec.fresh())
        self.given: dict[str, Place] = {}  # what was written, and where

    @classmethod
    def read(cls, value: Any, place: Place) -> Self:
        """Reads a map; adds a fault for each unknown key and each value that is wrong."""
        found = cls()
        for key, item in (box := mapping(value, place)).items():
            here = place.child(box, key)
            spec = cls.fields.get(key)
            if spec is None:
                cls._unknown(key, here, box)
            elif item is not None or here.raw not in (None, "", "~", "null"):
                setattr(found, key, here.read(spec.reader, item, spec.fresh()))
                found.given[key] = here
        found.settle(place)
        return found

    @classmethod
    def _unknown(cls, key: str, place: Place, box: Any) -> None:
        mark = box.key_mark(key) if hasattr(box, "key_mark") else place.mark
        add = place.faults.warn if place.lenient else place.faults.add
        add(mark or place.mark, place.path, "unknown key", closest(key, cls.fields))

    def settle(self, place: Place) -> None:
        """Derives what depends on several fields and checks them against each other."""

    def plain(self) -> dict[str, Any]:
        """Plain values: times in seconds, sizes in bytes, networks as text."""
        return {name: _plain(getattr(self, name)) for name in self.fields}


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.plain()
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
