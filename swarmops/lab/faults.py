"""What is made to go wrong between hosts, as one nftables table in the lab's bridge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from swarmops.lab.machine import run


@dataclass
class Faults:
    """What a host suffers from now. Each way: `loss` in percent, `delay` in ms. `full`: bytes left on disk."""

    cut: bool = False
    cut_from: set[str] = field(default_factory=set)
    loss: float = 0
    delay: float = 0
    paused: bool = False
    full: int | None = None

    def names(self) -> list[str]:
        """For people and for `status --json`."""
        said = ["cut"] if self.cut else []
        said += [f"cut from {other}" for other in sorted(self.cut_from)]
        said += [f"loss {self.loss:g}%"] if self.loss else []
        said += [f"delay {self.delay:g}ms"] if self.delay else []
        said += ["paused"] if self.paused else []
        return said + (["full"] if self.full is not None else [])


def rules(faults: Mapping[str, Faults], ports: Mapping[str, str], addresses: Mapping[str, str]) -> str:
    """The whole table. It names ports, not devices, so that it holds for a host that starts again."""
    into, out = [], []
    for host, fault in faults.items():
        port = ports[host]
        if fault.cut:
            into.append(f'iifname "{port}" drop')
            out.append(f'oifname "{port}" drop')
        for other in sorted(fault.cut_from):
            for one, two in ((host, other), (other, host)):
                into.append(f'iifname "{ports[one]}" ip daddr {addresses[two]} drop')
        if fault.loss:
            dropped = f"numgen random mod 10000 < {round(fault.loss * 100)} drop"
            into.append(f'iifname "{port}" {dropped}')
            out.append(f'oifname "{port}" {dropped}')
    table = "table bridge lab_faults"
    if not into and not out:
        return f"{table}\ndelete {table}\n"
    return (
        f"{table}\ndelete {table}\n{table} {{\n"
        + _chain("into", "prerouting", into)
        + _chain("out", "postrouting", out)
        + "}\n"
    )


def _chain(name: str, hook: str, lines: list[str]) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f"  chain {name} {{\n    type filter hook {hook} priority -300; policy accept;\n{body}  }}\n"


def apply(faults: Mapping[str, Faults], ports: Mapping[str, str], addresses: Mapping[str, str]) -> None:
    """Loads the table in one transaction, in the namespace this process is in."""
    run(["nft", "-f", "-"], text=rules(faults, ports, addresses))
