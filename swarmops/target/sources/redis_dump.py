"""A Redis snapshot that is proven: BGSAVE, its success read back, then a copy that no later save can change.

What the user needs on an ACL'd Redis: +ping +info +bgsave +config|get.

The dump is kept as `dump.rdb`. Redis replaces its dump by rename, so the open descriptor stays the dump of
this save (or of a later, equally whole one). With `aof: true` the append-only files are kept too, under
`appendonlydir/`: all that the manifest lists are opened, then the manifest is read again; when it is the
same, the descriptors are one generation, even if a rewrite deletes the files a moment later. That needs no
pause of the rewriting, so nothing in the configuration of a running Redis is touched and nothing can be left
changed by a backup that is killed.
"""

import os
import re
import time

from swarmops.target import resp
from swarmops.target.backup import open_plain
from swarmops.target.system import Failed

ARGS = dict(
    resp.ARGS,
    dir="path",  # where the dump lies, when the user may not `CONFIG GET dir`
    dbfilename="name = dump.rdb",  # used together with dir
    aof="bool = false",
    timeout="duration = 10m",  # for the save as a whole
    unit="name = redis-server",  # systemd unit, for restore
    program="name",  # instead of a unit: what supervisord keeps, where there is no root
    config="path",  # of supervisord
    conf="path = /etc/redis/redis.conf",  # read by restore when Redis is not running
)
TEMPLATES = {"config": "{{ paths.config }}/supervisord.conf"}
SHORT = "port"

MARGIN = 16 << 20  # bytes that must be free beside room for a dump as large as the last one
BACKOFF = (0.005, 0.25)  # seconds between looks at a running save: from, growing to


def collect(args, system, out):
    """Facts: server version, run_id, keys (the exact number at the moment of the fork), keys per database,
    used_memory, role, and what redis-check-rdb found where the host has it."""
    deadline = time.monotonic() + float(args.get("timeout") or 600)
    with resp.connect(args, time.monotonic() + min(10, float(args.get("timeout") or 10))) as redis:
        redis.deadline = deadline
        facts = _about(redis)
        folder, name, appendonly = _where(redis, args)
        fd, path, proof = _saved(redis, folder, name, deadline)
        facts.update(proof)
        try:
            facts.update(_check(fd, facts, system))
            out.descriptor("dump.rdb", fd, path)
        finally:
            os.close(fd)
        if args.get("aof"):
            if not appendonly:
                raise Failed("aof: true, but appendonly is off on this Redis (remove `aof`, or turn it on)")
            facts["aof_bytes"] = _send_aof(appendonly, out)
    return facts


def _about(redis):
    info = redis.info("server", "memory", "replication", "persistence")
    if info.get("loading", "0") != "0":
        raise Failed("Redis is still loading its data")
    return {
        "version": info.get("redis_version", ""),
        "run_id": info.get("run_id", ""),
        "used_memory": int(info.get("used_memory", 0)),
        "redis_role": info.get("role", ""),
    }


def _where(redis, args):
    """Folder and name of the dump, and the path of the append-only manifest (or None)."""
    if args.get("dir"):
        return args["dir"], args.get("dbfilename") or "dump.rdb", None
    try:
        wanted = ("dir", "dbfilename", "appendonly", "appenddirname", "appendfilename")
        replies = redis.many([("CONFIG", "GET", word) for word in wanted])
    except resp.AuthFailed as e:
        raise Failed("%s (allow +config|get, or name `dir` in the backup's arguments)" % e)
    got = {words[i]: words[i + 1] for words in replies for i in range(0, len(words), 2)}
    appendonly = None
    if got.get("appendonly") == "yes" and got.get("appenddirname"):
        appendonly = os.path.join(got["dir"], got["appenddirname"], got["appendfilename"] + ".manifest")
    return got["dir"], got["dbfilename"], appendonly


def _saved(redis, folder, name, deadline):
    """Save and open the dump; again, when another save ended in between: the proof is of this very file."""
    path = os.path.join(folder, name)
    _room(folder, path)
    for _ in range(5):
        started = time.time()
        proof = save(redis, deadline)
        fd = _open_dump(path, started)
        now = redis.info("persistence")
        if now.get("rdb_bgsave_in_progress") == "0" and _saves(redis) == proof["saves"]:
            del proof["saves"]
            return fd, path, proof
        os.close(fd)
    raise Failed("another save ended each of the 5 times one was made")


def _room(folder, path):
    """Refuse before a save that the disk cannot take: after a failed one Redis refuses writes, and a backup must not
    bring down what it keeps."""
    try:
        v = os.statvfs(folder)
    except OSError as e:
        raise Failed("cannot look at %s: %s" % (folder, e.strerror))
    free, last = v.f_bavail * v.f_frsize, os.path.getsize(path) if os.path.exists(path) else 0
    if free < last + MARGIN:
        text = "the disk is full: %s has %d bytes free, a save may need %d; none was asked for"
        raise Failed(text % (folder, free, last + MARGIN))


