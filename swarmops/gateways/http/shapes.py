"""Bodies and answers about tasks, as the API shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, Field

from swarmops.gateways.http.router import Body
from swarmops.runtime.tasks import Task

NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
YEAR = 31_536_000.0
Name = Annotated[str, Field(pattern=NAME)]
Names = Annotated[list[Name], Field(max_length=64)]
Status = Literal[
    "waiting", "delayed", "ready", "running", "done", "dead", "cancelled", "expired", "stopped", "spoilt"
]  # fmt: skip
QueueName = Annotated[str, Query(pattern=NAME, description="which queue")]
Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]


class NewTask(Body):
    """A task. delay, expires, timeout, backoff: seconds; see docs/runtime/tasks.md."""

    type: Name
    args: Any = None
    needs: Names = Field([])
    priority: int = Field(5, ge=0, le=9)
    id: Name | None = None
    delay: float = Field(0.0, ge=0, le=YEAR)
    expires: float | None = Field(None, ge=0.001, le=YEAR)
    timeout: float | None = Field(None, ge=0.001, le=YEAR)
    retries: int = Field(3, ge=0, le=1000)
    backoff: float = Field(1.0, ge=0, le=YEAR)
    queue: Name = "default"
    meta: dict[str, Any] | None = None
    anyway: bool = Field(False, description="accept it although no agent does this type yet")


class NewTasks(Body):
    tasks: list[NewTask] = Field(min_length=1, max_length=1000)


class Accepted(BaseModel):
    """new: false when a task of this id was there already, which is left as it is."""

    id: str
    status: str
    queue: str
    new: bool


class AllAccepted(BaseModel):
    tasks: list[Accepted]


class Result(BaseModel):
    """result where status is done; error where it ended otherwise."""

    id: str
    status: str
    result: Any = None
    error: str | None = None


class OneTask(BaseModel):
    id: str
    queue: str
    type: str
    status: str
    args: Any = None
    meta: dict[str, Any]
    priority: int
    needs: list[str]
    attempt: int
    failures: int
    deaths: int
    worker: str
    workflow: str
    result: Any = None
    error: str | None
    progress: dict[str, Any] | None
    submitted_ms: int
    started_ms: int
    ended_ms: int
    due_ms: int


class ManyTasks(BaseModel):
    """total: all that there are, where that is known."""

    tasks: list[OneTask]
    total: int | None


class Cancel(Body):
    reason: str = Field("cancelled", max_length=1000)


class Requeue(Body):
    """ids: these, all or none; dead: so many of the oldest dead."""

    ids: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = None
    dead: int | None = Field(None, ge=1, le=10_000)
    queue: Name = "default"


class Purge(Body):
    what: Literal["dead", "ended"] = "dead"
    limit: int = Field(1000, ge=1, le=10_000)
    queue: Name = "default"


class Was(BaseModel):
    id: str
    was: str


class Ids(BaseModel):
    ids: list[str]


class Many(BaseModel):
    count: int


def shown(task: Task, queue: str) -> dict[str, Any]:
    """A task as the API shows it."""
    said = task.as_dict()
    return {"id": said.pop("id"), "queue": queue, "type": said.pop("kind"), **said}
