"""The engine: for each step read what is, compare with what is wanted, fix, and read again.

"ok" is never assumed. A failure skips the rest of its role and of the roles that need it; other roles go on. In check
mode nothing is fixed, and a step that cannot be read because an earlier one was not applied says so.
"""

import json

from swarmops.target import handlers, wire
from swarmops.target.digests import sha256
from swarmops.target.system import Failed, Missing, stopwatch
from swarmops.target.when import holds, names_in
from swarmops.target.window import Window


class Engine:
    """Plays one envelope's steps on this host."""

    def __init__(self, envelope, system, kinds):
        self.envelope, self.system, self.kinds = envelope, system, kinds
        self.steps = envelope["steps"]
        self.by_id = {s["id"]: s for s in self.steps}
        self.results = {}  # step id -> status
        self.wants = {}  # step id -> digest of what it wanted
        self.names: dict = {"facts": _Lazy(system)}
        self.dead = {}  # role -> id of the step that failed it
        self.coming = {}  # resource -> id of the step that would make it
        self.window = Window(self)  # for what cannot be taken back by us once we are locked out
        self.watched_by = handlers.watchers(self.steps)

    def play(self):
        """Play all steps. Returns True when none failed."""
        self._ask_for_contents()
        started = set()
        for i, step in enumerate(self.steps):
            if self.system.link and self.system.link.gone:
                return False
            self.window.before(step)
            kind = self.kinds[step["kind"]]
            prefetch = None if step["kind"] in started else getattr(kind, "prefetch", None)
            started.add(step["kind"])
            self._one(i, step, kind, prefetch)
        self.window.close()
        return not self.dead

    def settled(self):
        """Of a play in check mode: that playing it in earnest would change nothing. What is not known is no."""
        unsure = any(self.names[n].get("would") for n in self.names if n != "facts")
        return not self.dead and wire.WOULD not in self.results.values() and not unsure

    def _ask_for_contents(self):
        """Ask at once for all contents that this host lacks, so that they come while the first steps run."""
        lacking = []
        for step in self.steps:
            sha, kind = step.get("content"), self.kinds[step["kind"]]
            if hasattr(kind, "fetches") and not step.get("skip") and not self.system.check:
                self._ask_for_files(step, kind)
            if sha and not step.get("skip"):
                lacks = getattr(kind, "lacks", None)
                dest = step["args"].get("dest") or step["args"].get("path")
                try:
                    if lacks(step["args"], self.system) if lacks else self.system.sha256(dest) != sha:
                        lacking.append(sha)
                except Exception:  # whatever it is, the step itself will say it
                    continue
        asked = self.system.memo("asked", set)
        new = sorted(sha for sha in set(lacking) - asked if not self.system.has_content(sha))
        if new:
            asked.update(new)
            self.system.emit({"e": "need", "contents": new})

    def _ask_for_files(self, step, kind):
        try:
            self.system.incoming.ask(kind.fetches(step["args"], self.system))
        except Exception:  # whatever it is, the step itself will say it
            return

    def _one(self, i, step, kind, prefetch=None):
        self.system.commands = []
        took = stopwatch()
        try:
            if prefetch:
                prefetch([s["args"] for s in self.steps if s["kind"] == step["kind"]], self.system)
            report = self._decide(step, kind)
            if step.get("register"):
                self._out(step, kind, report)
        except Missing as e:
            report = self._missing(step, e)
        except (Failed, OSError, ValueError) as e:
            report = {"s": wire.FAILED, "why": str(e)}
        except Exception as e:  # a fault of a kind is that step's, never the run's
            report = {"s": wire.FAILED, "why": _blame(step, e)}
        status = report["s"]
        self.results[step["id"]] = status
        if status == wire.FAILED:
            self.dead.setdefault(step["role"], step["id"])
            report["cmds"] = self.system.commands[-5:]
        if step.get("register"):
            self._register(step, report)
        out = dict(report, e="step", i=i, ms=took())
        out.pop("facts", None)
        out.pop("unknown", None)
        self.system.emit(out, now=status not in (wire.OK, wire.SKIPPED))

    def _decide(self, step, kind):
        reason = self.skip(step)
        if reason:
            return {"s": wire.SKIPPED, "why": reason, "unknown": "is decided by" in reason}
        handler = step.get("handler")
        if handler:
            due = handlers.due(self, step)
            if not due:
                return {"s": wire.OK}
            return handlers.run(self, step, kind, due)
        return self.converge(step, kind)

    def skip(self, step):
        """Why this step is not played, or None."""
        if step.get("skip"):
            return "tags"
        for role in [step["role"], *self.envelope.get("needs", {}).get(step["role"], [])]:
            if role in self.dead:
                return "after %s failed" % self.dead[role]
        for expression in step.get("when", ()):
            if self.system.check and self._hangs_on_unapplied(expression):
                return "its condition `%s` is decided by a step that was not applied" % expression
            if not holds(expression, dict(step.get("consts", {}), **self.names)):
                return "when " + expression
        return None

    def _hangs_on_unapplied(self, expression):
        words = names_in(expression)
        return any(n in words and self.names[n].get("would") for n in self.names if n != "facts")

    def converge(self, step, kind):
        """want -> read -> compare -> fix -> read again. Returns the step's report."""
        args, system = step["args"], self.system
        want = kind.want(args)
        self.wants[step["id"]] = digest([want, step.get("content")])
        state = kind.read(args, want, system)
        wrong = _differing(want, state)
        if not wrong:
            return {"s": wire.OK}
        report = {"was": _shown(state, wrong, step), "want": _shown(want, wrong, step)}
        if hasattr(kind, "diff") and self.envelope.get("diff") and not step.get("secret"):
            report["diff"] = kind.diff(args, want, state, system)
        self._touch(step, kind)
        if system.check:
            self._promise(step, kind)
            return dict(report, s=wire.WOULD)
        if step.get("guard"):
            self.window.cover(step, kind)
        system.keep_for = self.watched_by.get(step["id"])
        nothing_done = handlers.expect(self, step)
        try:
            facts = kind.fix(args, want, state, system)
        except Exception:
            if getattr(kind, "VERIFY", True) and kind.read(args, want, system) == state:
                nothing_done()
            raise
        if getattr(kind, "VERIFY", True):
            now = kind.read(args, want, system)
            left = _differing(want, now)
            if left:
                return dict(report, s=wire.FAILED, why=_still_wrong(left, want, now, step))
        return dict(report, s=wire.CHANGED, facts=facts)

    def _touch(self, step, kind):
        """Tell later steps which files this one changes; what systemd was asked before may no longer be so."""
        made = kind.makes(step["args"]) if hasattr(kind, "makes") else ()
        self.system.touched.update(r[5:] for r in made if r.startswith("file:"))
        self.system.forget("systemd")

    # -- check mode

    def _promise(self, step, kind):
        """Remember what this step would have brought into being."""
        for resource in kind.makes(step["args"]) if hasattr(kind, "makes") else ():
            self.coming.setdefault(resource, step["id"])

    def _missing(self, step, e):
        """A step hangs on something that is not there: fine in check mode when an earlier step would make it."""
        if self.system.check:
            maker = self.coming.get(e.resource)
            if not maker:
                maker = next((s for r, s in self.coming.items() if r.startswith("package:")), None)
            if maker:
                self._promise(step, self.kinds[step["kind"]])
                return {"s": wire.WOULD, "after": maker}
        return {"s": wire.FAILED, "why": str(e)}

    # -- results that later conditions see

    def _out(self, step, kind, report):
        seen = dict(report.get("facts") or {})
        if hasattr(kind, "out") and report["s"] in (wire.OK, wire.CHANGED):
            seen.update(kind.out(step["args"], self.system))
        if seen:
            report["out"] = seen

    def _register(self, step, report):
        status = report["s"]
        self.names[step["register"]] = dict(
            report.get("out") or {},
            changed=status == wire.CHANGED,
            would=status == wire.WOULD or bool(report.get("unknown")),
            failed=status == wire.FAILED,
            skipped=status == wire.SKIPPED,
            succeeded=status in (wire.OK, wire.CHANGED),
        )


