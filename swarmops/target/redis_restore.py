"""Put a dump back into Redis, so that at every moment either the old data or the new data is whole on the
disk.

The new files are written beside the old ones first. Then Redis is stopped, the old files are renamed into a
folder `before-restore-<time>` in the data folder, the new ones are renamed into place, and Redis is started.
When it does not come up, or comes up with another number of keys, the old files go back and the old Redis is
started again.

A Redis with `appendonly yes` ignores dump.rdb. For it the dump becomes the base of a new append-only
generation: a manifest that names it, and nothing else. So it never runs without its append-only file, not
even for the first load.
"""

import os
import shutil
import time

from swarmops.target import resp
from swarmops.target.backup import parts
from swarmops.target.system import Failed

BACKOFF = (0.01, 0.25)


def restore(args, files, options, system):
    """`files` holds {name, sha256, size} of dump.rdb; `options` {check, replace, keys}. Returns the event's
    content: ok, status (restored, would, refused, failed), reason, facts."""
    dump = next((f for f in files if f["name"] == "dump.rdb"), None)
    if dump is None:
        raise Failed("there is no dump.rdb in this backup")
    here = _look(args)
    if here["role"] == "slave":
        text = "this Redis is a replica of %s: restore its primary, and it follows" % here["primary"]
        return {"ok": False, "status": "refused", "reason": text}
    if here["holds"] and not options.get("replace"):
        text = "this Redis holds %s; --replace puts the backup in their place" % here["holds"]
        return {"ok": False, "status": "refused", "reason": text}
    facts = {key: here[key] for key in ("dir", "appendonly", "holds", "running")}
    if options.get("check"):
        return {"ok": True, "status": "would", "facts": facts}
    began = time.monotonic()
    facts.update(_swap(args, here, dump, options.get("keys"), system))
    facts["seconds"] = round(time.monotonic() - began, 3)
    return {"ok": True, "status": "restored", "facts": facts}


def _look(args):
    """Where the data lies and what is there: asked of the running Redis, or read from its configuration
    file."""
    here: dict = {"running": True, "role": "master", "primary": "", "holds": ""}
    try:
        with resp.connect(args, time.monotonic() + 10) as redis:
            info = redis.info("replication", "keyspace")
            here.update(role=info.get("role", "master"))
            here["primary"] = "%s:%s" % (info.get("master_host"), info.get("master_port"))
            keys = sum(int(v.split("keys=")[1].split(",")[0]) for k, v in info.items() if v.startswith("keys="))
            here["holds"] = "%d keys" % keys if keys else ""
            wanted = ("dir", "dbfilename", "appendonly", "appenddirname", "appendfilename")
            for name in wanted:
                here[name] = (redis.call("CONFIG", "GET", name) or [name, ""])[1]
    except (resp.Unreachable, resp.ReplyError) as e:
        if isinstance(e, resp.ReplyError) and e.code != "LOADING":
            raise
        here.update(_configured(args.get("conf") or "/etc/redis/redis.conf"), running=False)
        there = [n for n in (here["dbfilename"], here["appenddirname"]) if _size(os.path.join(here["dir"], n))]
        here["holds"] = "data that could not be counted (%s)" % ", ".join(there) if there else ""
    if here["appendonly"] == "yes" and not here["appenddirname"]:
        raise Failed("a Redis before 7.0 with appendonly yes: set appendonly no, restore, and turn it on again")
    return here


def _configured(path):
    found = {"dir": "/var/lib/redis", "dbfilename": "dump.rdb", "appendonly": "no"}
    found.update(appenddirname="appendonlydir", appendfilename="appendonly.aof")
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            words = line.split(None, 1)
            if len(words) == 2 and words[0].lower() in found:
                found[words[0].lower()] = words[1].strip().strip("\"'")
    return found


def _size(path):
    if os.path.isdir(path):
        return sum(_size(os.path.join(path, n)) for n in os.listdir(path))
    return os.path.getsize(path) if os.path.exists(path) else 0


