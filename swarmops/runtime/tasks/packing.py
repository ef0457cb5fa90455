"""How tasks lie in Redis (see scripts/queue.lua): records written, and the answers of the scripts read."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from swarmops.runtime import scripts, wire
from swarmops.runtime.errors import Invalid
from swarmops.runtime.ids import name, names, new_id, number
from swarmops.runtime.keys import Keys
from swarmops.runtime.tasks.records import Claim, Claimed, Depth, Task, TaskFailed, TaskSpec

YEAR = 31_536_000.0


@lru_cache(1024)
def queue_keys(keys: Keys, queue: str, script: str) -> tuple[str, ...]:
    """The keys of a queue script: their names are the names of the parts. Raises Invalid."""
    name(queue, "queue")
    return tuple(keys.queue(queue, part) for part in scripts.load(script).keys)


@lru_cache(4096)
def _head(
    kind: str, priority: int, needs: tuple[str, ...] | str, delay: float, expires: float | None, timeout: float | None,
    retries: int, backoff: float, workflow: str,
) -> tuple[str, bytes]:  # fmt: skip
    """The record up to where its args begin, with a meta still to come and without one. Checks all. Raises Invalid."""
    name(kind, "kind")
    if not isinstance(priority, int):
        raise Invalid("priority", f"{str(priority)[:80]!r} is not a whole number from 0 to 9")
    number(priority, "priority", 0, 9)
    lane = ",".join(names(needs, "needs")) if needs else ""
    for value, path in ((delay, "delay"), (backoff, "backoff")):
        number(value, path, 0, YEAR)
    for limit, path in ((expires, "expires"), (timeout, "timeout")):
        if limit is not None:
            number(limit, path, 0.001, YEAR)
    if not isinstance(retries, int):
        raise Invalid("retries", f"{str(retries)[:80]!r} is not a whole number from 0 to 1000")
    number(retries, "retries", 0, 1000)
    if workflow:
        name(workflow, "workflow")
    times = f"{round(delay * 1000)}|{round((expires or 0) * 1000)}"
    head = (
        f"{times}|{lane}|{priority}|{retries}|{round((timeout or 0) * 1000)}|{round(backoff * 1000)}|{workflow}|{kind}|"
    )
    body = f'{{"type":"{kind}","args":'
    return head, f"{head}{len(body)}\n{body}".encode()


def packed(spec: TaskSpec, workflow: str = "") -> tuple[str, bytes]:
    """(id, record) as submit.lua takes them: delay and time to live in the place of the two times. Raises Invalid."""
    return pack(
        spec.kind, spec.args, spec.id, spec.priority, spec.needs, spec.delay, spec.expires, spec.timeout, spec.retries,
        spec.backoff, spec.meta, workflow,
    )  # fmt: skip


def pack(
    kind: str, args: Any, id: str | None, priority: int, needs: Collection[str], delay: float, expires: float | None,
    timeout: float | None, retries: int, backoff: float, meta: Mapping[str, Any] | None, workflow: str = "",
) -> tuple[str, bytes]:  # fmt: skip
    """The same of the fields of a TaskSpec, in their order."""
    task = new_id() if id is None else name(id, "id")
    lane = needs if isinstance(needs, str) else tuple(needs)
    try:
        head, plain = _head(kind, priority, lane, delay, expires, timeout, retries, backoff, workflow)
    except TypeError:
        raise Invalid("task", "a field has a value of the wrong type") from None
    data = wire.dumps(args, "args")
    if not meta:
        return task, b"%s%s}" % (plain, data)
    if not isinstance(meta, Mapping):
        raise Invalid("meta", "is not an object")
    body = b'{"type":"%s","meta":%s,"args":' % (kind.encode(), wire.dumps(dict(meta), "meta"))
    return task, b"%s%d\n%s%s}" % (head.encode(), len(body), body, data)


def unpacked(record: bytes) -> tuple[list[str], bytes, Mapping[str, Any], str]:
    """(head fields, args as JSON, meta, what is wrong with it) of a record."""
    head, _, body = record.partition(b"\n")
    fields = head.decode().split("|")
    at = fields[9]
    if at:
        start = int(at)
        meta = {}
        if start > len(fields[8]) + 18:  # longer than {"type":"...","args":
            meta = json.loads(body[: start - 8] + b"}")["meta"]
        return fields, body[start:-1], meta, ""
    try:
        posted = wire.loads(body, "posted task")
        meta = posted.get("meta") if isinstance(posted.get("meta"), dict) else {}
        return fields, wire.dumps(posted.get("args")), meta, ""
    except Invalid as e:
        return fields, b"null", {}, str(e)


def value_of(id: str, outcome: bytes) -> Any:
    """The result in the JSON of `out`. Raises TaskFailed."""
    found = json.loads(outcome.decode("utf-8", "replace"))
    if found["status"] != "done":
        raise TaskFailed(id, found["status"], found.get("error") or "")
    return found["result"]


def claimed(reply: list[Any], holding: frozenset[str] | None) -> Claimed:
    """Reads the answer of step.lua. A parent's result is None when its outcome is not kept any more."""
    due, tasks, refused, held, parents, differs = reply
    family: dict[bytes, dict[str, Any]] = {}
    for i in range(0, len(parents), 3):
        outcome = json.loads(parents[i + 2] or b"{}")
        family.setdefault(parents[i], {})[parents[i + 1].decode()] = outcome.get("result")
    claims = []
    for i in range(0, len(tasks), 3):
        f, args, meta, fault = unpacked(tasks[i + 2])
        more = family.get(tasks[i], {})
        claims.append(Claim(tasks[i].decode(), tasks[i + 1], f[8], args, int(f[5]), f[7], int(f[3]), meta, more, fault))
    no = [(refused[i].decode(), refused[i + 1].decode()) for i in range(0, len(refused), 2)]
    there = {h.decode() for h in held}
    lost, strays = (holding - there, there - holding) if differs and holding is not None else ((), ())
    return Claimed(claims, no, sorted(lost), sorted(strays), due)


