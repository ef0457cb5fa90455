"""What the redis role derives: where it listens, who copies whom, and the hashes of its users' passwords."""

import hashlib
import ipaddress

from swarmops.planning.certificates import issued

LOOPBACK = "127.0.0.1"
USERS = ("admin", "app", "health", "backup", "replica")


def vars(context):
    own = context.vars
    refuse(own)
    primary = str(own["primary"])
    fleet = {host.name: host for host in context.hosts_of("redis")}
    if primary and primary not in fleet:
        raise ValueError(f"redis_primary is '{primary}', which is no host of the role redis")
    if primary == context.host.name:
        raise ValueError("redis_primary names the host itself")
    replicas = [name for name, host in fleet.items() if str(host.vars["redis_primary"]) == context.host.name]
    mesh = own["network"]["mesh"]["mode"] == "wireguard" and context.host.mesh_address
    passwords = {user: known(context, user) for user in USERS}
    listening = addresses(context, own)
    return {
        "listen_addresses": listening,
        "listens_lan": any(not a.startswith("-") for a in listening),
        "listens_mesh": any(a.startswith("-") for a in listening),
        "replicas": replicas,
        "replicated": bool(primary or replicas),
        "replicas_wanted": in_step(own["min_replicas"], replicas),
        "primary_address": reached(context.host, fleet[primary]) if primary else "",
        "mesh_unit": "swarmops-wg0.service" if mesh else "",
        "hashes": {user: " ".join(hashed(p) for p in both) for user, both in passwords.items()},
        "health_passwords": passwords["health"],
        **(here(context) if own["rootless"] else {"reads_apart": True, "knows_vectors": False}),
        **(certificates(context, own) if own["tls"] else {}),
    }


def here(context):
    """Without root: the server that this machine has. Redis before 7.0 knows no rights to read alone."""
    from swarmops.runtime.client.embedded import find
    from swarmops.runtime.errors import Invalid

    try:
        found = find()
    except Invalid as e:
        raise ValueError(str(e)) from None
    if found.note:
        context.note(f"Redis {found.version} {found.note}")
    own = context.vars
    return {
        "argv": [found.path, f"{own['folder']}/redis.conf"],
        "environment": {},
        "drain": 30,
        "reads_apart": int(found.version.split(".")[0]) >= 7,
        "knows_vectors": int(found.version.split(".")[0]) >= 8,
    }


def certificates(context, own):
    """This host's certificate by the deployment's CA."""
    host = context.host
    names = [LOOPBACK, host.address, host.mesh_address, host.name, f"{host.name}.mesh", "localhost"]
    return {**issued(context.store, own["ca"], host.name, names), "tls_address": LOOPBACK}


def known(context, user):
    """The password of a user, and the one before while it is being rotated: both are let in."""
    now = context.vars[f"{user}_password"]
    before = context.store.previous(f"redis.{user}")
    return [now, *([before] if before else [])]


def hashed(password):
    """As users.acl wants it."""
    text = password.open() if hasattr(password, "open") else str(password)
    return "#" + hashlib.sha256(text.encode()).hexdigest()


def refuse(own):
    """What would lose the swarm's state (S3-56, case 47)."""
    policy = own["maxmemory_policy"]
    if policy != "noeviction":
        raise ValueError(f"maxmemory_policy {policy} may drop queues and leases: this Redis needs noeviction")
    lines = [str(line).split() for line in own["save"]]
    if any(len(line) != 2 or not all(word.isdigit() for word in line) for line in lines):
        raise ValueError('each save line is "SECONDS CHANGES", one pair a line')


def addresses(context, own):
    """The addresses besides loopback (S0-04, S0-10). The one in the tunnel may come later: it gets a `-`."""
    host, listen = context.host, own["listen"]
    if listen not in ("auto", "lan", "mesh", "both", "loopback"):
        raise ValueError(f"listen is '{listen}', known: auto, lan, mesh, both, loopback")
    if own["deployment"]["mode"] == "local":
        return []
    if listen == "auto":
        listen = "mesh" if own["deployment"]["tier"] == "internet" and host.mesh_address else "both"
    found = []
    if listen in ("lan", "both") and not is_loopback(host.address):
        if is_public(host.address) and not ("redis" in own["security"]["public"] and own["tls"]):
            hint = "listen on the mesh, or name redis in security.public and turn TLS on"
            raise ValueError(f"{host.address} is a public address ({hint})")
        found.append(host.address)
    if listen in ("mesh", "both") and host.mesh_address and own["network"]["mesh"]["mode"] != "none":
        found.append("-" + host.mesh_address)
    if listen == "mesh" and not host.mesh_address:
        raise ValueError("listen is mesh, but this host has no mesh_address")
    return found


def in_step(wanted, replicas):
    """How many replicas must be in step for a write. With a single one, a guard would only make its reboot an outage:
    nothing else could take over, so nothing could be lost to two primaries."""
    return (1 if len(replicas) > 1 else 0) if wanted == "auto" else int(wanted)


def reached(here, there):
    """The address by which one host reaches another: through the tunnel where both have one."""
    return there.mesh_address if here.mesh_address and there.mesh_address else there.address


def is_loopback(text):
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return text == "localhost"


def is_public(text):
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False
