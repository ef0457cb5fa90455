"""An executable inventory: run with `--list`, and with `--host NAME` where its answer has no `_meta`."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from swarmops.model.faults import Mark
from swarmops.model.inventory.draft import Draft, Given
from swarmops.model.inventory.names import kind
from swarmops.model.textfile import absolute
from swarmops.model.yaml import Unsafe, Vaulted

TIMEOUT = 60.0  # seconds a call may take
MAX_BYTES = 64 * 1024 * 1024


def is_script(path: Path) -> bool:
    """Whether a file is to be run: executable, and a script or a program (a YAML file may be executable by chance)."""
    try:
        if not path.is_file() or not os.access(path, os.X_OK):
            return False
        with path.open("rb") as file:
            start = file.read(4)
    except OSError:
        return False
    return start[:2] == b"#!" or start == b"\x7fELF"


def read(path: Path, file: str, draft: Draft) -> None:
    """Runs the script and adds what it says. Its values have no line: their mark is the file."""
    mark = Mark(file)
    answer = _ask(path, ["--list"], mark, draft)
    if answer is None:
        return
    meta = answer.pop("_meta", None)
    known = meta.get("hostvars") if isinstance(meta, dict) else None
    if meta is not None and not isinstance(known, dict):
        draft.faults.add(mark, "_meta.hostvars", f"must be a map, is {kind(known)}")
        return
    hosts: dict[str, None] = {}
    for name, body in answer.items():
        _group(name, body, hosts, mark, draft)
    values = known if known is not None else _ask_each(path, list(hosts), mark, draft)
    for name in hosts:
        _host_vars(name, values.get(name) or {}, mark, draft)


def _group(name: str, body: Any, hosts: dict[str, None], mark: Mark, draft: Draft) -> None:
    group = draft.add_group(name, mark)
    if group is None:
        return
    if isinstance(body, list):  # the oldest form
        body = {"hosts": body}
    if not isinstance(body, dict):
        draft.faults.add(mark, name, f"a group is a map, this is {kind(body)}")
        return
    if not body.keys() & {"hosts", "vars", "children"}:
        body = {"hosts": [name], "vars": _unsafe(body)}  # a host by the group's name: Ansible's own reading
    for key, wanted in (("hosts", list), ("children", list), ("vars", dict)):
        if not isinstance(body.get(key, wanted()), wanted):
            word = "list" if wanted is list else "map"
            draft.faults.add(mark, f"{name}.{key}", f"must be a {word}, is {kind(body[key])}")
            return
    for host in body.get("hosts", ()):
        if not isinstance(host, str):
            draft.faults.add(mark, f"{name}.hosts", f"a host's name must be text, {host} is {kind(host)}")
        elif draft.add_host(host, group, mark):
            hosts[host] = None
    for var, value in body.get("vars", {}).items():
        draft.set_group_var(group, var, Given(_value(value, mark), mark))
    for child in body.get("children", ()):
        below = draft.add_group(child, mark)
        if below is not None:
            draft.add_child(name, below.name, mark)


def _host_vars(name: str, values: Any, mark: Mark, draft: Draft) -> None:
    if not isinstance(values, dict):
        draft.faults.add(mark, name, f"a host's variables are a map, this is {kind(values)}")
        return
    for var, value in values.items():
        draft.set_host_var(draft.hosts[name], var, Given(_value(value, mark), mark))


def _value(value: Any, mark: Mark) -> Any:
    """JSON's way to write vault and unsafe texts."""
    if isinstance(value, dict):
        if value.keys() == {"__ansible_vault"}:
            return Vaulted(str(value["__ansible_vault"]), mark)
        if value.keys() == {"__ansible_unsafe"}:
            return Unsafe(value["__ansible_unsafe"])
        return {k: _value(v, mark) for k, v in value.items()}
    return [_value(v, mark) for v in value] if isinstance(value, list) else value


def _unsafe(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _unsafe(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_unsafe(v) for v in value]
    return Unsafe(value) if isinstance(value, str) else value


def _ask_each(path: Path, hosts: list[str], mark: Mark, draft: Draft) -> dict[str, Any]:
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = pool.map(lambda host: _ask(path, ["--host", host], mark, draft), hosts)
        return dict(zip(hosts, answers, strict=True))


def _ask(path: Path, arguments: list[str], mark: Mark, draft: Draft) -> dict[str, Any] | None:
    """One call. What it prints on stderr is quoted only when it fails."""
    called = " ".join(arguments)
    try:
        done = subprocess.run(
            [str(absolute(path)), *arguments],
            capture_output=True,
            timeout=TIMEOUT,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        draft.faults.add(mark, called, f"gave no answer within {TIMEOUT:g} s")
        return None
    except OSError as e:
        draft.faults.add(mark, called, f"could not be run: {e.strerror}", "look at its first line, #!...")
        return None
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
        reason = last[0].encode("unicode_escape").decode()[:200]
        draft.faults.add(mark, called, f"failed with {done.returncode}: {reason}")
        return None
    return _decode(done.stdout, called, mark, draft)


def _decode(output: bytes, called: str, mark: Mark, draft: Draft) -> dict[str, Any] | None:
    if not output.strip() and called != "--list":
        return {}
    try:
        if len(output) > MAX_BYTES:
            raise ValueError("more than 64 MiB")
        answer = json.loads(output.decode())
    except (ValueError, RecursionError) as e:
        draft.faults.add(mark, called, f"printed no JSON: {e}")
        return None
    if isinstance(answer, dict):
        return answer
    draft.faults.add(mark, called, f"printed {kind(answer)}, not a map of groups")
    return None
