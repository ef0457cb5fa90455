"""systemd units and drop-ins: `systemd-analyze verify`, where any word said is a fault.

It exits 0 on an unknown key and merely says that it ignores it, so its exit code is no judge. Left aside is
only what cannot be known here: programs and units that exist on the host and not on this machine.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from swarmops.planning.validators import Finding, Result, write_private

TOOLS = {"systemd-analyze": "systemd units"}
FOLDER = PurePosixPath("/etc/systemd/system")
KINDS = (".service", ".timer", ".socket", ".path", ".target", ".mount", ".slice")
_NOT_HERE = re.compile(
    r"is not executable: No such file"
    r"|Failed to (?:add dependency on|load) \S+.*(?:No such file|not found)"
    r"|Unit \S+ not found"
    r"|^Cannot find unit"
    r"|Failed to open /dev/tty"
)
_SAID_AT = re.compile(r"^(\S+?):(\d+): (.*)")
# A drop-in needs a unit to drop into; this stands for the distribution's.
_STUB = {".service": "[Service]\nExecStart=/bin/true\n", ".timer": "[Timer]\nOnCalendar=daily\n"}


def validate(files, tools) -> list[Finding]:
    units = {_place(f.path): f for f in files if _place(f.path)}
    if not units:
        return []
    analyze = tools.find("systemd-analyze", "systemd units are")
    if analyze is None:
        return []
    key = ("systemd", tuple(sorted((place, f.sha) for place, f in units.items())))
    said = tools.once(key, lambda: _judge(analyze, {p: tools.text(f) for p, f in units.items()}, tools))
    return [(units[place], line, sentence) for place, line, sentence in said]


def _place(path: str) -> str:
    """The path below /etc/systemd/system, or "" when it is not a unit's."""
    here = PurePosixPath(path)
    if FOLDER not in here.parents:
        return ""
    below = here.relative_to(FOLDER)
    if len(below.parts) == 1 and below.suffix in KINDS:
        return str(below)
    dropped = len(below.parts) == 2 and below.parts[0].endswith(tuple(k + ".d" for k in KINDS))
    return str(below) if dropped and below.suffix == ".conf" else ""


def _judge(analyze: str, texts: dict[str, str], tools) -> list[tuple[str, int, str]]:
    with tools.scratch() as folder:
        targets = set()
        for place, text in texts.items():
            name = place.replace("@.", "@judge.")
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            write_private(path, text)
            targets.add(name.split("/")[0].removesuffix(".d"))
        for name in targets:
            stub = _STUB.get(PurePosixPath(name).suffix, "[Unit]\n")
            if not (folder / name).exists():
                write_private(folder / name, stub)
        argv = [
            analyze,
            "verify",
            "--man=no",
            "--recursive-errors=no",
            *(str(folder / t) for t in sorted(targets)),
        ]
        return _read(tools.run(argv, name="systemd-analyze"), texts, folder)


def _read(result: Result, texts: dict[str, str], folder: Path) -> list[tuple[str, int, str]]:
    found = []
    for line in result.lines:
        if _NOT_HERE.search(line):
            continue
        said = line.replace(f"{folder}/", "").replace("@judge.", "@.")
        place, number, sentence = next(iter(texts)), 0, said
        if at := _SAID_AT.match(said):
            place, number, sentence = (at[1], int(at[2]), at[3]) if at[1] in texts else (place, 0, said)
        else:
            unit = said.split(":")[0].strip()
            near = [p for p in texts if p == unit or p.startswith(unit + ".d/")]
            place = near[0] if near else place
        found.append((place, number, f"systemd-analyze: {sentence}"))
    return found
