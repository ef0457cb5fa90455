"""What the frontend derives: where its page finds the coordinator."""

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
    address = [*addresses(known[0], "coordinator").values(), LOOPBACK][0]
    return url(address, known[0].vars["coordinator_port"])
