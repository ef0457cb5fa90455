"""Handlers that cannot be lost.

A handler runs when a step it watches changed now, or when what those steps want differs from the stamp kept on the
host. The stamp is written only after the handler succeeded, so a restart that was due before a failure, a cut or a
reboot is still due in the next run.
"""

import json
import os

from swarmops.target import generations, wire
from swarmops.target.digests import sha256
from swarmops.target.system import Failed, Missing


def watchers(steps):
    """step id -> the handlers that watch it."""
    found: dict = {}
    for step in steps:
        for watched in step.get("watches", ()):
            found.setdefault(watched, []).append(step)
    return found


def expect(engine, step):
    """`step` is about to change something. Forget that its handlers ever ran for it, so that a run which ends before
    them leaves them due, even where the step only puts right what somebody had changed by hand.

    Returns a function that takes this back, for when nothing was changed after all.
    """
    before = []
    for handler in engine.watched_by.get(step["id"], ()):
        stamp = _read(engine, handler)
        if step["id"] in stamp:
            before.append((handler, stamp))
            _write(engine, handler, {w: d for w, d in stamp.items() if w != step["id"]})
    return lambda: [_write(engine, handler, stamp) for handler, stamp in before]


def due(engine, step):
    """Why the handler must run: {"after": id} or {"why": sentence}; None when it need not."""
    status = {w: engine.results.get(w) for w in step["watches"]}
    moved = [w for w in step["watches"] if status[w] in (wire.CHANGED, wire.WOULD)]
    if moved:
        return {"after": moved[0]}
    played = {w: engine.wants[w] for w in step["watches"] if w in engine.wants and status[w] == wire.OK}
    stamp = _read(engine, step)
    if any(stamp.get(w) != d for w, d in played.items()):
        return {"why": "not run since %s changed" % next(w for w, d in played.items() if stamp.get(w) != d)}
    return None


def run(engine, step, kind, due):
    """Run a due handler; on failure put the files back that it answers for, and start the service with them."""
    if engine.system.check:
        return dict(due, s=wire.WOULD)
    if step.get("guard"):
        engine.window.cover(step, kind)
    try:
        _once(engine, step)
    except Exception as e:
        said = str(e) if isinstance(e, (Failed, Missing, OSError)) else "%s: %s" % (type(e).__name__, e)
        return _go_back(engine, step, said)
    well = (wire.OK, wire.CHANGED)
    loaded = {w: engine.wants[w] for w in step["watches"] if engine.results.get(w) in well and w in engine.wants}
    _write(engine, step, dict(_read(engine, step), **loaded))
    generations.settle(engine.system, paths(engine, _answered_last_by(engine, step)), engine.envelope.get("run", ""))
    return dict(due, s=wire.CHANGED)


def _once(engine, step):
    args, system, kind = step["args"], engine.system, engine.kinds[step["kind"]]
    want = kind.want(args)
    state = kind.read(args, want, system)
    if any(want[k] != state.get(k) for k in want):
        kind.fix(args, want, state, system)
        if getattr(kind, "VERIFY", True):
            kind.read(args, want, system)  # what was done counts once, and this was it: next time it is done again


def _go_back(engine, step, why):
    """The last generation known to work comes back, and with it the service."""
    log = list(engine.system.commands)
    try:
        back, trouble = put_back(engine, paths(engine, step["watches"]), step)
    except OSError as e:
        return {"s": wire.FAILED, "why": "%s; the previous files could not be put back: %s" % (why, e)}
    if not back:
        return {"s": wire.FAILED, "why": why}
    engine.system.commands = log
    return {"s": wire.FAILED, "why": "%s; %s" % (why, told(back, trouble))}


def put_back(engine, files, last):
    """Put back those of `files` that are in doubt, and run all their handlers again up to `last`.

    Returns the paths put back, and why the service does not run with them ("": it does). Raises OSError.
    """
    back = generations.restore(engine.system, files)
    try:
        for other in engine.steps if back else ():
            if set(paths(engine, other.get("watches", ()))) & set(back) and not engine.skip(other):
                _once(engine, other)
            if other is last:
                break
    except Exception as e:
        return back, str(e) or type(e).__name__
    return back, ""


def told(back, trouble):
    """What became of it, as the end of a sentence."""
    names = ", ".join(back)
    if trouble:
        return "the previous %s is back, and does not run either: %s" % (names, trouble)
    return "the previous %s is back and running" % names


def _answered_last_by(engine, step):
    """The watched steps for which no later handler has yet to succeed."""
    later = [s for s in engine.steps[engine.steps.index(step) + 1 :] if s.get("handler")]
    open_ = {w for other in later for w in other["watches"] if not engine.skip(other)}
    return [w for w in step["watches"] if w not in open_]


def paths(engine, ids):
    """The files that these steps land."""
    steps = [engine.by_id[i] for i in ids if i in engine.by_id]
    return [p for p in (_lands(engine.kinds[s["kind"]], s["args"]) for s in steps) if p]


def _lands(kind, args):
    return kind.lands(args) if hasattr(kind, "lands") else args.get("dest") or args.get("path")


def _path(engine, step):
    name = sha256(step["id"].encode()).hexdigest()[:32]
    return os.path.join(engine.system.state, "stamps", name + ".json")


def _read(engine, step):
    try:
        with open(_path(engine, step)) as f:
            return json.load(f)["wants"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write(engine, step, wants):
    path = _path(engine, step)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    note = json.dumps({"handler": step["id"], "wants": wants}).encode()
    generations.land(path, lambda f: f.write(note))
