"""What the base role derives: the names of all hosts for /etc/hosts."""

import ipaddress


def vars(context):
    domain = context.vars["hosts_domain"]
    hosts = [(host.name, host.address, host.mesh_address) for host in context.hosts]
    return {"hosts_lines": hosts_lines(hosts, domain)}


def hosts_lines(hosts, domain):
    """Lines of /etc/hosts, one for each (name, address, mesh address). Hosts that are known by name only are left
    to DNS, except for their mesh address. `redis-1.mesh` is always the address inside the tunnel."""
    lines = []
    for name, address, mesh in hosts:
        if is_address(address):
            names = [name] if "." in name or not domain else [name, f"{name}.{domain}"]
            lines.append(f"{address} {' '.join(names)}")
        if mesh:
            lines.append(f"{mesh} {name}.mesh")
    return lines


def is_address(text):
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
