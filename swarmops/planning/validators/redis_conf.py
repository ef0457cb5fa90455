"""redis.conf and users.acl: our own lint, then a trial boot of the real redis-server.

Redis has no check flag, and no comments behind a value: `port 6379 # default` stops the server (S0-13). The
trial boot listens on a unix socket in a private folder only, writes nothing elsewhere, and ends without a
save.
"""

from __future__ import annotations

import re
import socket
import subprocess
import time
from pathlib import Path, PurePosixPath

from swarmops.planning.validators import Finding, line_of, write_private

TOOLS = {"redis-server": "redis.conf"}
# Read at once by the parser, from paths of the host it is meant for: left out of the trial boot.
ELSEWHERE = {"aclfile", "dir", "include", "loadmodule", "logfile"}
# Said again at the end, where the last word counts: no port, no master, no file outside of the folder.
HARMLESS = """
bind 127.0.0.1
port 0
tls-port 0
tls-replication no
cluster-enabled no
replicaof no one
appendonly no
daemonize no
supervised no
syslog-enabled no
maxclients 8
pidfile {folder}/redis.pid
unixsocket {folder}/redis.sock
unixsocketperm 700
dir {folder}
logfile ""
"""
HASH = re.compile(r"#[0-9a-f]{64}")
VECTORS = re.compile(r" \+v(add|sim|rem|card)\b")  # words of Redis 8, for a host that has it


def validate(files, tools) -> list[Finding]:
    found: list[Finding] = []
    acls = [f for f in files if PurePosixPath(f.path).suffix == ".acl"]
    for file in acls:
        found += [(file, *fault) for fault in lint_acl(tools.text(file))]
    for file in files:
        path = PurePosixPath(file.path)
        if path.suffix != ".conf" or path.parent.name != "redis":
            continue
        text = tools.text(file)
        faults = lint(text)
        acl = next((f for f in acls if f.path in text), None)
        if not faults:  # after our sentences, those of the server would only repeat them
            key = ("redis", file.sha, acl.sha if acl else "")
            acl_text = tools.text(acl) if acl else ""
            faults = tools.once(key, lambda t=text, a=acl_text: _judge(t, a, tools))
        found += [(acl if where == "acl" and acl else file, line, told) for where, line, told in _placed(faults)]
    return found


def _placed(faults):
    return [f if len(f) == 3 else ("conf", *f) for f in faults]