def save(redis, deadline):
    """Make a snapshot and prove it: `saves` is what Redis says as long as no other came after it. Raises Failed when it
    did not succeed or not in time."""
    _until_idle(redis, deadline)
    before = _saves(redis)
    keyspace, total, ours = _start(redis, deadline, before)
    done = _until_idle(redis, deadline)
    if done.get("rdb_last_bgsave_status") != "ok":
        raise Failed(
            "the save failed (rdb_last_bgsave_status:%s); its reason is in Redis' log, often a full "
            "disk or too little memory to fork" % done.get("rdb_last_bgsave_status")
        )
    after = _saves(redis)
    if after["rdb_saves"] <= before["rdb_saves"] and after["lastsave"] <= before["lastsave"]:
        raise Failed("Redis reports no newer save than before (LASTSAVE %d)" % before["lastsave"])
    per_db = {k: int(v.split("keys=")[1].split(",")[0]) for k, v in keyspace.items() if k.startswith("db")}
    keys = sum(per_db.values()) if total is None else total
    if ours is not None:
        after["rdb_saves"] = ours
    return {"keys": keys, "databases": per_db, "lastsave": after["lastsave"], "saves": after}


def _saves(redis):
    info = redis.info("persistence")  # rdb_last_save_time is what LASTSAVE answers
    return {"lastsave": int(info.get("rdb_last_save_time", 0)), "rdb_saves": int(info.get("rdb_saves", 0))}


def _start(redis, deadline, before):
    """Fork the save and read, in the same breath, how many keys it will hold, and its number among the saves (None
    before 7.0): Redis serves commands that arrive together one after the other, so nothing comes in between."""
    while True:
        if "rdb_saves" not in redis.info("persistence"):  # before 7.0: seconds are all we can tell saves apart by
            _until(lambda: int(redis.call("TIME")[0]) > before["lastsave"], deadline, "the clock to tick")
        try:
            info = ("INFO", "persistence")
            earlier, _, persistence, keyspace = redis.many([info, ("BGSAVE",), info, ("INFO", "keyspace")])
            total, saves = _pairs(persistence).get("current_save_keys_total"), _pairs(earlier).get("rdb_saves")
            ours = None if saves is None else int(saves) + 1
            return _pairs(keyspace), int(total) if total not in (None, "0") else None, ours
        except resp.ReplyError as e:
            if "in progress" not in str(e) and "child process" not in str(e):
                raise Failed("BGSAVE was refused: %s" % e)
        _until_idle(redis, deadline)  # somebody else's save or rewrite came first


def _pairs(text):
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _until_idle(redis, deadline):
    """Wait until neither a save nor a rewrite runs. Returns INFO persistence of that moment."""
    seen: dict = {}

    def idle():
        seen.clear()
        seen.update(redis.info("persistence"))
        return seen.get("rdb_bgsave_in_progress") == "0" and seen.get("aof_rewrite_in_progress", "0") == "0"

    _until(idle, deadline, "the running save or rewrite to end")
    return dict(seen)


def _until(holds, deadline, what):
    pause = BACKOFF[0]
    while not holds():
        if time.monotonic() + pause > deadline:
            raise Failed("gave up waiting for %s (see `timeout` of this backup)" % what)
        time.sleep(pause)
        pause = min(pause * 1.5, BACKOFF[1])


def _open_dump(path, started):
    fd = open_plain(path)
    s = os.fstat(fd)
    head = os.pread(fd, 9, 0)
    reason = None
    if s.st_mtime < started - 1:
        reason = "is older than the save that just ended: is `dir` of this Redis another folder than the host's?"
    elif not re.match(rb"REDIS\d{4}$", head):
        reason = "is not a Redis dump"
    if reason:
        os.close(fd)
        raise Failed("%s %s" % (path, reason))
    return fd


def _check(fd, facts, system):
    """Let the host's own redis-check-rdb, which knows this version of the format, read the whole copy."""
    rdb = {"rdb_version": int(os.pread(fd, 9, 0)[5:])}
    result = system.run(["redis-check-rdb", "/proc/%d/fd/%d" % (os.getpid(), fd)], timeout=3600, ok=None)
    if result.rc == -1:
        return dict(rdb, check="not run: redis-check-rdb: %s" % result.stderr)
    if result.rc != 0:
        raise Failed("redis-check-rdb rejects the dump: %s" % " ".join(result.stdout.split())[-300:])
    found = re.search(r"\[info\] (\d+) keys read", result.stdout)
    if found and int(found.group(1)) != facts["keys"]:
        raise Failed("the dump holds %s keys, Redis had %d when it forked" % (found.group(1), facts["keys"]))
    return dict(rdb, check="redis-check-rdb: ok")


def _send_aof(manifest, out):
    """Send manifest, base and increments of one generation. Returns their bytes."""
    for _ in range(20):
        opened = []
        try:
            text = _slurp(manifest)
            names = re.findall(r"^file (\S+) seq \d+ type [bi]", text, re.M)
            for name in names:
                if "/" in name or name.startswith("."):
                    raise Failed("%s names a file outside its folder: %r" % (manifest, name))
                opened.append((name, open_plain(os.path.join(os.path.dirname(manifest), name))))
            sizes = [os.fstat(fd).st_size for _, fd in opened]
            if _slurp(manifest) != text:
                continue
            for (name, fd), size in zip(opened, sizes):
                out.descriptor("appendonlydir/" + name, fd, name, size=size)
            kept = "".join(line + "\n" for line in text.splitlines() if " type h" not in line)
            out.bytes("appendonlydir/" + os.path.basename(manifest), kept.encode())
            return sum(sizes)
        except FileNotFoundError:  # a rewrite ended between manifest and open: read again
            continue
        finally:
            for _, fd in opened:
                os.close(fd)
    raise Failed("the append-only files changed each of 20 times they were opened")


def _slurp(path):
    with open(path, encoding="utf-8", errors="surrogateescape") as f:
        return f.read()


def restore(args, files, options, system):
    """Put a dump back; see `redis_restore`."""
    from swarmops.target import redis_restore

    return redis_restore.restore(args, files, options, system)
