"""Task queues and workflows."""

from swarmops.runtime.tasks.records import Claim, Claimed, Outcome, Submitted, Task, TaskFailed, TaskSpec
from swarmops.runtime.tasks.room import Tasks, queue_keys

__all__ = [
    "Claim",
    "Claimed",
    "Outcome",
    "Submitted",
    "Task",
    "TaskFailed",
    "TaskSpec",
    "Tasks",
    "queue_keys",
]