def _swap(args, here, dump, keys, system):
    folder = here["dir"]
    service = Program(args) if args.get("program") else Unit(args, system)
    staged = os.path.join(folder, ".swarmops-restore")
    before = os.path.join(folder, "before-restore-" + time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    owner = os.stat(folder)
    shutil.rmtree(staged, ignore_errors=True)
    try:
        new = _stage(staged, here, dump, owner, system)
        _mkdir(before, owner)
    except (OSError, Failed) as e:
        shutil.rmtree(staged, ignore_errors=True)
        v = os.statvfs(folder)
        why = "%s (%d bytes free)" % (e.strerror, v.f_bavail * v.f_frsize) if isinstance(e, OSError) else e
        raise Failed("nothing was changed: cannot stage the data in %s: %s" % (folder, why))
    done: list = []  # renames that were made, to be undone
    try:
        service.stop()
        _move([here["dbfilename"], here["appenddirname"]], folder, before, done)
        _move([new], staged, folder, done)
        _fsync(folder)
        loaded = _start(args, service)
        if keys is not None and loaded != keys:
            raise Failed("Redis came up with %d keys, the backup has %d" % (loaded, keys))
    except (Failed, OSError, resp.RedisError) as e:
        _tried(service.stop)
        for source, dest in reversed(done):
            if os.path.isdir(source):  # Redis made a fresh one where the old one was
                shutil.rmtree(source)
            os.rename(dest, source)
        shutil.rmtree(staged, ignore_errors=True)
        os.rmdir(before)
        back = _tried(service.start)
        raise Failed("%s; the data from before is back in place%s" % (e, "" if back else ", not running"))
    shutil.rmtree(staged, ignore_errors=True)
    if not os.listdir(before):
        os.rmdir(before)
        before = ""
    return {"keys": loaded, "before": before}


def _stage(staged, here, dump, owner, system):
    """Write the new files under `staged`. Returns the name to move into the data folder."""
    _mkdir(staged, owner)
    if here["appendonly"] != "yes":
        _write(os.path.join(staged, here["dbfilename"]), parts(dump, system), owner)
        return here["dbfilename"]
    folder = os.path.join(staged, here["appenddirname"])
    _mkdir(folder, owner)
    base = here["appendfilename"] + ".1.base.rdb"
    _write(os.path.join(folder, base), parts(dump, system), owner)
    manifest = "file %s seq 1 type b\n" % base
    _write(os.path.join(folder, here["appendfilename"] + ".manifest"), [manifest.encode()], owner)
    _fsync(folder)
    return here["appenddirname"]


def _mkdir(path, owner):
    os.mkdir(path, 0o700)
    os.chown(path, owner.st_uid, owner.st_gid)


def _write(path, chunks, owner):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.fchown(fd, owner.st_uid, owner.st_gid)
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(fd, view) :]
        os.fchmod(fd, 0o640)
        os.fsync(fd)
    finally:
        os.close(fd)


def _move(names, source, dest, done):
    """Rename what is there of `names`; `done` gains each (from, to)."""
    for name in names:
        pair = os.path.join(source, name), os.path.join(dest, name)
        if os.path.lexists(pair[0]):
            os.rename(*pair)
            done.append(pair)


def _fsync(folder):
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Unit:
    """Redis as systemd keeps it."""

    def __init__(self, args, system):
        self.system, self.unit = system, args.get("unit") or "redis-server"
        self.timeout = float(args.get("timeout") or 600)

    def stop(self):
        self.system.run(["systemctl", "stop", self.unit], timeout=300)

    def start(self):
        self.system.run(["systemctl", "reset-failed", self.unit], ok=None)
        self.system.run(["systemctl", "start", self.unit], timeout=self.timeout)

    def is_down(self):
        said = self.system.run(["systemctl", "is-active", self.unit], ok=None).stdout.strip()
        return said in ("failed", "inactive")


class Program:
    """Redis as supervisord keeps it, where there is no root."""

    def __init__(self, args):
        from swarmops.target.supervisor import Supervisor

        self.name, self.supervisor = args["program"], Supervisor(args["config"])

    def stop(self):
        self._call("stopProcess", 70)  # NOT_RUNNING

    def start(self):
        self._call("startProcess", 60)  # ALREADY_STARTED

    def is_down(self):
        return (self.supervisor.info(self.name) or {}).get("statename") in ("BACKOFF", "EXITED", "FATAL", "STOPPED")

    def _call(self, what, fine):
        from swarmops.target.supervisor import Refused

        try:
            self.supervisor.call(what, self.name)
        except Refused as e:
            if e.code != fine:
                raise Failed("supervisord refuses: %s" % e)


def _tried(do):
    """Whether it could be done."""
    try:
        do()
        return True
    except (Failed, OSError):
        return False


def _start(args, service):
    """Start Redis, wait until it has loaded, and return how many keys it loaded, those counted whose time has
    passed since (a master drops them)."""
    service.start()
    deadline = time.monotonic() + float(args.get("timeout") or 600)
    pause = BACKOFF[0]
    while True:
        try:
            with resp.connect(args, time.monotonic() + 10) as redis:
                info = redis.info("persistence", "keyspace")
                if info.get("loading") == "0":
                    return _loaded(info)
        except (resp.Unreachable, resp.TimedOut) as e:
            last = str(e)
            if service.is_down():
                raise Failed("Redis does not stay up with the restored data (see its log)")
        except resp.ReplyError as e:
            last = str(e)
            if e.code != "LOADING":
                raise
        if time.monotonic() > deadline:
            raise Failed("Redis did not load the data in time: %s" % last)
        time.sleep(pause)
        pause = min(pause * 1.5, BACKOFF[1])


def _loaded(info):
    loaded = int(info.get("rdb_last_load_keys_loaded", 0)) + int(info.get("rdb_last_load_keys_expired", 0))
    present = sum(int(v.split("keys=")[1].split(",")[0]) for v in info.values() if v.startswith("keys="))
    return max(loaded, present)
