"""One task at an agent: what its handler is given, and what becomes of it. Never raises what a handler raises."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

ERROR = 4000  # characters of an error


class Fatal(Exception):
    """Another try would be in vain."""


class Retry(Exception):
    """Try again, `after` seconds from now."""

    def __init__(self, after: float, reason: str = "it asked to be tried again"):
        self.after, self.reason = after, reason
        super().__init__(reason)


class Job:
    """Given to a handler that has a parameter annotated with it. parents: results of the tasks before it, by id."""

    def __init__(self, told: Mapping[str, Any], say: Callable[[Job, float, str], Any]):
        self.id: str = told["task_id"]
        self.attempt: int = told["attempt"]
        self.kind: str = told.get("kind") or told.get("type", "")
        self.args: Any = told.get("args")
        self.meta: Mapping[str, Any] = told.get("meta") or {}
        self.parents: Mapping[str, Any] = told.get("parents") or {}
        self._say, self._cancelled = say, threading.Event()

    @property
    def cancelled(self) -> bool:
        """Its result is not wanted any more."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        self._cancelled.set()

    def wait(self, seconds: float) -> bool:
        """Sleep; True at once when it is cancelled."""
        return self._cancelled.wait(seconds)

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far it is, from 0 to 1."""
        self._say(self, fraction, text)


def work(handlers: Mapping[str, Callable[..., Any]], job: Job) -> dict[str, Any]:
    """The outcome of `job`, as it is reported."""
    handler = handlers.get(job.kind)
    if handler is None:
        return {"status": "failed", "error": f"this agent does {', '.join(sorted(handlers))}, not {job.kind}"}
    try:
        positional, named = _arguments(handler, job)
        value = handler(*positional, **named)
        json.dumps(value, allow_nan=False)
        return {"status": "completed", "result": value}
    except Retry as e:
        return {"status": "failed", "error": e.reason, "retry_after": e.after}
    except Fatal as e:
        return {"status": "failed", "error": str(e) or "Fatal", "retry": False}
    except BaseException as e:
        return {"status": "failed", "error": f"{type(e).__name__}: {e}"[:ERROR]}


def _arguments(handler: Callable[..., Any], job: Job) -> tuple[list[Any], dict[str, Any]]:
    """Keywords of an object, one argument of anything else, none of null; the job where it is asked for."""
    wants = ""
    try:
        for name, parameter in inspect.signature(handler).parameters.items():
            if parameter.annotation in (Job, "Job"):
                wants = name
    except (TypeError, ValueError):
        pass
    named = {wants: job} if wants else {}
    if isinstance(job.args, dict):
        return [], {**job.args, **named}
    return [] if job.args is None else [job.args], named