class _Lazy(dict):
    """Facts, gathered when a condition first asks for one."""

    def __init__(self, system):
        self.system = system
        dict.__init__(self)

    def get(self, key, default=None):
        return self.system.facts.get(key, default)


def digest(value):
    """Short stable digest of plain data."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()[:24]


def _blame(step, e):
    """One line for an exception that no kind should raise."""
    at = e.__traceback__
    while at.tb_next:
        at = at.tb_next
    place = "%s:%d" % (at.tb_frame.f_code.co_filename.rpartition("/target/")[2], at.tb_lineno)
    said = " ".join(str(e).split())[:300]
    return "a fault in the kind '%s': %s: %s (%s)" % (step["kind"], type(e).__name__, said, place)


def _differing(want, state):
    return [k for k in want if want[k] != state.get(k)]


def _shown(values, keys, step):
    if step.get("secret"):
        return {k: "(secret)" if k in ("sha256", "content", "line") else values.get(k) for k in keys}
    return {k: values.get(k) for k in keys}


def _still_wrong(keys, want, now, step):
    shown_want, shown_now = _shown(want, keys, step), _shown(now, keys, step)
    parts = ["%s (want %s, is %s)" % (k, _word(shown_want[k]), _word(shown_now[k])) for k in keys]
    return "still wrong after fix: " + ", ".join(parts)


def _word(value):
    if value is None:
        return "absent"
    return str(value).lower() if isinstance(value, bool) else value
