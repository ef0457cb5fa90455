"""Mistakes that show only for some hosts: the same one on six hosts is one line that names them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from swarmops.model.faults import Faults, Mark

SHOWN = 3
HOSTS = "\0hosts\0"  # where the sentence names them


@dataclass
class HostFaults:
    """Collects by place and sentence; `flush` writes them to `Faults`."""

    found: dict[tuple[Mark, str, str, str], list[str]] = field(default_factory=dict)

    def add(self, host: str, mark: Mark, path: str, sentence: str, hint: str = "") -> None:
        """`sentence` may hold `HOSTS`; otherwise the hosts are named at its end."""
        if HOSTS not in sentence:
            sentence = f"{sentence} for {HOSTS}"
        hosts = self.found.setdefault((mark, path, sentence, hint), [])
        if host not in hosts:
            hosts.append(host)

    def flush(self, faults: Faults) -> None:
        for (mark, path, sentence, hint), hosts in self.found.items():
            faults.add(mark, path, sentence.replace(HOSTS, some(hosts)), hint)
        self.found.clear()


def some(hosts: Iterable[str]) -> str:
    """`a, b, c and 4 more`."""
    names = list(hosts)
    if len(names) <= SHOWN + 1:
        return ", ".join(names)
    return f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"


Report = Callable[[str, Mark, str, str, str], None]
