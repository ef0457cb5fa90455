"""ufw's user.rules and user6.rules: complete, SSH first, and no deny that hides a later allow (S0-34).

ufw is first match: an allow behind a deny for the same port never matches. `iptables-restore --test` judges
the syntax.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from swarmops.planning.validators import Finding, write_private

TOOLS = {"iptables-restore": "ufw rule files"}


def validate(files, tools) -> list[Finding]:
    found: list[Finding] = []
    for file in files:
        path = PurePosixPath(file.path)
        if path.parent.name == "ufw" and path.name in ("user.rules", "user6.rules"):
            text = tools.text(file)
            found += [(file, *f) for f in lint(text, ssh=path.name == "user.rules")]
            program = "ip6tables-restore" if path.name == "user6.rules" else "iptables-restore"
            found += [
                (file, *f) for f in tools.once((program, file.sha), lambda t=text, p=program: _judge(p, t, tools))
            ]
    return found


def lint(text: str, *, ssh: bool = True) -> list[tuple[int, str]]:
    """SSH accepted before anything is denied; no accept behind a deny of the same port; a closing COMMIT."""
    found: list[tuple[int, str]] = []
    denied: dict[tuple[str, str], int] = {}
    seen_ssh = False
    prefix = r"-A ufw6?-user-input\b"
    for number, line in enumerate(text.splitlines(), 1):
        if not re.match(prefix, line):
            continue
        port = re.search(r"-p (\w+).* --dport (\S+)", line)
        where = (port[1], port[2]) if port else ("any", "any")
        if line.endswith("-j ACCEPT"):
            seen_ssh = seen_ssh or where == ("tcp", "22") or "swarmops-ssh" in line
            hidden = denied.get(where) or denied.get(("any", "any"))
            if hidden:
                found.append((number, f"never matches: line {hidden} denies the same before it"))
        elif re.search(r"-j (DROP|REJECT)$", line):
            denied.setdefault(where, number)
            if ssh and not seen_ssh:
                found.append((number, "denies before SSH is allowed"))
    if ssh and not seen_ssh:
        found.append((0, "nobody may reach SSH: name at least one address in network.controllers"))
    if not text.rstrip().endswith("COMMIT"):
        found.append((0, "does not end with COMMIT"))
    return found


def _judge(program: str, text: str, tools) -> list[tuple[int, str]]:
    restore = tools.find(program, "ufw rule files are")
    apart = tools.apart()
    if restore is None or not apart:
        return []
    # ufw's own chains come from before.rules and are there when these files are loaded.
    with tools.scratch() as folder:
        rules = write_private(folder / "rules", text)
        result = tools.run([*apart, restore, "--test", str(rules)], name=program)
    if result.rc == 0 or not result.lines:
        return []
    line = re.search(r"line:? (\d+)", result.out)
    return [(int(line[1]) if line else 0, f"{program}: {result.lines[0].strip()}")]
