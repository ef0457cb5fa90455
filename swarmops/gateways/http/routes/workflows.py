"""Workflows: tasks that wait for each other."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Request
from pydantic import BaseModel, Field

from swarmops.gateways.http.router import Body, config, done, needs, runtime, subject
from swarmops.gateways.http.routes.tasks import Wait, checked_queue, unless_stopping
from swarmops.gateways.http.shapes import NAME, YEAR, Limit, Many, Name, Names, Offset, QueueName
from swarmops.runtime.errors import Late
from swarmops.runtime.tasks.workflows import Step

router = subject("workflows")
WorkflowId = Annotated[str, Path(pattern=NAME)]


class NewStep(Body):
    """One task. after: names of the steps that must be done before."""

    name: Name
    type: Name
    args: Any = None
    after: list[Name] = Field([], max_length=1000)
    needs: Names = Field([])
    priority: int = Field(5, ge=0, le=9)
    expires: float | None = Field(None, ge=0.001, le=YEAR)
    timeout: float | None = Field(None, ge=0.001, le=YEAR)
    retries: int = Field(3, ge=0, le=1000)
    backoff: float = Field(1.0, ge=0, le=YEAR)


class NewWorkflow(Body):
    name: Name
    steps: list[NewStep] = Field(min_length=1, max_length=1000)
    id: Name | None = None
    queue: Name = "default"
    anyway: bool = Field(False, description="accept it although no agent does one of its types yet")


class StepState(BaseModel):
    name: str
    task: str
    type: str
    status: str
    after: list[str]
    result: Any = None
    error: str | None
    attempt: int
    failures: int
    worker: str
    progress: Any = None
    started_ms: int
    ended_ms: int


class OneWorkflow(BaseModel):
    """status: running, done, failed or cancelled; open: steps that have not ended."""

    id: str
    name: str
    queue: str
    status: str
    open: int
    submitted_ms: int
    steps: list[StepState]


class Summary(BaseModel):
    id: str
    name: str
    queue: str
    steps: int
    open: int
    submitted_ms: int


class ManyWorkflows(BaseModel):
    workflows: list[Summary]


class AcceptedWorkflow(BaseModel):
    id: str
    status: str
    queue: str
    new: bool


@router.post("/api/workflows", status_code=202, response_model=AcceptedWorkflow, dependencies=[needs("submit")])
async def submit(request: Request, said: NewWorkflow) -> Any:
    """Accept all steps, or none. The same id again changes nothing."""
    checked_queue(request, said.queue)
    steps = []
    for i, one in enumerate(said.steps):
        wanted = await request.app.state.kinds.needs(one.type, one.needs, said.anyway, f"steps[{i}].type")
        steps.append(
            Step(
                one.name, one.type, one.args, one.after, wanted, one.priority, one.expires, one.timeout, one.retries,
                one.backoff,
            )
        )  # fmt: skip
    made = await runtime(request).workflows.submit(said.name, steps, said.id, said.queue)
    return done({"id": made.id, "status": "running", "queue": said.queue, "new": made.new}, 202)


@router.get("/api/workflows", response_model=ManyWorkflows, dependencies=[needs("read")])
async def many(request: Request, limit: Limit = 100, offset: Offset = 0, queue: QueueName = "default") -> Any:
    """The newest first."""
    found = await runtime(request).workflows.list(checked_queue(request, queue), limit, offset)
    return done({"workflows": [{**w.as_dict(), "queue": queue} for w in found]})


@router.get("/api/workflows/{id}", response_model=OneWorkflow, dependencies=[needs("read", "submit")])
async def one(request: Request, id: WorkflowId, wait: Wait = 0.0, queue: QueueName = "default") -> Any:
    """All that is known of it, its results included; with `wait`, when it has ended or the time is over."""
    rt = runtime(request)
    checked_queue(request, queue)
    found = None
    if wait:
        try:
            seconds = min(wait, config(request).limits.wait)
            found = await unless_stopping(request, rt.workflows.wait(id, seconds, queue))
        except Late:
            pass
    said = (found or await rt.workflows.show(id, queue)).as_dict()
    for step in said["steps"]:
        step["type"] = step.pop("kind")
    return done(said)


@router.post("/api/workflows/{id}/cancel", response_model=Many, dependencies=[needs("admin")])
async def cancel(request: Request, id: WorkflowId, queue: QueueName = "default") -> Any:
    """End all its open steps: how many those were."""
    return done({"count": await runtime(request).workflows.cancel(id, checked_queue(request, queue))})
