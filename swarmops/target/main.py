"""Where a host's part of a run begins, called by the bootstrap that delivery sends (see `delivery/ship.py`)."""

import importlib
import json
import os
import signal
import sys
import zlib

from swarmops.target import wire
from swarmops.target.link import Link, warn
from swarmops.target.system import System


def main(packed, stdin, bundle, bundle_id):
    """Play one envelope and exit.

    packed  the compressed envelope; stdin  where further frames come from
    bundle  the engine's zip when this host did not have it, else None; bundle_id  its sha256
    """
    os.umask(0o077)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    envelope = json.loads(zlib.decompress(packed))
    link = Link.stdio(stdin)
    system = System(link, state=envelope.get("state"), check=envelope["mode"] == "check")
    run = envelope.get("run", "")
    if envelope["v"] != wire.VERSION:
        link.emit({"e": "done", "ok": False, "why": "this host's engine speaks version %d" % wire.VERSION})
    elif not (run.isascii() and run.isalnum() and len(run) <= 40):  # it becomes part of names of files and units
        link.emit({"e": "done", "ok": False, "why": "the id of this run is not letters and digits"})
    else:
        try:
            ok = MODES[envelope["mode"]](envelope, system)
            link.emit({"e": "done", "ok": bool(ok)})
        except OSError as e:  # a full or read-only disk under our own state
            link.emit({"e": "done", "ok": False, "why": str(e)})
        except Exception as e:  # the last resort: the controller must learn of it
            import traceback

            link.emit({"e": "done", "ok": False, "why": repr(e), "trace": traceback.format_exc()[-4000:]})
    link.flush()
    sys.stdout.flush()
    if bundle and (system.ours or envelope["mode"] == "backup"):
        _keep(system, bundle, bundle_id)  # nobody waits for this
    os._exit(0)


def _apply(envelope, system):
    from swarmops.target import identity
    from swarmops.target.lock import Held, Lock

    why = identity.stranger(envelope, system)
    if why:
        system.emit({"e": "stranger", "why": why})
        return False

    lock = Lock(system, envelope["by"], envelope["run"])
    try:
        waiting = lambda h: system.emit({"e": "waiting", "by": h.get("by"), "since": h.get("since")})  # noqa: E731
        lock.acquire(waiting, lambda: system.link.gone)
    except Held as e:
        system.emit({"e": "refused", "by": e.holder.get("by"), "since": e.holder.get("since")})
        return False
    system.link.on_beat = lock.beat
    try:
        if envelope.get("ask") and not _awaited(envelope, system):
            return True
        identity.claim(envelope, system)
        system.ours = True
        _undo_leftovers(system)
        return _play(envelope, system)
    finally:
        system.link.on_beat = None
        lock.release()


def _undo_leftovers(system):
    """What an earlier run left unconfirmed is put back first; its timer would do it in the midst of this one."""
    if os.path.isdir(os.path.join(system.state, "rollback")):
        from swarmops.target import rollback

        if rollback.leftovers(system):
            system.emit({"e": "note", "text": "put back what an earlier deploy left unconfirmed"})


def _left_over(system):
    """Whether an earlier run left anything unconfirmed."""
    folder = os.path.join(system.state, "rollback")
    return os.path.isdir(folder) and bool(os.listdir(folder))


def _awaited(envelope, system):
    """Show what would change, then wait for the controller's word, for as long as it lives. Whether to go on: not
    where everything is as it should be, and ours. Nobody is asked then.
    """
    from swarmops.target import identity

    system.check = True
    engine = _engine(envelope, system)
    engine.play()
    system.check = False
    if engine.settled() and identity.is_ours(envelope, system) and not _left_over(system):
        system.ours = True
        return False
    system.emit({"e": "asked"})
    while not system.link.gone:
        word = system.link.word(1)
        if word:
            for key in [k for k in system._memo if not k.startswith(("content:", "asked", "facts"))]:
                system.forget(key)
            return word == "go"
    return False


def _engine(envelope, system):
    from swarmops.target.engine import Engine

    names = {s["kind"] for s in envelope["steps"]}
    kinds = {name: importlib.import_module("swarmops.target.kinds." + name) for name in names}
    return Engine(envelope, system, kinds)


def _play(envelope, system):
    engine = _engine(envelope, system)
    if envelope.get("back"):
        from swarmops.target import regret

        return regret.go_back(engine, envelope["back"])
    return engine.play()


def _check(envelope, system):
    from swarmops.target import identity

    why = identity.stranger(envelope, system)
    if why:
        system.emit({"e": "stranger", "why": why})
        return False
    return _play(envelope, system)


def _facts(envelope, system):
    system.emit({"e": "facts", "facts": system.facts})
    return True


def _releases(envelope, system):
    from swarmops.target import regret

    return regret.tell(envelope, system)


def _health(envelope, system):
    from swarmops.target import health

    return health.run(envelope, system) is not False


def _backup(envelope, system):
    from swarmops.target import backup

    return backup.run(envelope, system) is not False


MODES = {
    "apply": _apply,
    "check": _check,
    "facts": _facts,
    "releases": _releases,
    "health": _health,
    "backup": _backup,
}


def _keep(system, bundle, bundle_id):
    """Unpack the engine beside earlier ones, so that the next run need not send it. Three are kept."""
    import io
    import shutil
    import zipfile

    home = os.path.join(system.state, "engine")
    if os.path.isdir(os.path.join(home, bundle_id)):
        return
    temp = os.path.join(home, ".new-%d" % os.getpid())
    try:
        os.makedirs(home, mode=0o700, exist_ok=True)
        zipfile.ZipFile(io.BytesIO(bundle)).extractall(temp)
        _sync(temp)
        os.rename(temp, os.path.join(home, bundle_id))
        _compile(os.path.join(home, bundle_id))
        others = [os.path.join(home, n) for n in os.listdir(home) if n != bundle_id]
        for old in sorted(others, key=os.path.getmtime)[:-2]:
            shutil.rmtree(old, ignore_errors=True)
    except Exception as e:  # no room is no reason to fail: the engine is sent again
        shutil.rmtree(temp, ignore_errors=True)
        warn("swarmops: the engine was not kept: %s" % e)


def _sync(folder):
    """Onto the disk: a power cut must not leave an engine of empty files under its final name."""
    for where, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(where, name), "rb") as f:
                os.fsync(f.fileno())


def _compile(home):
    """Compile the modules that this run has used: 25 ms that the next run saves."""
    import py_compile

    for name in [n for n in sys.modules if n.startswith("swarmops.")]:
        path = os.path.join(home, *name.split("."))
        path = os.path.join(path, "__init__.py") if os.path.isdir(path) else path + ".py"
        py_compile.compile(path, quiet=2)
