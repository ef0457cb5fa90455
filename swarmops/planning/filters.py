"""The filters and tests that templates have besides Jinja's own.

`redis_quote`, `systemd_escape`, `sh_quote` (also `quote`) and `json` (also `to_json`) write a text so that its reader
gets it back unchanged, whatever quotes, `%`, `$`, `#` or backslashes it holds (case 57).
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

from jinja2 import Undefined

from swarmops.planning.running import note, opened
from swarmops.planning.values import Lines, SecretText, guard, holds_secret, is_pem, unveil

# These hand on the items themselves; what is made of an item later is seen there.
_STRUCTURAL = {
    *("map", "select", "reject", "selectattr", "rejectattr", "list", "sort", "first", "last", "length", "count"),
    *("default", "d", "unique", "groupby", "batch", "slice", "reverse", "min", "max", "attr", "random", "sum"),
    *("dictsort", "items", "combine", "dict2items"),
}


def tracked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, marking the rendering as secret when it makes something of a secret."""
    if name in _STRUCTURAL:
        return function

    @wraps(function)
    def filter(*args: Any, **kwargs: Any) -> Any:
        for value in args:
            if holds_secret(value):
                opened()
        return function(*args, **kwargs)

    return filter


def text(value: Any) -> str:
    """A scalar as text, guarded against control characters."""
    if value is None or isinstance(value, Mapping | list | tuple):
        note("a text is needed here, not a map, a list or null")
        return ""
    return guard(str(value))


def redis_quote(value: Any) -> str:
    """One word of redis.conf or users.acl, in double quotes."""
    return '"' + text(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def systemd_escape(value: Any, exec: bool = False) -> str:
    """One word of a unit file, in double quotes; with `exec=true` for a command line, where $ means something too."""
    quoted = text(value).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return '"' + (quoted.replace("$", "$$") if exec else quoted) + '"'


def sh_quote(value: Any) -> str:
    """One word for a shell or an .env file."""
    return shlex.quote(text(value))


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON, keys in the given order. Line breaks in texts are escaped, so that it is one value whatever it holds."""
    if isinstance(value, Undefined):
        return str(value)
    made = json.dumps(unveil(value), indent=indent, ensure_ascii=False, default=_json_default)
    return Lines(_escape_odd(made))


def _escape_odd(made: str) -> str:
    return re.sub("[\x7f-\x9f\u2028\u2029]", lambda m: f"\\u{ord(m[0]):04x}", made)


def _json_default(value: Any) -> Any:
    if isinstance(value, Undefined):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Iterable) else str(value)


def lines(value: Any) -> Lines:
    """The items of a list, a line each."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        note("`| lines` takes a list of texts", "a text with line breaks in it is refused")
        return Lines("")
    return Lines("\n".join(text(item) for item in value))


def pem(value: Any) -> Lines:
    """A certificate or key in PEM form, refused when it is anything else."""
    plain = str(value).strip() + "\n"
    if not is_pem(plain):
        note("`| pem` takes certificates or keys in PEM form", "-----BEGIN ...----- to -----END ...-----")
        return Lines("")
    return Lines(plain)


def indent(value: Any, width: int = 4, first: bool = False, blank: bool = False) -> str:
    """Jinja's indent, which keeps a text's trust."""
    pad = " " * width
    rows = str(value).split("\n")
    made = [(pad + row if (row or blank) and (first or i) else row) for i, row in enumerate(rows)]
    joined = "\n".join(made)
    return Lines(joined) if isinstance(value, Lines) else joined


def sha256(value: Any) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest()


def b64(value: Any) -> str:
    return base64.b64encode(str(value).encode()).decode()


def b64decode(value: Any) -> str:
    return base64.b64decode(str(value)).decode()


def regex_replace(value: Any, pattern: str, replacement: str = "") -> str:
    return re.sub(pattern, replacement, str(value))


def to_bool(value: Any) -> bool:
    """As Ansible's `bool`: true, yes, on, 1 in any case."""
    return value if isinstance(value, bool) else str(value).strip().lower() in ("true", "yes", "on", "1", "y", "t")


def size(value: Any) -> int:
    """Bytes of a size such as 2gb, 512mb, 64k (1024 each) or a number."""
    match = re.fullmatch(r"\s*(\d+)\s*([kmgt]?)i?b?\s*", str(value).lower())
    if not match:
        note(f"'{value}' is not a size", "such as 512mb or 2gb")
        return 0
    return int(match[1]) << {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}[match[2]]


def ip_address(value: Any) -> str:
    """The address in `value`, its /prefix left off; refused when it is not one."""
    try:
        return str(ipaddress.ip_interface(str(value)).ip)
    except ValueError:
        note(f"'{value}' is not an IP address")
        return ""


def combine(value: Mapping[str, Any], *others: Mapping[str, Any]) -> dict[str, Any]:
    """The maps in one, the later ones winning."""
    return {k: v for part in (value, *others) for k, v in part.items()}


FILTERS: dict[str, Callable[..., Any]] = {
    "redis_quote": redis_quote,
    "systemd_escape": systemd_escape,
    "sh_quote": sh_quote,
    "quote": sh_quote,
    "json": to_json,
    "to_json": to_json,
    "tojson": to_json,
    "to_nice_json": lambda value: to_json(value, indent=2),
    "lines": lines,
    "multiline": lines,
    "pem": pem,
    "indent": indent,
    "sha256": sha256,
    "b64": b64,
    "b64encode": b64,
    "b64decode": b64decode,
    "regex_replace": regex_replace,
    "bool": to_bool,
    "size": size,
    "ip": ip_address,
    "combine": combine,
    "dict2items": lambda value: [{"key": k, "value": v} for k, v in value.items()],
}


def _result(key: str) -> Callable[[Any], bool]:
    def test(value: Any) -> bool:
        if isinstance(value, Undefined):
            return bool(value)
        return isinstance(value, Mapping) and bool(value.get(key))

    return test


# Of a task that was left out of the plan; those of tasks in the plan are decided on the host.
TESTS: dict[str, Callable[..., bool]] = {
    "changed": _result("changed"),
    "failed": _result("failed"),
    "skipped": _result("skipped"),
    "succeeded": lambda value: not _result("failed")(value),
    "success": lambda value: not _result("failed")(value),
    "match": lambda value, pattern: re.match(pattern, str(value)) is not None,
    "search": lambda value, pattern: re.search(pattern, str(value)) is not None,
    "secret": lambda value: isinstance(value, SecretText),
}
