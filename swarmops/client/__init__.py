"""For programs elsewhere: submit tasks, hear what happens, be an agent. Standard library; `Agent` needs websockets.

from swarmops.client import Client

client = Client("https://coordinator-1:8002", token)
print(client.result(client.submit("embed", {"text": "hello"})))
"""

from __future__ import annotations

from swarmops.client.agent import Agent, Fatal, Job, Retry
from swarmops.client.errors import ApiError, Away, Denied, Late, TaskFailed, Untrusted
from swarmops.client.http import Client

__all__ = ["Agent", "ApiError", "Away", "Client", "Denied", "Fatal", "Job", "Late", "Retry", "TaskFailed", "Untrusted"]
