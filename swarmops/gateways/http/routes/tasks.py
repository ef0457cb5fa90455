"""Tasks: hand in, look at, wait for, cancel, try again (S1-07)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request
from pydantic import AfterValidator

from swarmops.gateways.http import shapes
from swarmops.gateways.http.kinds import Kinds
from swarmops.gateways.http.router import config, done, needs, runtime, subject, unless_stopping
from swarmops.gateways.http.shapes import NAME, Limit, NewTask, Offset, QueueName, shown
from swarmops.runtime.errors import Invalid, Late
from swarmops.runtime.ids import new_id
from swarmops.runtime.op import good
from swarmops.runtime.tasks import TaskFailed, TaskSpec
from swarmops.runtime.tasks.records import STATUSES
from swarmops.web.answers import Json

router = subject("tasks")
OPEN = STATUSES[:4]
WINDOW = 1000  # tasks of each status that a search looks at
TaskId = Annotated[str, Path(pattern=NAME)]
Wait = Annotated[float, Query(ge=0, le=600, description="seconds to wait for its end")]


def _statuses(text: str) -> str:
    for status in filter(None, text.split(",")):
        if status not in STATUSES:
            raise ValueError(f"{status[:63]!r} is none of {', '.join(STATUSES)}")
    return text


_ONE = f"({'|'.join(STATUSES)})"
Statuses = Annotated[
    str,
    AfterValidator(_statuses),  # and no pattern to be judged by: it would answer with the pattern
    Query(
        max_length=200,
        description="some, separated by commas",
        json_schema_extra={"pattern": f"^({_ONE}(,{_ONE})*)?$"},
    ),
]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.kinds = Kinds(app.state.runtime)
    yield


def checked_queue(request: Request, queue: str) -> str:
    """Raises Invalid for one that is not served here: nobody would ever look at it."""
    if queue not in config(request).queues:
        raise Invalid("queue", f"{queue!r} is none of {', '.join(config(request).queues)}")
    return queue


async def _spec(request: Request, task: NewTask, path: str = "") -> TaskSpec:
    checked_queue(request, task.queue)
    kinds: Kinds = request.app.state.kinds
    wanted = await kinds.needs(task.type, task.needs, task.anyway, f"{path}type")
    return TaskSpec(
        task.type, task.args, task.id, task.priority, tuple(wanted), task.delay, task.expires, task.timeout,
        task.retries, task.backoff, task.meta,
    )  # fmt: skip


@router.post("/api/submit-task", status_code=202, response_model=shapes.Accepted, dependencies=[needs("submit")])
@router.post(
    "/submit-task", status_code=202, response_model=shapes.Accepted, dependencies=[needs("submit")],
    include_in_schema=False,
)  # fmt: skip
@router.post(
    "/api/tasks", status_code=202, response_model=shapes.Accepted, dependencies=[needs("submit")],
    responses={200: {"model": shapes.Result, "description": "with ?wait=: it ended in time"}},
)  # fmt: skip
async def submit(request: Request, task: NewTask, wait: Wait = 0.0) -> Any:
    """Accept a task: it is kept from the answer on, whatever is restarted. The same id again changes nothing.

    With ?wait= the answer is its result, if it ends in time.
    """
    spec = await _spec(request, task)
    rt = runtime(request)
    more = {name: getattr(spec, name) for name in _FIELDS}
    if wait:
        seconds = min(wait, config(request).limits.wait)
        more["id"] = task_id = spec.id or new_id()  # made here, to be told where the wait is over first
        try:
            ending = rt.tasks.submit_and_wait(spec.kind, spec.args, wait=seconds, queue=task.queue, **more)
            return _ended(task_id, await unless_stopping(request, ending))
        except TaskFailed as e:
            return _failed(e)
        except Late:
            return done({"id": task_id, "status": "queued", "queue": task.queue, "new": True}, 202)
    made = await rt.tasks.submit(spec.kind, spec.args, queue=task.queue, **more)
    return done({"id": made.id, "status": "queued", "queue": task.queue, "new": made.new}, 202)


_FIELDS = ("id", "priority", "needs", "delay", "expires", "timeout", "retries", "backoff", "meta")


@router.post("/api/tasks/batch", status_code=202, response_model=shapes.AllAccepted, dependencies=[needs("submit")])
async def submit_many(request: Request, batch: shapes.NewTasks) -> Any:
    """Accept up to 1,000 tasks. When a queue is full, what was accepted before stays: send the same ids again."""
    specs = [await _spec(request, one, f"tasks[{i}].") for i, one in enumerate(batch.tasks)]
    found: list[Any] = [None] * len(specs)
    for queue in dict.fromkeys(one.queue for one in batch.tasks):
        which = [i for i, one in enumerate(batch.tasks) if one.queue == queue]
        for i, made in zip(which, await runtime(request).tasks.submit_many([specs[i] for i in which], queue)):
            found[i] = {"id": made.id, "status": "queued", "queue": queue, "new": made.new}
    return done({"tasks": found}, 202)


@router.get("/api/tasks", response_model=shapes.ManyTasks, dependencies=[needs("read")])
async def many(
    request: Request,
    status: Statuses = "",
    q: Annotated[str, Query(max_length=200, description="a part of id, type, worker, error or arguments")] = "",
    limit: Limit = 100,
    offset: Offset = 0,
    queue: QueueName = "default",
) -> Any:
    """Tasks, the newest first; of one status alone in that one's own order (ready: as they will be claimed)."""
    rt, wanted = runtime(request), [s for s in status.split(",") if s] or list(STATUSES)
    checked_queue(request, queue)
    if len(wanted) == 1 and not q:
        found = await rt.tasks.list(wanted[0], limit=limit, offset=offset, queue=queue)
        return done({"tasks": [shown(t, queue) for t in found], "total": None})
    window = WINDOW if q else min(10_000, limit + offset)
    replies = good(await rt.run_many([rt.tasks.list.op(s, limit=window, queue=queue) for s in wanted]))
    tasks = [t for reply in replies for t in reply]
    tasks.sort(key=lambda t: (t.ended_ms or t.started_ms or t.submitted_ms, t.id), reverse=True)
    if q:
        tasks = [t for t in tasks if q.lower() in _text(t)]
    whole = all(len(reply) < window for reply in replies)
    total = len(tasks) if whole else None
    return done({"tasks": [shown(t, queue) for t in tasks[offset : offset + limit]], "total": total})


