"""Every key, in one place. What one script touches shares one hash tag, so that all of it runs on Redis Cluster.

`swarm` is the namespace: a deployment that shares its Redis takes another. All keys begin with it, which is what the
ACL of the user `app` allows.

    swarm:{q:<queue>}:...    a task queue with its workflows: more queues, more shards
    swarm:{reg}:...          the registry: agents, swarms, leadership, resources, state, messages
    swarm:{ctx:<id>}:...     one context
    swarm:{shard:<id>}:...   one memory shard: findings, synthesis requests
    swarm:{brk:<target>}:... one circuit breaker
"""

from __future__ import annotations

from dataclasses import dataclass

from swarmops.runtime.ids import name


@dataclass(frozen=True, slots=True)
class Keys:
    """Makes key names. Raises Invalid for a namespace or a part that is not a name."""

    namespace: str = "swarm"

    def __post_init__(self) -> None:
        name(self.namespace, "namespace")

    def queue(self, queue: str, *parts: str) -> str:
        """`swarm:{q:<queue>}:<parts>`"""
        return ":".join((self.namespace, f"{{q:{queue}}}", *parts))

    def registry(self, *parts: str) -> str:
        """`swarm:{reg}:<parts>`"""
        return ":".join((self.namespace, "{reg}", *parts))

    def tagged(self, kind: str, which: str, *parts: str) -> str:
        """`swarm:{<kind>:<which>}:<parts>`, for things that may lie on any shard."""
        return ":".join((self.namespace, f"{{{kind}:{which}}}", *parts))
