"""A release that was well when it came and turned ill later: what is known of the switch, and the way back.

It is the way back of a handler that fails (see `handlers`), only later: the release before comes back together with
the files that came to be known to work in the same run, and the service is restarted with them. After that the host
knows of no release before, so nothing can be put to and fro.
"""

import os
import time

from swarmops.target import generations, handlers, wire
from swarmops.target.kinds import _releases as releases


def tell(envelope, system):
    """Mode `releases`: one event for each of the links."""
    for link in envelope["links"]:
        system.emit(dict(standing(system, link), e="release", link=link))
    return True


def standing(system, link):
    """now: the release in use. Where the service was seen to run with it, and the one before is still whole, also
    before: its name, and age: seconds since then. Both readings are of this host's clock, so its error is in neither.
    """
    now, since = releases.current(link), generations.settled(system, link)
    found = {"now": now or ""}
    before = os.path.basename(since.get("link") or "")
    if now and before and before != now and releases.whole(os.path.dirname(link), before):
        found.update(before=before, age=round(time.time() - since["at"], 3))
    return found


def go_back(engine, wanted):
    """Take back what the step `wanted["step"]` has brought, if that is still `now` in place of `before`.

    Reports it as that step: changed, failed (put back, and the service does not run with it either), or skipped.
    """
    step, system = engine.by_id[wanted["step"]], engine.system
    link = handlers.paths(engine, [step["id"]])[0]
    there = standing(system, link)
    if (there["now"], there.get("before")) != (wanted["now"], wanted["before"]):
        return _say(engine, step, wire.SKIPPED, "by now it is %s in place of %s" % (there["now"], there.get("before")))
    try:
        mine = [h for h in engine.watched_by.get(step["id"], ()) if not engine.skip(h)]
    except Exception as e:  # a condition on what a step registers, and no step is played here
        return _say(engine, step, wire.SKIPPED, "its handlers hang on steps that are not played: %s" % e)
    if not mine:
        return _say(engine, step, wire.SKIPPED, "no handler restarts it")
    try:
        back, trouble = handlers.put_back(engine, _doubted(engine, link, mine), mine[-1])
    except OSError as e:
        return _say(engine, step, wire.FAILED, "the previous files could not be put back: %s" % e)
    return _say(engine, step, wire.FAILED if trouble else wire.CHANGED, handlers.told(back, trouble))


def _doubted(engine, link, mine):
    """The link and what came with it, from now on in doubt; that their handlers ever ran for them is forgotten."""
    run = generations.settled(engine.system, link)["run"]
    watched = dict.fromkeys(w for h in mine for w in h["watches"])
    files = generations.doubt(engine.system, dict.fromkeys(handlers.paths(engine, watched)), run)
    for id in watched:
        if id in engine.by_id and set(handlers.paths(engine, [id])) & set(files):
            handlers.expect(engine, engine.by_id[id])
    return files


def _say(engine, step, status, why):
    cmds = engine.system.commands[-5:] if status == wire.FAILED else []
    report = {"e": "step", "i": engine.steps.index(step), "s": status, "why": why, "ms": 0}
    engine.system.emit(dict(report, cmds=cmds))
    return status == wire.CHANGED
