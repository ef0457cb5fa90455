"""What commands about tasks read: arguments, lines, workflow files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarmops.runtime.tasks.records import TaskSpec

NEEDS_LIST = "is not a list of names"
FIELDS = ("args", "id", "priority", "needs", "delay", "expires", "timeout", "retries", "backoff", "meta")


def text_of(said: str, option: str, limit: int = 1 << 20) -> bytes:
    """What `@file`, `-` (stdin) or the text itself hold. Raises Invalid."""
    from swarmops.runtime.errors import Invalid, TooLarge

    if said == "-":
        found = sys.stdin.buffer.read(limit + 1)
    elif said.startswith("@"):
        try:
            with Path(said[1:]).open("rb") as f:
                found = f.read(limit + 1)
        except OSError as e:
            raise Invalid(option, f"{said[1:]}: {e.strerror}") from None
    else:
        found = said.encode("utf-8", "surrogateescape")
    if len(found) > limit:
        raise TooLarge(option, f"has more than {limit:,} bytes")
    return found


def json_of(said: str | None, option: str) -> Any:
    """The JSON of an option; None when it was not given. Raises Invalid."""
    from swarmops.runtime import wire

    return None if said is None else wire.loads(text_of(said, option), option)


def json_bytes(said: str, option: str) -> bytes:
    """The same as compact JSON."""
    from swarmops.runtime import wire

    return wire.dumps(json_of(said, option), option)


def comma_names(said: str | None, option: str) -> tuple[str, ...]:
    """`a,b` as names. Raises Invalid."""
    from swarmops.runtime.ids import names

    return names([n.strip() for n in said.split(",") if n.strip()], option) if said else ()


def specs_of(file: str) -> list[TaskSpec]:
    """Tasks of a file of JSON lines (`-`: stdin), each as it may be posted. Raises InputError with all faults."""
    from swarmops.model.faults import Faults, Mark
    from swarmops.runtime.errors import Invalid

    try:
        lines = sys.stdin.buffer.readlines() if file == "-" else Path(file).read_bytes().splitlines()
    except OSError as e:
        raise Invalid(file, e.strerror or str(e)) from None
    found: list[TaskSpec] = []
    faults = Faults()
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_spec(line))
            except Invalid as e:
                faults.add(Mark("<stdin>" if file == "-" else file, number), "", str(e))
    faults.stop_if_any()
    return found


def _spec(line: bytes) -> TaskSpec:
    """Raises Invalid."""
    from swarmops.runtime import wire
    from swarmops.runtime.errors import Invalid
    from swarmops.runtime.tasks.packing import packed
    from swarmops.runtime.tasks.records import TaskSpec

    entry = wire.loads(line, "", 2 << 20)
    if not isinstance(entry, dict):
        raise Invalid("", "is not an object")
    kind = entry.pop("type", None) or entry.pop("kind", None)
    if unknown := [k for k in entry if k not in FIELDS]:
        raise Invalid("", f"has an unknown field {unknown[0][:60]!r}")
    if "needs" in entry:
        if not isinstance(entry["needs"], list) or not all(isinstance(n, str) for n in entry["needs"]):
            raise Invalid("needs", NEEDS_LIST)
        entry["needs"] = tuple(entry["needs"])
    spec = TaskSpec(kind, **entry)
    packed(spec)  # raises what is wrong with it
    return spec
