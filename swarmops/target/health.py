"""Mode `health`: looks at everything that was asked for at once, each look with its own deadline.

Whatever hangs (a dead mount, a frozen service, a lost packet) costs its own check and nothing else: every
probe has a daemon thread, only the caller's thread emits, and a thread that comes back after its deadline
finds nobody listening. The controller runs its own checks (`from: controller`) by the same code.
"""

import importlib
import os
import socket
import threading
import time
from queue import Empty, SimpleQueue

WITHIN = 1.0  # seconds, where a check names none
LINE = 400  # characters of a detail that are kept


class Context:
    """What probes see of the run, as their argument `system`. Safe to use from many threads.

    now     the controller's clock (seconds since 1970) when it made the envelope, or None
    local   True on the controller
    """

    def __init__(self, checks=(), now=None, local=False):
        self.now, self.local = now, local
        self._checks, self._lock, self._kept = checks, threading.Lock(), {}

    def asked(self, probe):
        """The args of every check of this run that uses `probe`, so that one look can serve them all."""
        return [c.get("args") or {} for c in self._checks if c.get("probe") == probe]

    def once(self, key, make):
        """What `make()` gives or raises, made by the first who asks and shared by all."""
        with self._lock:
            slot = self._kept.setdefault(key, [threading.Lock(), None, None])
        with slot[0]:
            if slot[1] is None and slot[2] is None:
                try:
                    slot[1] = (make(),)
                except Exception as e:
                    slot[2] = e
        if slot[2] is not None:
            raise slot[2]
        return slot[1][0]

    def run(self, argv, deadline):
        """(exit code, standard output, standard error) of a program, which is killed at the deadline.

        Raises FileNotFoundError when there is no such program and TimeoutError at the deadline.
        """
        import subprocess

        env = dict(os.environ, LC_ALL="C", PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin")
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
        )
        try:
            out, err = child.communicate(timeout=max(0.01, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            raise TimeoutError(argv[0] + " did not end")
        return child.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


def line(text):
    """`text` as one short printable line: what comes from services never reaches a terminal raw (case 61)."""
    words = " ".join(str(text)[: 4 * LINE].split())
    safe = "".join(c if c.isprintable() else "?" for c in words)
    return safe if len(safe) <= LINE else safe[: LINE - 3] + "..."


def run(envelope, system):
    """Run the envelope's checks and emit one `check` event for each as it ends."""
    checks = envelope.get("checks") or []
    for event in results(checks, Context(checks, envelope.get("now")), envelope.get("deadline")):
        system.emit(event)


def results(checks, context, limit=None):
    """Yield one event a check, in the order in which they end; never later than each check's deadline.

    limit   seconds that no check may exceed, whatever it says itself
    """
    ended: SimpleQueue = SimpleQueue()
    still: dict = {}
    for number, check in enumerate(checks):
        within = min(float(check.get("within") or WITHIN), limit or 3600.0)
        deadline = time.monotonic() + within
        still[number] = (deadline, within)
        look = threading.Thread(target=_look, args=(number, check, context, within, ended), daemon=True)
        try:
            look.start()
        except RuntimeError as e:  # no more threads to be had on this host
            ended.put((number, {"ok": None, "detail": "cannot start this check: " + line(e)}))
    while still:
        nearest = min(still, key=lambda n: still[n])
        try:
            number, found = ended.get(timeout=max(0.0, still[nearest][0] - time.monotonic()))
        except Empty:
            number, found = nearest, {"ok": False, "timeout": True, "ms": round(still[nearest][1] * 1000, 1)}
            found["detail"] = "no answer within %g s" % still[nearest][1]
        if still.pop(number, None):
            yield dict(found, e="check", id=checks[number]["id"])


def _look(number, check, context, within, ended):
    """Run one probe in this thread; whatever it raises becomes its finding."""
    began = time.perf_counter()
    try:
        found = _probe(check, context, time.monotonic() + within)
    except (TimeoutError, socket.timeout) as e:  # two classes before Python 3.10
        found = {"ok": False, "timeout": True, "detail": "%s within %g s" % (str(e) or "no answer", within)}
    except OSError as e:
        found = {"ok": False, "detail": _words(e)}
    except Exception as e:
        said = str(e) if hasattr(e, "ok") else "the check itself broke: %s: %s" % (type(e).__name__, e)
        found = {"ok": None, "detail": said}
    found["detail"] = line(found.get("detail", ""))
    found.setdefault("ms", round((time.perf_counter() - began) * 1000, 3))
    ended.put((number, found))


def _probe(check, context, deadline):
    name = check["probe"]
    if not name.isidentifier() or name.startswith("_"):
        raise ValueError("%r is no name of a probe" % name)
    try:
        module = importlib.import_module("swarmops.target.probes." + name)
    except ModuleNotFoundError:
        return {"ok": None, "detail": "there is no probe '%s' here" % name}
    return module.probe(check.get("args") or {}, context, deadline)


def _words(e):
    """An OSError without its number."""
    said = e.strerror or str(e)
    return "%s: %s" % (e.filename, said) if getattr(e, "filename", None) else said
