"""Who collects the journals, how it is reached, and this host's certificate for it."""

from swarmops.model.secrets import Secret
from swarmops.planning.certificates import leaf, public_part


def vars(context):
    own, host = context.vars, context.host
    name = str(own["collector"]) or next((h.name for h in context.hosts_of("coordinator")), "")
    collector = next((h for h in context.hosts_of("journal") if h.name == name), None)
    if collector is None:
        said = f"'{name}' is no host of the role journal" if name else "there is no coordinator"
        raise ValueError(f"who collects the journals? {said} (set journal_collector)")
    names = [host.address, host.mesh_address, host.name, "localhost"]
    key, certificate = leaf(str(own["ca"]), host.name, tuple(dict.fromkeys(n for n in names if n)))
    tunnel = host.mesh_address and collector.mesh_address
    return {
        "collects": collector.name == host.name,
        "way": "mesh" if tunnel else "lan",
        "collector_address": collector.mesh_address if tunnel else collector.address,
        "journal_ca": public_part(str(own["ca"])),
        "journal_cert": certificate,
        "journal_key": Secret("tls.ca", key),
    }
