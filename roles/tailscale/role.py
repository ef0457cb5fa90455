"""The Tailscale policy: grants from the roles' ports, and tests that say what must and must not pass.

Hosts are known by tags, one for each role of `infrastructure`. What no grant names is denied.
"""


def vars(context):
    own = context.vars
    prefix, roles = own["tag_prefix"], list(own["infrastructure"])
    openings = [plain(o) for o in context.openings if o["role"] in roles and o["role"] != "tailscale"]
    members = [host.name for host in context.hosts_of("tailscale")]
    addresses = {host.name: host.mesh_address for host in context.hosts if host.mesh_address}
    return {
        "holds_policy": bool(members) and context.host.name == members[0],
        "own_tags": [tag(prefix, role) for role in roles if role in context.host.roles],
        "policy": policy(prefix, roles, openings, own["tag_owners"], int(own["base_ssh_port"]), addresses),
    }


def plain(opening):
    return {key: opening[key] for key in ("role", "port", "proto", "from")}


def tag(prefix, role):
    return f"tag:{prefix}-{role.replace('_', '-')}"


def policy(prefix, roles, openings, owners, ssh_port, addresses):
    """The whole policy as data."""
    controller = tag(prefix, "controller")
    tags = {role: tag(prefix, role) for role in roles}
    grants = [{"src": [controller], "dst": list(tags.values()), "ip": [f"tcp:{ssh_port}"]}]
    for opening in openings:
        grant = {
            "src": sources(opening["from"], tags, controller, addresses),
            "dst": [tags[opening["role"]]],
            "ip": [f"{opening['proto']}:{opening['port']}"],
        }
        if grant["src"] and grant not in grants:
            grants.append(grant)
    made = {
        "tagOwners": {name: list(owners) for name in sorted({controller, *tags.values()})},
        "hosts": {n: a for n, a in addresses.items() if any(n in g["src"] for g in grants)},
        "grants": grants,
        "tests": tests(grants, [controller, *tags.values()]),
    }
    return made


def sources(names, tags, controller, addresses):
    """The words of `from` as selectors; a word that means nothing in a tailnet (subnet) lets nobody in."""
    known = {**tags, "controller": controller, "mesh": "autogroup:tagged", "any": "*"}
    found = [known.get(name) or (name if name in addresses else None) for name in names]
    return [selector for selector in found if selector]


def tests(grants, tags):
    """For each tag: every door of every destination, as accepted or as denied."""
    doors = sorted(
        {
            (dst, *door.split(":"))
            for g in grants
            for dst in g["dst"]
            for door in g["ip"]
            if "-" not in door.split(":")[1]
        }
    )
    found = []
    for src in tags:
        for proto in sorted({p for _, p, _ in doors}):
            lists = {"accept": [], "deny": []}
            for dst, kind, port in doors:
                if kind == proto:
                    verb = "accept" if passes(grants, src, dst, f"{proto}:{port}") else "deny"
                    lists[verb].append(f"{dst}:{port}")
            entry = {"src": src, "proto": proto, **{verb: places for verb, places in lists.items() if places}}
            found.append(entry)
    return found


def passes(grants, src, dst, door):
    wide = {src, "*", "autogroup:tagged"}
    return any(wide & set(g["src"]) and dst in g["dst"] and door in g["ip"] for g in grants)
