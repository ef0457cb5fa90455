"""Plays kind cases on the machine it runs on, with the real engine. Standard library only: it is sent to lab hosts.

Called as `python3 play.py FOLDER` with {"bundle": path or null, "private": bool, "cases": {id: case}} on stdin; prints
{id: what was seen} as JSON. With `private` it first takes its own copy of /etc, an empty /home, its own network and
host name, so that users, rule sets and kernel settings are real but nobody else's.
"""

import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

WATCHED = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/hostname", "/var/lib/dpkg/status")


class Events:
    """Stands where the link to the controller stands, and keeps what is said."""

    gone = False

    def __init__(self, sent):
        self.seen, self.sent = [], sent

    def emit(self, event, now=True):
        self.seen.append(event)
        for sha in event.get("contents", ()) if event["e"] == "need" else ():
            data = self.sent[sha].encode("latin-1")
            for piece in (data[:100], data[100:], b""):
                self.pieces(sha, piece)

    def flush(self):
        pass


def play(case, folder):
    """One case: check, apply, apply again, and once more after `drift`. Returns what was seen."""
    Path(folder).mkdir(mode=0o700)
    os.umask(0o077)
    for path, text in case.get("files", {}).items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(text.encode("latin-1"))
        Path(path).chmod(0o644)
    for argv in case.get("before", []):
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    seen = {"check": None, "runs": []}
    before = snapshot(folder)
    seen["check"] = once(case, folder, check=True)
    after = snapshot(folder)
    seen["moved"] = sorted(p for p in {*before, *after} if before.get(p) != after.get(p))
    seen["runs"] += [once(case, folder), once(case, folder)]
    if case.get("drift"):
        for argv in case["drift"]:
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        seen["runs"] += [once(case, folder), once(case, folder)]
    seen["then"] = [observe(look) for look in case.get("then", [])]
    seen["left"] = [p for p in snapshot(folder) if ".swarmops" in Path(p).name]
    for argv in case.get("finally", []):
        subprocess.run(argv, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return seen


def once(case, folder, check=False):
    """One run of the engine over the case's step: its event."""
    import importlib

    from swarmops.target.engine import Engine
    from swarmops.target.system import System

    events = Events(case.get("sent", {}))
    system = System(events, state=folder + ".state", check=check)
    kind = importlib.import_module("swarmops.target.kinds." + case["kind"])
    for data in case.get("contents", []):
        system.offer(data.encode("latin-1"))
    step = {"id": "t/s", "role": "t", "name": "s", "kind": case["kind"], "args": case["args"], "register": "r"}
    envelope = {"steps": [step], "diff": True, "run": "test"}
    Engine(envelope, system, {case["kind"]: kind}).play()
    return next(e for e in events.seen if e["e"] == "step")


def snapshot(folder):
    """path -> all that a change would show."""
    paths = [*Path(folder).rglob("*"), *filter(Path.exists, map(Path, WATCHED))]
    return {str(path): sign(path) for path in paths}


def sign(path):
    s = path.lstat()
    data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    return [s.st_mode, s.st_uid, s.st_gid, s.st_ino, s.st_mtime_ns, hashlib.sha256(data).hexdigest()]


def observe(look):
    """What a `then` entry asks about, as it is."""
    if "run" in look:
        done = subprocess.run(look["run"], capture_output=True, text=True, check=False)
        return {"rc": done.returncode, "says": done.stdout + done.stderr}
    path = look["path"]
    if not os.path.lexists(path):
        return {"type": None}
    import grp
    import pwd
    import stat

    s = os.lstat(path)
    names = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
    seen = {"type": names.get(stat.S_IFMT(s.st_mode)), "mode": f"{stat.S_IMODE(s.st_mode):04o}"}
    seen["owner"], seen["group"] = pwd.getpwuid(s.st_uid).pw_name, grp.getgrgid(s.st_gid).gr_name
    if seen["type"] == "link":
        seen["target"] = str(Path(path).readlink())
    elif seen["type"] == "file":
        seen["content"] = Path(path).read_bytes().decode("latin-1")
    return seen


def private(folder):
    """Take what is ours alone; this process was started by unshare."""
    run = lambda *argv: subprocess.run(argv, check=True)  # noqa: E731
    shutil.copytree("/etc", folder + "/etc", symlinks=True)
    run("mount", "--bind", folder + "/etc", "/etc")
    run("mount", "-t", "tmpfs", "none", "/home")
    run("ip", "link", "set", "lo", "up")


def serve(folder):
    """A web server on loopback for get_url. Returns its port."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *a, **k):
            super().__init__(*a, directory=folder, **k)

        def log_message(self, *a):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def filled(value, words):
    """`value` with /TMP and PORT as they are here."""
    if value == "PORT":
        return int(words["PORT"])
    if isinstance(value, str):
        for word, here in words.items():
            value = value.replace(word, here)
        return value
    if isinstance(value, list):
        return [filled(v, words) for v in value]
    return {filled(k, words): filled(v, words) for k, v in value.items()} if isinstance(value, dict) else value


def main():
    asked, top = json.load(sys.stdin), sys.argv[1]
    if asked.get("bundle"):
        sys.path.insert(0, asked["bundle"])
    if asked.get("private"):
        private(top)
    port = str(serve(top))
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    seen = {}
    for i, (name, case) in enumerate(asked["cases"].items()):
        folder = f"{top}/{i}"
        try:
            seen[name] = play(filled(case, {"/TMP": folder, "PORT": port, "SELF": str(i), "PYTHON": here}), folder)
        except Exception:
            import traceback

            seen[name] = {"broken": traceback.format_exc()}
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
