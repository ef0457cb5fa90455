"""The Lua scripts: every change of state is one of these files, run by Redis as a whole.

The head of a file lists the keys it is given, in order, and what they hold:

    -- key task     HASH  id -> record

Such a line makes the Lua local `k_task`. Keys that a script makes up itself (a list for one waiter) are families:
`-- family reply  LIST  <k_task up to its last colon>:reply:<client>`; they share the tag of the declared keys.
`-- include lib` puts lib.lua in front; its families are the script's own. Time is Redis' own. A script answers a
refusal with `return redis.error_reply('CODE sentence')`; the codes are those of swarmops.runtime.errors.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_KEY = re.compile(r"^-- key (\w+)", re.M)
_FAMILY = re.compile(r"^-- family (\w+)", re.M)
_INCLUDE = re.compile(r"^-- include (\w+)\n", re.M)


@dataclass(frozen=True, slots=True)
class Script:
    """keys: the names its head declares, in order. families: what it may make besides. source: as Redis gets it."""

    name: str
    keys: tuple[str, ...]
    families: tuple[str, ...]
    source: bytes
    sha: str


@cache
def load(name: str) -> Script:
    """The script of file <name>.lua."""
    text = _text(name)
    keys = tuple(_KEY.findall(text))
    body = _INCLUDE.sub(lambda m: _bare(_text(m[1])), text)
    head = "".join(f"local k_{k}=KEYS[{i}]\n" for i, k in enumerate(keys, 1))
    source = (head + _bare(body)).encode()
    parts = [text, *map(_text, _INCLUDE.findall(text))]
    families = {family for part in parts for family in _FAMILY.findall(part)}
    sha = hashlib.sha1(source, usedforsecurity=False).hexdigest()
    return Script(name, keys, tuple(sorted(families)), source, sha)


def names() -> list[str]:
    """All scripts that can be run: files whose first line is not `-- lib`."""
    found = [f.name[:-4] for f in files(__package__).iterdir() if f.name.endswith(".lua")]
    return sorted(n for n in found if not _text(n).startswith("-- lib"))


@cache
def _text(name: str) -> str:
    return (files(__package__) / f"{name}.lua").read_text()


def _bare(text: str) -> str:
    """Without whole-line comments: Redis keeps the source, and need not keep these."""
    return "".join(line for line in text.splitlines(True) if not line.lstrip().startswith("--") and line.strip())