def lint(text: str) -> list[tuple[int, str]]:
    """What must not reach a host, line by line (S0-10, S0-11, S0-13)."""
    faults: list[tuple[int, str]] = []
    values: dict[str, list[tuple[int, list[str]]]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        name, rest = words[0].lower(), words[1:]
        values.setdefault(name, []).append((number, rest))
        if any(w.startswith("#") for w in rest) and not re.search(r"[\"'].*#.*[\"']", line):
            faults.append((number, "Redis has no comments behind a value: put the comment on a line of its own"))
        if not rest:
            faults.append((number, f"'{name}' has no value"))
    last = {name: given[-1] for name, given in values.items()}
    binds = [(n, a.lstrip("-")) for n, rest in values.get("bind", []) for a in rest]
    protected = last.get("protected-mode", (0, ["yes"]))
    if protected[1] != ["yes"]:
        faults.append((protected[0], "protected-mode must stay 'yes': a password already lets remote clients in"))
    open_to_all = [n for n, address in binds if address in ("0.0.0.0", "::", "*", "::*")]  # noqa: S104
    if open_to_all or not binds:
        faults.append((open_to_all[0] if open_to_all else 0, "bind must name addresses, it must not listen on all"))
    if "requirepass" in last:
        faults.append((last["requirepass"][0], "requirepass puts a password into the file: use the ACL file"))
    return faults


def lint_acl(text: str) -> list[tuple[int, str]]:
    """users.acl: hashes only, the default user off, no user without a password (S13, S2). Quotes no hash."""
    faults: list[tuple[int, str]] = []
    names: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if words[0] != "user" or len(words) < 3:
            faults.append((number, "an ACL line reads 'user NAME RULE...', and comments are not allowed"))
            continue
        name, rules = words[1], words[2:]
        if name in names:
            faults.append((number, f"user {name} is given twice (line {names[name]})"))
        names.setdefault(name, number)
        plain = any(r.startswith(">") for r in rules)
        if plain:
            faults.append((number, f"user {name}: a password in plain text, it must be '#' and its SHA-256"))
        if any(r.startswith("#") and not HASH.fullmatch(r) for r in rules):
            faults.append((number, f"user {name}: a hash that is not 64 hex digits"))
        if "on" in rules and not plain and ("nopass" in rules or not any(HASH.fullmatch(r) for r in rules)):
            faults.append((number, f"user {name} is on without a password"))
        if name == "default" and "off" not in rules:
            faults.append((number, "the default user must be off"))
    if "default" not in names:
        faults.append((0, "the default user is not turned off: add 'user default off'"))
    return faults


def _judge(text: str, acl: str, tools) -> list[tuple]:
    server = tools.find("redis-server", "redis.conf is")
    if server is None:
        return []
    with tools.scratch() as folder:
        conf = write_private(folder / "trial.conf", _harmless(text, acl, folder))
        if acl:
            write_private(folder / "users.acl", _known(acl, server))
        tools.ran["redis-server"] = tools.ran.get("redis-server", 0) + 1
        told = _boot(server, conf, folder)
    return _explain(told, text, acl) if told else []


def _known(acl: str, server: str) -> str:
    """`acl` without the words of vector sets, where the Redis of this machine is older than they are."""
    if not VECTORS.search(acl):
        return acl
    said = subprocess.run([server, "--version"], capture_output=True, text=True).stdout
    return VECTORS.sub("", acl) if re.search(r" v=[0-7]\.", said) else acl


def _harmless(text: str, acl: str, folder: Path) -> str:
    """The same file with the same line numbers, kept inside `folder`."""
    lines = []
    for line in text.splitlines():
        word = line.split()[:1]
        lines.append(f"# {word[0]}" if word and word[0].lower() in ELSEWHERE else line)
    if acl:
        lines.append(f"aclfile {folder}/users.acl")
    return "\n".join(lines) + HARMLESS.format(folder=folder)


def _boot(server: str, conf: Path, folder: Path) -> list[str]:
    """What the server said when it refused to start, or nothing when it answered on its socket."""
    child = subprocess.Popen(
        [server, str(conf)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )
    try:
        deadline = time.monotonic() + 10
        while child.poll() is None and time.monotonic() < deadline:
            if _answers(folder / "redis.sock"):
                return []
            time.sleep(0.002)
    finally:
        child.kill()
        out = child.communicate()[0]
    return [line.strip() for line in out.splitlines() if line.strip()] or ["the server said nothing"]


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(2)
        try:
            door.connect(str(path))
            door.sendall(b"PING\r\n")
            return door.recv(16)[:1] in (b"+", b"-")  # -NOAUTH is an answer too
        except OSError:
            return False


def _explain(told: list[str], text: str, acl: str) -> list[tuple]:
    """Redis' words as (file, line, sentence). The offending text itself may be secret, and is left out."""
    whole = "\n".join(told)
    if match := re.search(r"at line (\d+)\n>>> '([^']*?)'?\n(.+)", whole):
        name = match[2].split()[0] if match[2].split() else ""
        return [("conf", int(match[1]), f"redis-server refuses '{name}': {match[3].strip()}")]
    if match := re.search(r"users\.acl:(\d+): ([^\n]*)", whole):
        return [("acl", int(match[1]), f"redis-server: {re.sub(r'#[0-9a-f]{8,}', '#...', match[2])}")]
    if acl and "ACL" in whole:
        return [("acl", 0, f"redis-server: {told[-1]}")]
    last = re.sub(r"^\d+:\w \d+ \w+ \d+ [\d:.]+ \S ", "", told[-1])
    return [("conf", line_of(text, r"."), f"redis-server does not start: {last}")]
