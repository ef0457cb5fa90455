"""What reaches a host: from here, and inside the tunnel (S4-10)."""

from __future__ import annotations

from swarmops.model import local
from swarmops.model.inventory import Host


def address(host: Host) -> str:
    """What the host is reached by from the controller: `ansible_host`, else its name; loopback where it is rootless."""
    if local.is_rootless(host):
        return local.LOOPBACK
    return str(host.vars.get("ansible_host") or host.name)


def mesh_address(host: Host) -> str | None:
    """The host's address inside the tunnel: its variable `mesh_address`, without a prefix length. None where it is
    rootless: a tunnel needs root."""
    value = None if local.is_rootless(host) else host.vars.get("mesh_address")
    return str(value).split("/")[0] if value else None