def described(facts: list[Any]) -> Task | None:
    """Of what lib looking says. None if there is no such task."""
    id, record, outcome, held, attempts, fails, deaths, progress, deps, due = facts
    if not record and not outcome:
        return None
    over = json.loads(outcome.decode("utf-8", "replace")) if outcome else {}
    status = over.get("status") or (
        "running" if held else "waiting" if deps else "delayed" if due else "ready"
    )  # fmt: skip
    failures, _, error = fails.partition(b"\n")
    more: dict[str, Any] = {
        "attempt": over.get("attempt", int(attempts or 0)),
        "worker": over.get("worker", ""),
        "result": over.get("result"),
        "error": over.get("error") or (json.loads(error) if error else None),
        "submitted_ms": over.get("submitted", 0),
        "started_ms": over.get("started", 0),
        "ended_ms": over.get("ended", 0),
        "failures": int(failures or 0),
        "deaths": int(deaths.split()[0]) if deaths else 0,
        "progress": json.loads(progress) if progress else None,
        "due_ms": int(float(due)) if due else 0,
    }
    kind = over.get("type", "")
    if record:
        f, args, more["meta"], _ = unpacked(record)
        kind, more["priority"], more["workflow"], more["submitted_ms"] = f[8], int(f[3]), f[7], int(f[0])
        more["needs"], more["args"] = tuple(n for n in f[2].split(",") if n), json.loads(args)
    if held:
        worker, _, since, *_ = held.decode().split(" ")
        more["worker"], more["started_ms"] = worker, int(since)
    return Task(id.decode(), status, kind, **more)


def depth(queue: str, reply: list[Any]) -> Depth:
    """Reads the answer of depth.lua. `!x` in lanes: tasks of lane x that are run alone."""
    open_, running, dead, blocked, limit, oldest, workers, posted = reply[:8]
    lanes = {reply[i].decode(): reply[i + 1] for i in range(8, len(reply), 2)}
    ready = sum(lanes.values())
    delayed = max(0, open_ - running - dead - blocked - ready)
    return Depth(queue, ready, delayed, running, blocked, dead, limit, oldest, workers, posted, lanes)
