"""The lab's own network: a namespace with a bridge, and a second one for a stranger outside.

Nothing in here is ever joined to an interface of the machine: no packet of a lab can reach it or the world.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Sequence
from pathlib import Path

from swarmops.lab.guest import Guest, gateways, outside_network
from swarmops.lab.machine import LabError, run

BRIDGE = "lab0"


def namespace(lab: str) -> str:
    return f"swarmops-{lab}"


def outside_namespace(lab: str) -> str:
    return f"swarmops-{lab}-outside"


def machine_name(lab: str, index: int) -> str:
    """Short enough that `vb-` + it is an interface name (15 characters), and not another lab's."""
    return f"{zlib.crc32(lab.encode()) & 0xFFFFFF:06x}-{index}"


def veth(lab: str, index: int) -> str:
    """The host's end of its cable, a port of the bridge."""
    return f"vb-{machine_name(lab, index)}"


def create(lab: str, guests: Sequence[Guest]) -> None:
    """Makes both namespaces, the bridge with the controller's addresses, and the stranger's cable."""
    inside, outside = namespace(lab), outside_namespace(lab)
    for name in (inside, outside):
        run(["ip", "netns", "add", name])
        run(["ip", "-n", name, "link", "set", "lo", "up"])
    far = outside_network(guests)
    near_end, far_end = far[1], far[7]
    lines = [f"link add {BRIDGE} type bridge", f"link set {BRIDGE} up"]
    lines += [f"address add {a}/24 dev {BRIDGE}" for a in gateways(guests).values()]
    lines += [f"link add outside type veth peer name uplink netns {outside}", "link set outside up"]
    lines += [f"address add {near_end}/{far.prefixlen} dev outside"]
    run(["ip", "-n", inside, "-batch", "-"], text="\n".join(lines) + "\n")
    lines = [f"address add {far_end}/{far.prefixlen} dev uplink", "link set uplink up"]
    lines += [f"route add default via {near_end}"]
    run(["ip", "-n", outside, "-batch", "-"], text="\n".join(lines) + "\n")


def tune() -> None:
    """Settings of the namespace this process is in: route for the stranger, ask quickly for neighbours, bridge only.

    Where Docker has bridges show their frames to netfilter, a NAT would translate what passes a slow cable twice.
    """
    net = Path("/proc/sys/net")
    for shown in (net / "bridge").glob("bridge-nf-call-*"):
        shown.write_text("0")
    (net / "ipv4/ip_forward").write_text("1")
    (net / f"ipv4/neigh/{BRIDGE}/retrans_time_ms").write_text("50")


def remove(lab: str) -> None:
    """Takes both names away; the kernel ends the namespaces with their last process."""
    for name in (outside_namespace(lab), namespace(lab)):
        if Path("/run/netns", name).exists():
            with contextlib.suppress(LabError):
                run(["ip", "netns", "delete", name])
