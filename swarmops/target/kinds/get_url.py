"""A file from the web, as Ansible's get_url. The checksum is what makes it safe, so it must be given."""

import os
import urllib.parse

from swarmops.target import files
from swarmops.target.system import Failed

ARGS = {
    "url": "text!",
    "dest": "path!",
    "checksum": "text!",
    "owner": "name",
    "group": "name",
    "mode": "mode",
    "timeout": "duration = 30s",
}
CHUNK = 1 << 18
MOST = 1 << 34  # bytes of one download


def want(args):
    url = urllib.parse.urlsplit(args["url"])
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("url must be http://... or https://...")
    if url.username or url.password:
        raise ValueError("url holds a user name or password, which would end in logs")
    if args["dest"].endswith("/"):
        raise ValueError("dest is the whole path of the file, not a folder")
    kind, _, sha = args["checksum"].partition(":")
    if kind != "sha256" or len(sha) != 64 or set(sha.lower()) - set("0123456789abcdef"):
        raise ValueError("checksum must be sha256: and 64 hex digits")
    return files.wanted_file(args["dest"], sha.lower(), args)


def read(args, want, system):
    return files.read_file(args["dest"], want, system)


def fix(args, want, state, system):
    path = args["dest"]
    if state["type"] == "directory":
        raise Failed("%s is a folder" % path)
    if state["content"] != want["content"]:
        temp = os.path.join(os.path.dirname(path), ".%s.swarmops" % os.path.basename(path)[:200])
        try:
            _download(args, want, temp, system)
            files.set_attributes(temp, dict({"mode": "0644"}, **want), system)
            os.rename(temp, path)  # after fsync, checksum and mode, so that the name stands for the whole
        except OSError as e:
            raise Failed("cannot write %s: %s" % (path, e.strerror or e))
        finally:
            if os.path.lexists(temp):
                os.unlink(temp)
    files.set_attributes(path, want, system)


def makes(args):
    return files.made(args["dest"])


def _download(args, want, temp, system):
    """Stream the file to `temp` and check it. Raises Failed."""
    import hashlib
    import urllib.request

    digest, size = hashlib.sha256(), 0
    if os.path.lexists(temp):
        os.unlink(temp)  # left by an interrupted run
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as f:
        try:
            with urllib.request.urlopen(args["url"], timeout=args["timeout"]) as answer:
                for chunk in iter(lambda: answer.read(CHUNK), b""):
                    size += len(chunk)
                    if size > MOST:
                        raise Failed("%s is larger than %d bytes" % (args["url"], MOST))
                    digest.update(chunk)
                    f.write(chunk)
        except (OSError, ValueError) as e:
            raise Failed("cannot get %s: %s" % (args["url"], getattr(e, "reason", None) or e))
        f.flush()
        os.fsync(f.fileno())
    if digest.hexdigest() != want["content"]:
        found = "sha256:" + digest.hexdigest()
        raise Failed("%s has checksum %s, not the wanted one; nothing was kept" % (args["url"], found))
