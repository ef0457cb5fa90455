"""What can go wrong for a client.

ApiError          the coordinator said no; `status`, `path` of the field, `retry_after` seconds
├── Denied        no token, a bad one, or one that may not (401, 403)
└── Away          it cannot be reached, or its Redis cannot (503): try again
    └── Untrusted its certificate is not trusted, or it is http where https was said: trying again is in vain
TaskFailed        the task that was waited for ended without a result
Late              it has not ended in time; it goes on
"""

from __future__ import annotations


class ApiError(Exception):
    """The coordinator said no, in a sentence."""

    def __init__(self, status: int, sentence: str, path: str = "", retry_after: float | None = None):
        self.status, self.path, self.retry_after = status, path, retry_after
        super().__init__(f"{path}: {sentence}" if path else sentence)


class Denied(ApiError):
    """The token does not open this door."""


class Away(ApiError):
    """Nobody answers, or not now."""


class Untrusted(Away):
    """Who answers cannot show who they are."""


class TaskFailed(Exception):
    """`status`: dead, cancelled, expired, stopped or spoilt."""

    def __init__(self, id: str, status: str, error: str):
        self.id, self.status, self.error = id, status, error
        super().__init__(f"task {id} is {status}: {error}")


class Late(Exception):
    """The time is over; the task goes on."""
