"""What is known of the machines behind the swarm: published by those who look after them, read by those who watch."""

from swarmops.runtime.fleet.room import Fleet, Published

__all__ = ["Fleet", "Published"]
