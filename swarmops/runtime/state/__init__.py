"""State by compare-and-set, snapshots, checkpoints, recovery."""

from swarmops.runtime.state.room import States

__all__ = ["States"]
