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
    if envelope["v"] != wire.VERSION:
        link.emit({"e": "done", "ok": False, "why": "this host's engine speaks version %d" % wire.VERSION})
    else:
        try:
            ok = MODES[envelope["mode"]](envelope, system)
            link.emit({"e": "done", "ok": bool(ok)})
            if bundle and envelope["mode"] in ("apply", "backup"):
                _keep(system, bundle, bundle_id)  # nobody waits for this
        except Exception as e:  # the last resort: the controller must learn of it
            import traceback

            link.emit({"e": "done", "ok": False, "why": repr(e), "trace": traceback.format_exc()[-4000:]})
    link.flush()
    sys.stdout.flush()
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
        lock.acquire(lambda h: system.emit({"e": "waiting", "by": h.get("by"), "since": h.get("since")}))
    except Held as e:
        system.emit({"e": "refused", "by": e.holder.get("by"), "since": e.holder.get("since")})
        return False
    system.link.on_beat = lock.beat
    try:
        if envelope.get("ask") and not _approved(envelope, system):
            return True
        identity.claim(envelope, system)
        return _play(envelope, system)
    finally:
        lock.release()


def _approved(envelope, system):
    """Show what would change, then wait for the controller's word, for as long as it lives."""
    system.check = True
    _play(envelope, system)
    system.check = False
    system.emit({"e": "asked"})
    while not system.link.gone:
        word = system.link.word(1)
        if word:
            for key in [k for k in system._memo if not k.startswith(("content:", "asked", "facts"))]:
                system.forget(key)
            return word == "go"
    return False


def _play(envelope, system):
    from swarmops.target.engine import Engine

    names = {s["kind"] for s in envelope["steps"]}
    kinds = {name: importlib.import_module("swarmops.target.kinds." + name) for name in names}
    return Engine(envelope, system, kinds).play()


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


def _health(envelope, system):
    from swarmops.target import health

    return health.run(envelope, system) is not False


def _backup(envelope, system):
    from swarmops.target import backup

    return backup.run(envelope, system) is not False


MODES = {"apply": _apply, "check": _check, "facts": _facts, "health": _health, "backup": _backup}


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
        os.rename(temp, os.path.join(home, bundle_id))
        _compile(os.path.join(home, bundle_id))
        others = [os.path.join(home, n) for n in os.listdir(home) if n != bundle_id]
        for old in sorted(others, key=os.path.getmtime)[:-2]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError as e:  # no room is no reason to fail: the engine is sent again
        shutil.rmtree(temp, ignore_errors=True)
        warn("swarmops: the engine was not kept: %s" % e)


def _compile(home):
    """Compile the modules that this run has used: 25 ms that the next run saves."""
    import py_compile

    for name in [n for n in sys.modules if n.startswith("swarmops.")]:
        path = os.path.join(home, *name.split("."))
        path = os.path.join(path, "__init__.py") if os.path.isdir(path) else path + ".py"
        py_compile.compile(path, quiet=2)
