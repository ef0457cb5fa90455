"""What the coordinator derives from the inventory: who may ask it, and which nodes and services it watches."""

from swarmops.planning.filters import size
from swarmops.planning.https import checked_as, secured
from swarmops.planning.services import GRANTS, LOOPBACK, addresses, placed, reached, service, tokens, url

HTTP = ("coordinator", "frontend", "npu", "ai", "browser", "shell")  # roles with a health path
TIMES = ("heartbeat", "grace", "silent", "lease")


def vars(context):
    own, tls = context.vars, secured(context)
    found = service(context, tls)
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
        "agents": times(own["agents"]),
        **files(tls),
    }
    # As root on the host, or as the user who deployed: with their own way to the files that the unit is handed.
    asks = ["/usr/bin/env", f"SWARMOPS_RUNTIME={own['paths']['config']}/runtime.json", *own["program"]]
    return {**found, **tls, "config": config, "tokens": tokens(context, GRANTS), "asks": asks}


def times(said):
    if unknown := [name for name in said if name not in TIMES]:
        raise ValueError(f"agents has no '{unknown[0]}' (known: {', '.join(TIMES)})")
    return dict(said)


def files(tls):
    """Its certificate, and whose it trusts where it looks at other coordinators: files beside the configuration."""
    found = {"tls": {"cert": "coordinator.crt", "key": "coordinator.key"}} if tls["tls_cert"] else {}
    return found | ({"ca": "coordinator-ca.crt"} if tls["tls_ca"] else {})


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
            tls = role == "coordinator" and bool(theirs["coordinator_tls"])
            where = url(reached(context, host, role), theirs[f"{role}_port"], theirs[f"{role}_path"], tls=tls)
            alone = len([r for r in host.roles if r in HTTP]) == 1
            name = host.name if alone else f"{host.name}-{role}"
            known = checked_as(host, role) if tls else ""
            told = {"name": name, "role": role, "node": host.name, "url": where}
            found.append(told | ({"server_name": known} if known else {}))
    return found
