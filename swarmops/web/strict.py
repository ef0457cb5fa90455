"""Requests read strictly: JSON without tricks, wrong fields named with their paths (cases 74, 76, 78)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from starlette.requests import Request

from swarmops.runtime import wire
from swarmops.runtime.errors import Invalid, TooLarge
from swarmops.web.answers import Wrong

LONGEST = 308  # digits of a number: what more has, other languages cannot hold
_LONG = re.compile(rb"\d{%d}" % (LONGEST + 1))


def json_of(body: bytes, content_type: str) -> Any:
    """The JSON of a body. Raises Wrong: 400 for what is no JSON of ours, 413, 415 for another type."""
    check_type(content_type)
    try:
        value = wire.loads(body, "body")
        if _LONG.search(body):
            _no_long_numbers(value)
    except TooLarge as e:
        raise Wrong(413, str(e), "body") from None
    except Invalid as e:
        raise Wrong(400, str(e).removeprefix("body: "), "body") from None
    return value


def check_type(content_type: str) -> None:
    """Raises Wrong (415) for what is not said to be JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise Wrong(415, "the body must be application/json", "body")


def _no_long_numbers(value: Any) -> None:
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, int) and abs(one) >= 10**LONGEST:
            raise Invalid("body", "holds a number that is too large")
        if isinstance(one, dict):
            todo += one.values()
        elif isinstance(one, list):
            todo += one


class StrictRequest(Request):
    """A request whose `json` is strict."""

    async def json(self) -> Any:
        return json_of(await self.body(), self.headers.get("content-type", ""))


def path_of(location: Sequence[str | int]) -> str:
    """`steps[3].name` of ("body", "steps", 3, "name")."""
    parts = location[1:] if location and location[0] in ("body", "query", "path", "header") else location
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or str(location[0] if location else "body")


def invalid(errors: Iterable[Any]) -> Wrong:
    """422 for what pydantic found: the first fault, and all."""
    found = [(path_of(e["loc"]), _sentence(e)) for e in errors]
    if not found:
        found = [("body", "is not valid")]
    path, sentence = found[0]
    return Wrong(422, sentence, path, errors=found)


def _sentence(error: Any) -> str:
    kind, said = error.get("type", ""), str(error.get("msg", "is not valid"))
    known = {"missing": "is missing", "extra_forbidden": "is not a known field"}
    return known.get(kind) or said.removeprefix("Value error, ").replace("Input should be", "should be")
