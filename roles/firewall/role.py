"""What the firewall derives: one rule set from the `ports` of all roles of this host.

`openings` are plain data, one for each entry of a role's `ports` that holds on this host:

    {"role": "redis", "name": "redis", "port": 6379, "proto": "tcp", "sources": ["10.0.0.2/32"], "via": "any"}

`sources` are addresses or networks; ["any"] opens the port to everybody, which the rule set says in so many words.
"""

import ipaddress

ANY = "any"


def vars(context):
    return derive(list(context.reach), context.vars.__getitem__)


def derive(openings, value):
    """All that the templates use. `value(name)` gives one of the role's variables."""
    controllers = networks(value("controllers") or [])
    if not controllers:
        raise ValueError("nobody may reach SSH: name at least one address in network.controllers")
    port, mesh = int(value("ssh_port")), mesh_of(value("network"), value("mesh_interface"))
    openings = [{"role": "ssh", "name": "ssh", "port": port, "proto": "tcp", "sources": controllers}, *openings]
    return {
        "ssh_rules": [f'{line} comment "ssh"' for line in nft_lines(openings[0], mesh)],
        "spoofed": spoofed(mesh),
        "rules": groups(openings[1:], mesh),
        "forward_rules": forward(mesh, value("inventory_hostname")),
        "ufw_rules": ufw(openings, 4, mesh),
        "ufw6_rules": ufw(openings, 6, mesh),
    }


def mesh_of(network, interface):
    """{interface, range, hub} of the tunnel, or None where there is none."""
    mesh = network.get("mesh") or {}
    if mesh.get("mode") not in ("wireguard", "tailscale"):
        return None
    if mesh["mode"] == "tailscale":
        return {"interface": "tailscale0", "range": "100.64.0.0/10", "hub": None}
    return {"interface": interface, "range": mesh.get("range"), "hub": mesh.get("hub")}


def spoofed(mesh):
    """Who claims a mesh address outside of the tunnel is an impostor."""
    if not mesh or not mesh["range"]:
        return []
    return [f'iifname != "{mesh["interface"]}" ip saddr {mesh["range"]} counter drop']


def forward(mesh, host):
    """The hub passes packets from peer to peer; nobody else forwards anything."""
    if not mesh or mesh["hub"] != host:
        return []
    return [f'iifname "{mesh["interface"]}" oifname "{mesh["interface"]}" accept comment "mesh hub"']


def groups(openings, mesh=None):
    """The rules role by role, in the order of the roles, each with its title."""
    found = {}
    for opening in openings:
        lines = found.setdefault(opening["role"], [])
        lines += [line for line in nft_lines(opening, mesh) if line not in lines]
    return [{"title": role, "lines": lines} for role, lines in found.items() if lines]


def nft_lines(opening, mesh=None):
    """The accept rules of one opening: one for IPv4, one for IPv6, only where there are sources."""
    what = f"{opening['proto']} dport {opening['port']} accept"
    where = ""
    if opening.get("via") == "mesh":
        if not mesh:
            return []
        where = f'iifname "{mesh["interface"]}" '
    if ANY in opening["sources"]:
        return [where + what]
    lines = []
    for word, version in (("ip", 4), ("ip6", 6)):
        sources = [n for n in networks(opening["sources"]) if n.version == version]
        if sources:
            lines.append(f"{where}{word} saddr {nft_set(sources)} {what}")
    return lines


def nft_set(sources):
    names = [shown(n) for n in sources]
    return names[0] if len(names) == 1 else "{ " + ", ".join(names) + " }"


def networks(sources):
    """Addresses and networks as networks: sorted, and none inside another (nft refuses overlaps)."""
    found = {s if hasattr(s, "version") else ipaddress.ip_network(str(s)) for s in sources}
    kept = []
    for network in sorted(found, key=lambda n: (n.version, n.network_address, n.prefixlen)):
        last = kept[-1] if kept else None
        if not (last and last.version == network.version and network.subnet_of(last)):
            kept.append(network)
    return kept


def shown(network):
    """10.0.0.2 rather than 10.0.0.2/32."""
    alone = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if alone else str(network)


def ufw(openings, version, mesh=None):
    """The same rules in ufw's user.rules (4) or user6.rules (6): allows only, SSH first; the default drops the rest."""
    chain = "ufw-user-input" if version == 4 else "ufw6-user-input"
    anywhere = "0.0.0.0/0" if version == 4 else "::/0"
    found = []
    for opening in openings:
        if opening.get("via") == "mesh" and not mesh:
            continue
        inside = mesh["interface"] if opening.get("via") == "mesh" else ""
        proto, port = opening["proto"], str(opening["port"]).replace("-", ":")
        sources = (
            [anywhere]
            if ANY in opening["sources"]
            else [shown(n) for n in networks(opening["sources"]) if n.version == version]
        )
        for source in sources:
            match = (f" -i {inside}" if inside else "") + f" -p {proto} --dport {port}"
            match += "" if source == anywhere else f" -s {source}"
            end = f"in_{inside}" if inside else "in"
            rule = {
                "tuple": f"### tuple ### allow {proto} {port} {anywhere} any {source} {end}",
                "line": f"-A {chain}{match} -j ACCEPT",
            }
            if rule not in found:
                found.append(rule)
    return found
