"""The window in which a role may lock us out: which steps it covers, and when it closes (the timer is rollback.py)."""

from swarmops.target import handlers, wire

CONFIRM = 30  # seconds in which a new connection must prove that we are not locked out


class Window:
    """At most one is open: from a role's first step that cannot be taken back by us until the next role begins."""

    def __init__(self, engine):
        self.engine = engine
        self.timer = self.role = None  # the armed Rollback, and whose steps it is for
        self.covered = []  # the ids of steps in it

    def before(self, step):
        """`step` is next: the window of its own role is kept open, that of an earlier one closes."""
        if self.timer:
            if step["role"] == self.role:
                self.timer.keep_open()
            else:
                self.close()

    def cover(self, step, kind):
        """Have the timer armed, and able to take back what `step` and, for a handler, what it watches may change."""
        from swarmops.target.rollback import Rollback

        engine = self.engine
        seconds = engine.envelope.get("confirm", CONFIRM)
        timer = self.timer or Rollback(engine.system, engine.envelope["run"], seconds)
        answering = [s for s in engine.steps if s is step or step["id"] in s.get("watches", ())]
        units = [s["args"].get("name") for s in answering if s["kind"] == "systemd" and s.get("handler")]
        names = [n for u in units for n in (u if isinstance(u, list) else [u]) if n]
        paths = _paths(step, kind, engine.system) + handlers.paths(engine, step.get("watches", ()))
        try:
            timer.cover(paths, nft=step["kind"] == "nftables", reload=names)
        except BaseException:
            if not self.timer:
                timer.forget()
            raise
        self.timer, self.role = timer, step["role"]
        self.covered.append(step["id"])

    def close(self):
        """Confirm by a new connection, or report every covered step as rolled back. Nothing where none is open."""
        if not self.timer:
            return
        timer, covered, engine = self.timer, self.covered, self.engine
        self.timer, self.covered = None, []
        why = timer.confirm()
        if not why:
            return
        for i, step in enumerate(engine.steps):
            if step["id"] in covered:
                engine.dead.setdefault(step["role"], step["id"])
                engine.results[step["id"]] = wire.FAILED
                engine.system.emit({"e": "step", "i": i, "s": wire.FAILED, "why": why, "ms": 0})
        for name in [n for n in list(engine.system._memo) if n.startswith("sha:")]:
            engine.system.forget(name)


def _paths(step, kind, system):
    args = step["args"]
    if hasattr(kind, "touches"):
        return [p for p in kind.touches(args, system) if p]
    return [p for p in (args.get("dest") or args.get("path"),) if p]
