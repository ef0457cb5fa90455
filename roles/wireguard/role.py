"""What the mesh derives for one host: its peers, their addresses, and one preshared key a pair.

Who peers with whom:
- two hosts that can be reached: directly;
- a host behind NAT has one peer, the hub, which routes to all others; the others reach it through the hub;
- where every host shall go through the hub, they all say `wireguard_nat: true`.

A member is plain data: {"name", "address", "mesh", "nat", "endpoint", "key"}.
"""

import base64
import hashlib
import hmac


def vars(context):
    raise NotImplementedError


def peers_of(me, members, hub, keepalive, psk, port):
    """The [Peer] entries for `me`, those with a known key only, in the order of the inventory."""
    others = [m for m in members if m["name"] != me["name"]]
    near = [m for m in others if direct(me, m, hub)]
    far = [m for m in others if m not in near]
    found = []
    for other in near:
        if not other["key"]:
            continue
        allowed = [other["mesh"]]
        if other["name"] == hub:
            allowed += [m["mesh"] for m in far]
        found.append(
            {
                "name": other["name"],
                "key": other["key"],
                "psk": psk(me["name"], other["name"]),
                "allowed": [host_route(a) for a in allowed],
                "endpoint": "" if other["nat"] else endpoint(other, port),
                "keepalive": keepalive if me["nat"] else None,
                "exit": False,
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
