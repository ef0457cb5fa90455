"""What the base role derives: the names of all hosts for /etc/hosts."""

import ipaddress


def vars(context):
    domain = context.vars["hosts_domain"]
    hosts = [(host.name, host.address, host.mesh_address) for host in context.hosts]
    server = context.vars["time_server"]
    known = {name: address for name, address, _ in hosts}
    if server and server not in known:
        raise ValueError(f"base_time_server is '{server}', which is no host of this inventory")
    serves = server == context.host.name
    return {
        "hosts_lines": hosts_lines(hosts, domain),
        "serves_time": serves,
        "time_sources": [*context.vars["chrony_servers"], *([known[server]] if server and not serves else [])],
        "fleet": [address for address in known.values() if is_address(address)],
    }


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
