"""nftables rule sets: `nft -c -f` in a network namespace of its own, and whether we would stay reachable.

A rule set that has no SSH accept, or no default drop, is correct to nft and wrong to us (S0-34, S7).
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from swarmops.planning.validators import Finding, line_of, write_private

TOOLS = {"nft": "firewall rule sets"}
_PLACE = re.compile(r":(\d+):\d+(?:-\d+)?: Error: (.*)")


def validate(files, tools) -> list[Finding]:
    found: list[Finding] = []
    for file in files:
        path = PurePosixPath(file.path)
        if path.suffix == ".nft" or path.name == "nftables.conf":
            text = tools.text(file)
            found += [(file, *f) for f in tools.once(("nft", file.sha), lambda t=text: _judge(t, tools))]
            if "inet swarmops" in text:
                found += [(file, *f) for f in lint(text)]
    return found


def _judge(text: str, tools) -> list[tuple[int, str]]:
    nft = tools.find("nft", "firewall rule sets are")
    if nft is None:
        return []
    apart = tools.apart()
    if not apart:
        tools.skip("nft", "needs root or user namespaces here")
        return []
    with tools.scratch() as folder:
        rules = write_private(folder / "rules.nft", text)
        result = tools.run([*apart, nft, "-c", "-f", str(rules)], name="nft")
    if result.rc == 0:
        return []
    found = [(int(m[1]), f"nft: {m[2].strip()}") for m in map(_PLACE.search, result.lines) if m]
    return found or [(0, f"nft: {result.lines[0] if result.lines else f'exit {result.rc}'}")]


def lint(text: str) -> list[tuple[int, str]]:
    """What a rule set of ours must hold: replaced as one table, default drop, SSH before every drop."""
    found = []
    lines = [line.strip() for line in text.splitlines()]
    if any(line.startswith("flush ruleset") for line in lines):
        found.append((line_of(text, r"^\s*flush ruleset"), "flush ruleset would empty other programs' tables too"))
    if "delete table inet swarmops" not in lines:
        found.append((0, "the old table is not deleted first, so rules would pile up at every load"))
    for hook in ("input", "forward"):
        if not re.search(rf"hook {hook} priority [^;]+; policy drop;", text):
            line = line_of(text, rf"hook {hook}\b")
            found.append((line, f"the {hook} chain must say 'policy drop'"))
    found += _ssh_first(lines)
    return found


def _ssh_first(lines: list[str]) -> list[tuple[int, str]]:
    ssh = next((n for n, line in enumerate(lines, 1) if line.endswith('comment "ssh"') and "accept" in line), 0)
    if not ssh:
        return [(0, "nobody may reach SSH: name at least one address in network.controllers")]
    for number, line in enumerate(lines[: ssh - 1], 1):
        if re.search(r"\b(drop|reject)\b", line) and "policy" not in line and "ct state invalid" not in line:
            return [(number, f"a drop stands before the SSH accept of line {ssh}")]
    return []
