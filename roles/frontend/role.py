"""What the frontend derives: where its page finds the coordinator."""

from swarmops.planning.https import checked_as
from swarmops.planning.services import LOOPBACK, addresses, placed, service, url


def vars(context):
    found, own = service(context), context.vars
    config = {"bind": found["bind"], "port": own["port"], "coordinator": own["coordinator"] or coordinator(context)}
    return {**found, "config": config}


def coordinator(context):
    """The coordinator as browsers reach it, which stand where the operator stands: on the LAN where there is one."""
    known = placed(context, "coordinator")
    if not known:
        raise ValueError("no host has the role coordinator (say frontend_coordinator: http://HOST:PORT)")
    first = known[0]
    address = checked_as(first, "coordinator") or [*addresses(first, "coordinator").values(), LOOPBACK][0]
    return url(address, first.vars["coordinator_port"], tls=bool(first.vars["coordinator_tls"]))