def _text(task: Any) -> str:
    said = json.dumps([task.args, task.meta], ensure_ascii=False)[:100_000]
    return f"{task.id}\n{task.kind}\n{task.worker}\n{task.error or ''}\n{task.workflow}\n{said}".lower()


@router.get("/api/tasks/{id}", response_model=shapes.OneTask, dependencies=[needs("read")])
async def one(request: Request, id: TaskId, queue: QueueName = "default") -> Any:
    """All that is known of a task."""
    return done(shown(await runtime(request).tasks.get(id, queue=checked_queue(request, queue)), queue))


@router.get(
    "/api/tasks/{id}/result", response_model=shapes.Result, dependencies=[needs("read", "submit")],
    responses={202: {"model": shapes.Result, "description": "it has not ended yet"}},
)  # fmt: skip
async def result(request: Request, id: TaskId, wait: Wait = 0.0, queue: QueueName = "default") -> Any:
    """Its result, waited for up to `wait` seconds; pushed, not polled. 202 when it has not ended by then."""
    rt = runtime(request)
    checked_queue(request, queue)
    if wait:
        try:
            seconds = min(wait, config(request).limits.wait)
            return _ended(id, await unless_stopping(request, rt.tasks.result(id, seconds, queue=queue)))
        except TaskFailed as e:
            return _failed(e)
        except Late:
            pass
    task = await rt.tasks.get(id, queue=queue)
    status = 202 if task.status in OPEN else 200
    return done({"id": id, "status": task.status, "result": task.result, "error": task.error}, status)


def _ended(id: str, value: Any) -> Json:
    return done({"id": id, "status": "done", "result": value, "error": None})


def _failed(e: TaskFailed) -> Json:
    return done({"id": e.id, "status": e.status, "result": None, "error": e.error})


@router.post("/api/tasks/{id}/cancel", response_model=shapes.Was, dependencies=[needs("admin")])
async def cancel(request: Request, id: TaskId, said: shapes.Cancel | None = None, queue: QueueName = "default") -> Any:
    """End a task that has not ended, and stop those that wait for it. `was`: open or running."""
    reason = said.reason if said else "cancelled"
    was = await runtime(request).tasks.cancel(id, reason=reason, queue=checked_queue(request, queue))
    return done({"id": id, "was": was})


@router.post("/api/tasks/requeue", response_model=shapes.Ids, dependencies=[needs("admin")])
async def requeue(request: Request, said: shapes.Requeue) -> Any:
    """Try dead tasks again: those of `ids`, all or none, or the oldest `dead`."""
    rt = runtime(request)
    checked_queue(request, said.queue)
    if (said.ids is None) == (said.dead is None):
        raise Invalid("ids", "give either ids or dead")
    if said.ids is not None:
        return done({"ids": await rt.tasks.requeue(*said.ids, queue=said.queue)})
    return done({"ids": await rt.tasks.requeue_dead(said.dead or 0, queue=said.queue)})


@router.post("/api/tasks/purge", response_model=shapes.Many, dependencies=[needs("admin")])
async def purge(request: Request, said: shapes.Purge) -> Any:
    """Forget the oldest dead tasks, or outcomes of ended ones, for good."""
    checked_queue(request, said.queue)
    return done({"count": await runtime(request).tasks.purge(said.what, limit=said.limit, queue=said.queue)})
