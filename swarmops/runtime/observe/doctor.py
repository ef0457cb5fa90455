"""What may be wrong, looked at in order, with what to do about it (S3-61 to S3-64). Reads only.

Never KEYS: memory is judged by a sampled SCAN, and says how much it has seen.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmops.runtime.errors import Misconfigured, SwarmError, Unavailable
from swarmops.runtime.observe.probe import info
from swarmops.runtime.op import command

if TYPE_CHECKING:
    from swarmops.runtime.client.sync import Runtime

SAMPLE = 5000  # keys looked at
LARGEST = 10
NO_EVICTION = "`CONFIG SET maxmemory-policy noeviction`: eviction drops queues and state without an error"
_TAG = re.compile(r"\{[^}]*\}")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. state: ok, warning, bad, unknown. advice: what to do, empty when all is well."""

    check: str
    state: str
    detail: str
    advice: str = ""


def examine(rt: Runtime, topics: tuple[str, ...]) -> dict[str, list[Finding]]:
    """Findings by topic. A look that fails is a finding, not an exception; Unavailable is raised."""
    from swarmops.runtime.client.sync import Runtime

    try:
        rt.connect()
    except Misconfigured as e:
        with Runtime(rt.settings, unfit=True) as looking:
            found = _examined(looking, topics)
        if "memory" not in topics:  # which says so itself
            found[topics[0]].insert(0, Finding("policy", "bad", str(e), NO_EVICTION))
        return found
    return _examined(rt, topics)


