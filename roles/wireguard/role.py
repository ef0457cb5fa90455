"""What the mesh derives for one host: its peers, their addresses, and one preshared key a pair.

Who peers with whom:
- two hosts that can be reached: directly;
- a host behind NAT has one peer, the hub, which routes to all others; the others reach it through the hub;
- where every host shall go through the hub, they all say `wireguard_nat: true`.

A member is plain data: {"name", "address", "mesh", "nat", "endpoint", "key", "routes", "exit"}.
"""

import base64
import hashlib
import hmac
import ipaddress

from swarmops.model.secrets import Secret


def vars(context):
    own, mesh = context.vars, context.vars["network"]["mesh"]
    members = [member(host, context.peers) for host in context.hosts_of("wireguard")]
    me = next(m for m in members if m["name"] == context.host.name)
    hub = mesh["hub"] or ""
    if wrong := problems(members, hub):
        raise ValueError("; ".join(wrong))
    network = ipaddress.ip_network(str(mesh["range"]))

    def psk(one, other):
        return Secret("wireguard.mesh", pair_key(str(own["mesh_secret"]), one, other))

    peers = peers_of(me, members, hub, int(own["keepalive"]), psk, own["port"])
    return {
        "own_key": me["key"],
        "mesh_cidr": f"{me['mesh']}/{network.prefixlen}",
        "peers_wanted": peers,
        "peer_addresses": {p["name"]: p["allowed"][0].split("/")[0] for p in peers},
        "routes": [a for p in peers for a in p["allowed"] if outside(a, network)],
        "is_hub": me["name"] == hub,
        # A caller behind NAT comes from an address that nobody knows beforehand.
        "tunnel_from": ["any"] if me["name"] == hub and any(m["nat"] for m in members) else ["wireguard"],
    }


def member(host, keys):
    """A host of the role as plain data."""
    return {
        "name": host.name,
        "address": host.address,
        "mesh": host.mesh_address,
        "nat": bool(host.vars["wireguard_nat"]),
        "endpoint": host.vars["wireguard_endpoint"],
        "key": keys.get(host.name, ""),
        "routes": list(host.vars["mesh_routes"]) if "mesh_routes" in host.vars else [],
        "exit": "mesh_exit" in host.vars and host.vars["mesh_exit"] is True,
    }


def outside(allowed, mesh):
    """Whether a peer's address needs a route of its own; /0 is left to the host's owner."""
    network = ipaddress.ip_network(allowed)
    return network.prefixlen > 0 and (network.version != mesh.version or not network.subnet_of(mesh))


def peers_of(me, members, hub, keepalive, psk, port):
    """The [Peer] entries for `me`, those with a known key only, in the order of the inventory."""
    others = [m for m in members if m["name"] != me["name"]]
    near = [m for m in others if direct(me, m, hub)]
    far = [m for m in others if m not in near]
    found = []
    for other in near:
        if not other["key"]:
            continue
        through = [other, *(far if other["name"] == hub else [])]
        allowed = [host_route(m["mesh"]) for m in through]
        allowed += [str(route) for m in through for route in m["routes"]]
        found.append(
            {
                "name": other["name"],
                "key": other["key"],
                "psk": psk(me["name"], other["name"]),
                "allowed": allowed,
                "endpoint": "" if other["nat"] else endpoint(other, port),
                # Behind NAT it holds the way open. Elsewhere it makes a host that was restarted call its peers at
                # once; they would go on using the dead session for 15 s.
                "keepalive": None if other["nat"] else keepalive,
                "exit": any(m["exit"] for m in through),
            }
        )
    return found


def direct(me, other, hub):
    """Whether two hosts speak without a third between them."""
    if hub in (me["name"], other["name"]):
        return True
    return not me["nat"] and not other["nat"]


def endpoint(member, port):
    """address:port, an IPv6 address in brackets."""
    if member["endpoint"]:
        return member["endpoint"]
    address = member["address"]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def host_route(address):
    return f"{address}/128" if ":" in address else f"{address}/32"


def pair_key(secret, one, other):
    """The preshared key of a pair: the same on both sides, and unchanged when other hosts come or go."""
    pair = "\0".join(sorted((one, other))).encode()
    return base64.b64encode(hmac.new(secret.encode(), pair, hashlib.sha256).digest()).decode()


def problems(members, hub):
    """What makes a mesh impossible, as sentences."""
    names = {m["name"]: m for m in members}
    found = []
    behind = [m["name"] for m in members if m["nat"]]
    if hub and hub not in names:
        found.append(f"network.mesh.hub is '{hub}', which is no host of the role wireguard")
    if behind and not hub:
        found.append(f"{', '.join(behind)} cannot be connected to: name a hub in network.mesh.hub")
    if hub in behind:
        found.append(f"the hub {hub} must be reachable, it says wireguard_nat")
    for member in members:
        if not member["mesh"]:
            found.append(f"{member['name']} has no mesh_address")
    seen = {}
    for member in members:
        if member["key"] and member["key"] in seen:
            found.append(f"{member['name']} has the same public key as {seen[member['key']]}: was it cloned?")
        seen.setdefault(member["key"], member["name"])
    return found
