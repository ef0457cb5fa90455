"""What the coordinator derives from the inventory: who may ask it, and which nodes and services it watches."""

from swarmops.planning.filters import size
from swarmops.planning.services import GRANTS, LOOPBACK, addresses, placed, reached, service, tokens, url

HTTP = ("coordinator", "frontend", "npu", "ai", "browser")  # roles with a health path


def vars(context):
    found, own = service(context), context.vars
    config = {
        "name": context.host.name,
        "bind": found["bind"],
        "port": own["port"],
        "origins": origins(context),
        "hosts": hosts(context),
        "tokens": "coordinator-tokens.json",
        "queues": own["queues"],
        "nodes": [node(host, own["services"]) for host in context.hosts],
        "services": services(context),
        "limits": {"body": size(own["body_max"]), "rate": own["rate"]},
        "duties": own["duties"],
    }
    # As root on the host, or as the user who deployed: with their own way to the files that the unit is handed.
    asks = ["/usr/bin/env", f"SWARMOPS_RUNTIME={own['paths']['config']}/runtime.json", *own["program"]]
    return {**found, "config": config, "tokens": tokens(context, GRANTS), "asks": asks}


def origins(context):
    """The pages whose scripts may ask it (S4-35): those of role frontend, by address and by name, and the user's."""
    found = []
    for host in placed(context, "frontend"):
        names = [*addresses(host, "frontend").values(), host.name] if not rootless(host) else [LOOPBACK, "localhost"]
        found += [url(name, host.vars["frontend_port"]) for name in names]
    return [*dict.fromkeys([*found, *context.vars["origins"]])]


def rootless(host):
    return bool(host.vars["rootless"])


def hosts(context):
    """What a request may call this host (its Host header)."""
    host, own = context.host, context.vars
    mesh = [host.mesh_address, f"{host.name}.mesh"] if host.mesh_address else []
    return [*dict.fromkeys([host.address, host.name, *mesh, *own["names"], LOOPBACK, "localhost"])]


def node(host, services):
    """A host as the dashboard shows it. Its roles: those that are services, not what every host has."""
    found = {"name": host.name, "address": host.address, "roles": [r for r in host.roles if r in services]}
    return found | ({"mesh_address": host.mesh_address} if host.mesh_address else {})


def services(context):
    """What it looks at every few seconds: every host of each role (S4-41)."""
    found = []
    for role in HTTP:
        for host in placed(context, role):
            theirs = host.vars
            where = url(reached(context, host, role), theirs[f"{role}_port"], theirs[f"{role}_path"])
            alone = len([r for r in host.roles if r in HTTP]) == 1
            name = host.name if alone else f"{host.name}-{role}"
            found.append({"name": name, "role": role, "node": host.name, "url": where})
    return found
