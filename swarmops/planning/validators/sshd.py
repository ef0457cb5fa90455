"""sshd configuration: `sshd -t`, then what `sshd -T` makes of it against our baseline (S8, S4-37).

sshd wants a host key even to read a configuration: a throw-away one is made once per run.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from swarmops.planning.validators import Finding, line_of, write_private

TOOLS = {"sshd": "sshd drop-ins"}
_PLACE = re.compile(r"^\S+ line (\d+): (.*)|^\S+: line (\d+): (.*)")
# What `sshd -T` must say, for files that carry our name.
BASELINE = {
    "passwordauthentication": r"no",
    "kbdinteractiveauthentication": r"no",
    "permitrootlogin": r"no|prohibit-password|without-password|forced-commands-only",
    "permitemptypasswords": r"no",
    "maxauthtries": r"[1-3]",
    "x11forwarding": r"no",
    "allowagentforwarding": r"no",
    "logingracetime": r"[1-9]|[12]\d|30",
    "macs": r"(?!.*(sha1|md5|umac-64)).*",
    "kexalgorithms": r"((sntrup|mlkem|curve25519)[^,]*,?)+",
}


def validate(files, tools) -> list[Finding]:
    found: list[Finding] = []
    for file in files:
        path = PurePosixPath(file.path)
        if path == PurePosixPath("/etc/ssh/sshd_config") or path.parent.name == "sshd_config.d":
            text, ours = tools.text(file), "swarmops" in path.name
            key = ("sshd", file.sha, ours)
            found += [(file, *f) for f in tools.once(key, lambda t=text, o=ours: _judge(t, o, tools))]
    return found


def _judge(text: str, ours: bool, tools) -> list[tuple[int, str]]:
    sshd = tools.find("sshd", "sshd drop-ins are")
    key = _host_key(tools) if sshd else None
    if sshd is None or key is None:
        return []
    with tools.scratch() as folder:
        conf = write_private(folder / "sshd_config", text)
        tested = tools.run([sshd, "-t", "-f", str(conf), "-h", str(key)])
        if "privilege separation directory" in tested.out or "Privilege separation user" in tested.out:
            tools.skip("sshd", "its privilege separation is not set up here (no /run/sshd or no user sshd)")
            return []
        if tested.rc != 0:
            return _read(tested.lines, str(conf))
        if not ours:
            return []
        argv = [sshd, "-T", "-f", str(conf), "-h", str(key), "-C", "user=root,host=localhost,addr=127.0.0.1"]
        return baseline(tools.run(argv).out, text)


def _host_key(tools) -> Path | None:
    def make() -> Path | None:
        keygen = tools.find("ssh-keygen", "sshd's host key is")
        if keygen is None:
            return None
        path = tools.kept_scratch() / "key"
        return path if tools.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(path)]).rc == 0 else None

    return tools.once("sshd host key", make)


def _read(lines: list[str], conf: str) -> list[tuple[int, str]]:
    found = []
    for line in lines:
        if match := _PLACE.match(line):
            found.append((int(match[1] or match[3]), f"sshd: {match[2] or match[4]}"))
    return found or [(0, f"sshd: {lines[0].replace(conf, 'the file') if lines else 'refuses the file'}")]


def baseline(effective: str, text: str) -> list[tuple[int, str]]:
    """Where the values that `sshd -T` printed fall short of the baseline."""
    values = dict(line.split(None, 1) for line in effective.lower().splitlines() if " " in line)
    found = []
    for name, wanted in BASELINE.items():
        value = values.get(name, "")
        if value and not re.fullmatch(wanted, value):
            found.append((line_of(text, rf"(?i)^\s*{name}\b"), f"{name} is '{value}', weaker than our baseline"))
    return found