def _examined(rt: Runtime, topics: tuple[str, ...]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for topic in topics:
        found[topic] = []
        for look in TOPICS[topic]:
            try:
                found[topic] += look(rt)
            except Unavailable as e:
                if e.kind != "permission":
                    raise
                found[topic].append(Finding(look.__name__.strip("_"), "unknown", str(e)))
            except SwarmError as e:
                found[topic].append(Finding(look.__name__.strip("_"), "unknown", str(e)))
    return found


# -- messaging


def _same_instance(rt: Runtime) -> list[Finding]:
    server = info(rt, "server")
    detail = f"{rt.settings.place}, run id {server.get('run_id', '?')[:12]}, namespace {rt.settings.namespace}"
    others = _namespaces(rt)
    if others - {rt.settings.namespace}:
        also = ", ".join(sorted(others - {rt.settings.namespace}))
        advice = f"other namespaces are in use here ({also}): who does not hear you may be in one of them"
        return [Finding("same instance", "warning", detail, advice)]
    advice = "compare the run id with what the others see"
    return [Finding("same instance", "ok", detail, advice if not others else "")]


def _namespaces(rt: Runtime) -> set[str]:
    """First parts of keys that look like ours, from a short sampled SCAN."""
    cursor, seen = b"0", set()
    for _ in range(10):
        cursor, keys = rt.run(command(rt.keys.registry(), "SCAN", cursor, "COUNT", 100, safe=True))
        seen |= {k.split(b":{")[0].decode("utf-8", "replace") for k in keys if b":{" in k}
        if cursor == b"0":
            break
    return seen


def _hints(rt: Runtime) -> list[Finding]:
    channels = rt.run(command(rt.keys.registry(), "PUBSUB", "CHANNELS", f"{rt.settings.namespace}:*", safe=True))
    detail = f"{len(channels)} channels with listeners" + (f": {_few(channels)}" if channels else "")
    return [Finding("hints", "ok", f"{detail} (only hints: nothing that must arrive goes this way)")]


def _few(names: list[bytes]) -> str:
    shown = ", ".join(n.decode("utf-8", "replace") for n in sorted(names)[:5])
    return shown + (", ..." if len(names) > 5 else "")


def _blocked(rt: Runtime) -> list[Finding]:
    clients = info(rt, "clients")
    waiting, connected = int(clients.get("blocked_clients", 0)), int(clients.get("connected_clients", 0))
    detail = f"{waiting} of {connected} connections wait for something to come"
    if not waiting:
        return [Finding("somebody listens", "warning", detail, "start a worker, or `swarmops message listen`")]
    return [Finding("somebody listens", "ok", detail)]


def _inboxes(rt: Runtime) -> list[Finding]:
    agents = rt.run(command(rt.keys.registry(), "ZCARD", rt.keys.registry("agents"), safe=True))
    state = "ok" if agents else "warning"
    advice = "" if agents else "nobody has registered: `swarmops agent register`"
    return [Finding("agents known", state, str(agents), advice)]


# -- leader


def _leadership(rt: Runtime) -> list[Finding]:
    key, term = rt.keys.registry("leader"), rt.keys.registry("term")
    who, left, number = rt.run_many(
        [
            command(key, "GET", key, safe=True),
            command(key, "PTTL", key, safe=True),
            command(key, "GET", term, safe=True),
        ]
    )
    for answer in (who, left, number):
        if isinstance(answer, Exception):
            raise answer
    shown = f"term {int(number or 0)}"
    if who is None:
        advice = "start a coordinator; if one runs, it cannot reach this Redis or uses another namespace"
        return [Finding("leader", "bad", f"nobody leads, {shown}", advice)]
    if left < 0:
        advice = "no lease of ours is without an end: somebody else wrote it. Delete it, and a new leader is elected"
        return [Finding("leader", "bad", f"{_holder(who)} holds the key without a lease", advice)]
    return [Finding("leader", "ok", f"{_holder(who)}, {shown}, lease ends in {left} ms unless renewed")]


def _holder(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["id"])
    except (ValueError, KeyError, TypeError):
        return f"'{raw[:40].decode(errors='replace')}' (which is nobody's name)"


# -- state


def _persistence(rt: Runtime) -> list[Finding]:
    said = info(rt, "persistence")
    found = []
    if said.get("aof_enabled") != "1":
        advice = "set `appendonly yes`: without it a crash loses all since the last save"
        found.append(Finding("append-only file", "bad", "off", advice))
    elif said.get("aof_last_write_status") != "ok":
        found.append(
            Finding("append-only file", "bad", "the last write failed", "look at its disk: full or read-only?")
        )
    else:
        found.append(Finding("append-only file", "ok", "on, last write well"))
    saved = said.get("rdb_last_bgsave_status", "?")
    advice = "" if saved == "ok" else "look at its log and at its disk"
    found.append(Finding("last save", "ok" if saved == "ok" else "bad", saved, advice))
    return found


def _save_points(rt: Runtime) -> list[Finding]:
    points = _config(rt, "save")
    if points is None:
        said = info(rt, "persistence")
        age = time.time() - int(said.get("rdb_last_save_time", 0))
        detail = (
            f"its last save is {age / 60:.0f} min old, {said.get('rdb_changes_since_last_save', '?')} changes since"
        )
        return [Finding("save points", "ok", f"{detail} (this user is not shown how often it saves)")]
    return [Finding("save points", "ok", points or "none (the append-only file is what counts)")]


def _config(rt: Runtime, name: str) -> str | None:
    """A setting of the server. None: this user may not ask, as the one that roles/redis makes for services."""
    try:
        answer = rt.run(command(rt.keys.registry(), "CONFIG", "GET", name, safe=True))
    except Unavailable as e:
        if e.kind != "permission":
            raise
        return None
    return answer[1].decode() if len(answer) > 1 else ""


def _disk(rt: Runtime) -> list[Finding]:
    folder = _config(rt, "dir")
    if folder is None:  # nor is it shown to others than the administrator, since CONFIG also shows passwords
        said = info(rt, "persistence")
        wrote = {
            said.get("rdb_last_bgsave_status"),
            said.get("aof_last_write_status"),
            said.get("aof_last_bgrewrite_status"),
        }
        if wrote - {"ok", None}:
            return [Finding("disk", "bad", "a write of its data failed", "look at its disk: full or read-only?")]
        detail = "all it wrote went well (how much is free tells `swarmops check-health`, check `disk` of its host)"
        return [Finding("disk", "ok", detail)]
    here = rt.settings.unix_socket or rt.settings.host in ("127.0.0.1", "localhost", "::1")
    if not here or not Path(folder).is_dir():
        return [Finding("disk", "unknown", f"{folder or 'its folder'} is on {rt.settings.place}: run this there")]
    free = shutil.disk_usage(folder).free
    used = int(info(rt, "memory").get("used_memory", 0))
    state, advice = "ok", ""
    if free < 3 * used + (64 << 20):
        state, advice = "bad", "a rewrite needs room for another copy: make space, or state is soon read-only"
    return [Finding("disk", state, f"{free >> 20} MiB free in {folder}, the data has {used >> 20} MiB", advice)]


def _lives(rt: Runtime) -> list[Finding]:
    memory = info(rt, "stats")
    evicted, expired = int(memory.get("evicted_keys", 0)), int(memory.get("expired_keys", 0))
    if evicted:
        advice = "maxmemory-policy must be noeviction for coordination"
        return [Finding("evictions", "bad", f"{evicted} keys were thrown away", advice)]
    return [Finding("evictions", "ok", f"none; {expired} keys ended at their own time")]


# -- memory


def _memory(rt: Runtime) -> list[Finding]:
    said = info(rt, "memory")
    used, most = int(said.get("used_memory", 0)), int(said.get("maxmemory", 0))
    policy, part = said.get("maxmemory_policy", "?"), f"{used >> 20} MiB used"
    if policy != "noeviction":
        return [Finding("policy", "bad", policy, NO_EVICTION)]
    if not most:
        return [Finding("limit", "warning", f"{part}, no maxmemory", "set one: a machine without memory kills Redis")]
    share = used / most
    advice = "keep fewer results, snapshots or history, or give it more memory" if share > 0.8 else ""
    return [Finding("limit", "warning" if share > 0.8 else "ok", f"{part} of {most >> 20} MiB ({share:.0%})", advice)]


def _families(rt: Runtime) -> list[Finding]:
    sizes: dict[str, list[int]] = {}
    for key, size in _sampled(rt):
        one = sizes.setdefault(family(key), [0, 0])
        one[0], one[1] = one[0] + 1, one[1] + size
    total = sum(size for _, size in sizes.values()) or 1
    biggest = sorted(sizes.items(), key=lambda item: -item[1][1])[:LARGEST]
    return [
        Finding(name, "ok", f"{size / total:.0%} of what was looked at: {size:,} bytes in {count:,} keys")
        for name, (count, size) in biggest
    ]


def family(key: str) -> str:
    """What kind of key it is: `swarm:{q:default}:ready:gpu` and its like are `q ready`."""
    found = _TAG.search(key)
    if not found:
        return "not ours"
    rest = key[found.end() :].strip(":").split(":")
    return f"{found[0].strip('{}').split(':')[0]} {rest[0]}".strip()


def _sampled(rt: Runtime) -> list[tuple[str, int]]:
    cursor, found = b"0", list[tuple[str, int]]()
    at = rt.keys.registry()
    while len(found) < SAMPLE:
        cursor, keys = rt.run(command(at, "SCAN", cursor, "COUNT", 500, safe=True))
        sizes: list[Any] = rt.run_many([command(at, "MEMORY", "USAGE", k, safe=True) for k in keys])
        for key, size in zip(keys, sizes):
            if isinstance(size, SwarmError):
                raise size
            found.append((key.decode("utf-8", "replace"), size or 0))
        if cursor == b"0":
            break
    return found


TOPICS: dict[str, tuple[Callable[[Runtime], list[Finding]], ...]] = {
    "messaging": (_same_instance, _hints, _blocked, _inboxes),
    "leader": (_leadership,),
    "state": (_persistence, _save_points, _disk, _lives),
    "memory": (_memory, _families),
}
