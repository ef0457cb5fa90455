"""How many hosts of a role are changed at a time: Ansible's `serial` (S4-40, S4-41)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from swarmops.model.schema.readers import kind, list_of, show
from swarmops.model.schema.section import Place, Wrong

HINT = "write 1, 30% or [1, 5, 100%]"
_PERCENT = re.compile(r"0*([1-9][0-9]?|100)%")
_NUMBER = re.compile(r"0*[1-9][0-9]{0,5}")


@dataclass(frozen=True)
class Serial:
    """The sizes of the batches, in turn: hosts, or percent of all hosts as "30%". The last is that of all further
    batches."""

    sizes: tuple[int | str, ...]

    def batches(self, hosts: int) -> Iterator[int]:
        """The sizes of the batches of so many hosts, without end. A share is rounded down, to one host at least."""
        size = hosts
        for written in self.sizes:
            size = written if isinstance(written, int) else max(1, hosts * int(written[:-1]) // 100)
            yield size
        while True:
            yield size

    def __str__(self) -> str:
        return ", ".join(map(str, self.sizes))


def serial(value: Any, place: Place) -> Serial:
    """Reader: `1`, `"30%"` or `[1, 5, "100%"]`. Raises Wrong; each wrong size of a list is a fault of its own."""
    sizes = list_of(_size)(value, place)
    if value == []:
        raise Wrong("an empty list says nothing", HINT)
    return Serial(tuple(sizes) or ("100%",))


def _size(value: Any, place: Place) -> int | str:
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if percent := _PERCENT.fullmatch(text):
        return f"{percent[1]}%"
    if not _NUMBER.fullmatch(text):
        said = show(value) if isinstance(value, str | int | float) else kind(value)
        raise Wrong(f"{said} is not a number of hosts", HINT)
    return int(text)
