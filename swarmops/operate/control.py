"""Start, stop and restart services, host by host in the order of a deploy, and look whether it is so."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swarmops.model.project import Project
from swarmops.operate import remote
from swarmops.operate.units import SYSTEMD, Unit

VERBS = {"start": "started", "stop": "stopped", "restart": "restarted"}


@dataclass(frozen=True)
class Done:
    """What became of one service. code: 0 it is so, 1 it is not, 3 the host is out of reach."""

    unit: Unit
    text: str
    code: int


def control(project: Project, verb: str, wanted: Sequence[Unit]) -> Iterator[Done]:
    """Start, stop or restart these; what starts last stops first. Hosts one after the other, so that a role with
    several hosts is never away as a whole."""
    order = list(reversed(wanted)) if verb == "stop" else list(wanted)
    for host in dict.fromkeys(u.host for u in order):
        yield from _on_host(project, verb, [u for u in order if u.host == host])


def _on_host(project: Project, verb: str, units: list[Unit]) -> Iterator[Done]:
    script = "; ".join(_script(verb, unit) for unit in units)
    told: dict[str, tuple[int, str]] = {}
    for said in remote.run(project, {units[0].host: script}):
        if said.code == 3 and not told:
            yield from (Done(unit, said.text, 3) for unit in units)
            return
        mark, _, rest = said.text.partition(" ")
        number, _, text = rest.partition(" ")
        if mark.startswith("unit:") and number.isdigit():
            told[mark[5:]] = (int(number), text)
    for unit in units:
        code, text = told.get(unit.name, (1, "the host did not say how it went"))
        yield Done(unit, VERBS[verb] if code == 0 else text or f"exit code {code}", min(code, 1))


def _script(verb: str, unit: Unit) -> str:
    """A script that says `unit:NAME CODE WORDS`; words are the last line of what the service manager said."""
    name = shlex.quote(unit.name)
    manager = "systemctl" if unit.manager == SYSTEMD else unit.control
    lines = [f"w=$({manager} {verb} {name} 2>&1); c=$?"]
    if verb != "stop" and unit.manager == SYSTEMD:  # a service without a readiness message may have ended by now
        lines.append(f'if [ $c = 0 ] && ! systemctl is-active -q {name}; then c=1; w="it ended at once"; fi')
    lines.append(f"""printf 'unit:%s %s %s\\n' {name} "$c" "$(printf %s "$w" | tail -n 1)\"""")
    return "; ".join(lines)
