"""How many tasks to claim at once: about 3 ms of work, so that round trips do not count and nobody waits behind us."""

from __future__ import annotations

from swarmops.runtime.errors import Invalid

WORK = 0.003  # seconds
MOST = 400


class Pace:
    """`want` starts at 1, grows at most fourfold a batch, and is 1 for tasks longer than 3 ms. A number stays."""

    __slots__ = ("_fixed", "want")

    def __init__(self, batch: int | str):
        if batch != "auto" and (isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= 1000):
            raise Invalid("batch", f"{str(batch)[:80]!r} is neither auto nor a number from 1 to 1000")
        self._fixed = batch != "auto"
        self.want = 1 if batch == "auto" else int(batch)

    def learn(self, tasks: int, seconds: float) -> None:
        """`tasks` took `seconds` of work."""
        if self._fixed or tasks == 0:
            return
        fitting = int(WORK * tasks / seconds) if seconds > 0 else MOST
        self.want = max(1, min(fitting, self.want * 4, MOST))
