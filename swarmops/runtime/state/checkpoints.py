"""Checkpoints: cheap marks of progress between snapshots, the last twenty of each state (S3-43)."""

from __future__ import annotations

from typing import Any

from swarmops.runtime.ids import name as checked
from swarmops.runtime.ids import new_id, number
from swarmops.runtime.op import Mode, Op, Room, operation
from swarmops.runtime.state.record import Mark, label_of, seal, term_of
from swarmops.runtime.state.snapshots import Kept, list_op, read_op, take_op

CHECKPOINTS = 20  # of one state
_NONE: Any = object()


class Checkpoints(Room[Mode]):
    """checkpoint, checkpoints, read_checkpoint."""

    @operation
    def checkpoint(
        self,
        name: str,
        value: Any = _NONE,
        label: str = "",
        *,
        by: str = "",
        id: str | None = None,
        limit: int = CHECKPOINTS,
        term: int | None = None,
    ) -> Op[Mark]:
        """Keep `value`, or the state as it is now. A recovery takes it for the state if the state is broken.

        limit: how many are kept, at most 20; the oldest go.
        """
        most = int(number(limit, "limit", 1, CHECKPOINTS))
        args = (checked(id or new_id(), "id"), label_of(label, "label"), label_of(by, "by"), most, term_of(term))
        data, checksum = (b"", "") if value is _NONE else seal(value)
        return take_op(self, "checkpoint", name, args, data, checksum)

    @operation
    def checkpoints(self, name: str) -> Op[list[Mark]]:
        """What checkpoints there are, the newest first."""
        return list_op(self, "checkpoint", name)

    @operation
    def read_checkpoint(self, name: str, which: str = "") -> Op[Kept]:
        """The checkpoint of that id, else the newest of that label, '' for the newest. Raises NotFound, Corrupt."""
        return read_op(self, "checkpoint", name, which)
