"""The environment of clients: every service's host and port, written once in distributed.yaml (S4-12)."""

from swarmops.planning.certificates import issued

NAMES = {  # service -> its name in the environment; others are called as they are
    "coordinator": "BACKEND",
    "npu": "NPU_WORKER",
    "ai": "AI_STACK",
    "browser": "BROWSER_SERVICE",
}
LOOPBACK = "127.0.0.1"


def vars(context):
    own = context.vars
    redis = redis_of(context) if let_in(context) else None
    settings = {"AUTOBOT_DEPLOYMENT_MODE": own["deployment"]["mode"]}
    for service, what in own["services"].items():
        default = f"{service.replace('-', '_')}_port"  # a role's own, where distributed.yaml names none
        port = what.get("port") or own.get(default)
        if port:
            settings.update(endpoint(context, service, port))
    if redis:
        settings.update(connection(own, redis))
    settings.update({str(key): value for key, value in own["env"].items()})
    for key in settings:
        if not key.isidentifier() or not key.isascii():
            raise ValueError(f"'{key}' is not a name for an environment variable")
    return {
        "settings": settings,
        "redis_host": redis["host"] if redis else "",
        "redis_port": redis["port"] if redis else 6379,
        "redis_tls": bool(redis and redis["tls"]),
        "runtime": runtime(own, redis) if redis else {},
        "password_changes": bool(redis and context.store.previous("redis.app")),
        **(certificates(context, own) if redis and redis["tls"] else {}),
    }


def connection(own, redis):
    """How a client connects to the primary Redis. The password is in a file, never in the environment."""
    found = {
        "REDIS_HOST": redis["host"],
        "REDIS_PORT": redis["port"],
        "REDIS_USERNAME": own["redis_user"],
        "REDIS_PASSWORD_FILE": own["password_file"],
    }
    if redis["tls"]:
        folder = own["tls_folder"]
        found["REDIS_TLS"] = "true"
        found.update(
            {
                f"REDIS_{n}": f"{folder}/{f}"
                for n, f in (("CA", "ca.crt"), ("CERT", "client.crt"), ("KEY", "client.key"))
            }
        )
    return found


def runtime(own, redis):
    """runtime.json, as programs of the runtime read it. Files are named by where they lie beside it."""
    patience = own["performance"]
    host = f"[{redis['host']}]" if ":" in redis["host"] else redis["host"]
    found = {
        "url": f"{'rediss' if redis['tls'] else 'redis'}://{own['redis_user']}@{host}:{redis['port']}/0",
        "password_file": beside(own, own["password_file"]),
        "namespace": own["namespace"],
        "connect_timeout": patience["redis_connection_timeout"],
        "timeout": patience["redis_operation_timeout"],
        "heartbeat": patience["heartbeat_interval"],
    }
    if redis["tls"]:
        names = {"ca": "ca.crt", "cert": "client.crt", "key": "client.key"}
        found |= {key: beside(own, f"{own['tls_folder']}/{name}") for key, name in names.items()}
    return found


def beside(own, path):
    """A file's name where it lies beside runtime.json, else its whole path."""
    folder, _, name = str(path).rpartition("/")
    return name if folder == str(own["runtime_file"]).rpartition("/")[0] else str(path)


def certificates(context, own):
    """This host's certificate as a client of Redis."""
    name = context.host.name
    return issued(context.store, own["ca"], f"client {name}", [name])


def endpoint(context, service, port):
    """HOST and PORT of a service; HOSTS too where there are several (S4-41)."""
    name = NAMES.get(service, service.upper().replace("-", "_"))
    if service in ("vnc", "redisinsight"):  # on their hosts' loopback
        return {f"AUTOBOT_{name}_PORT": port}
    if service == "redis" and (redis := redis_of(context)):
        hosts, port = redis["hosts"], redis["port"]
    else:
        # Who runs it: the hosts of the role of this name, or of the group; else it is on this host's own loopback,
        # such as Ollama.
        runs = context.hosts_of(service) if service in context.vars["infrastructure"] else []
        runs = runs or [host for host in context.hosts if service in host.groups]
        hosts = [address(context, host) for host in runs] or [LOOPBACK]
    found = {f"AUTOBOT_{name}_HOST": hosts[0], f"AUTOBOT_{name}_PORT": port}
    if service == "coordinator" and runs and runs[0].vars.get("coordinator_tls"):
        found[f"AUTOBOT_{name}_TLS"] = "true"
    if len(hosts) > 1:
        found[f"AUTOBOT_{name}_HOSTS"] = ",".join(hosts)
    return found


def address(context, host):
    """How this host reaches another one: on loopback where the mode says so, else over the LAN, or in the tunnel
    where there is no other way."""
    mode = context.vars["deployment"]["mode"]
    if mode == "local" or (mode == "hybrid" and host.name == context.host.name):
        return LOOPBACK
    tunnel = host.mesh_address and (behind_nat(context.host) or behind_nat(host)) and host.name != context.host.name
    return host.mesh_address if tunnel else host.address


def behind_nat(host):
    """Nobody can connect to such a host, and others do not see it by its own address: its way is the tunnel."""
    return "wireguard" in host.roles and bool(host.vars["wireguard_nat"])


def let_in(context):
    """Whether Redis' firewall opens for this host: if not, it is given neither the way nor the password (S4-33)."""
    if "redis" in context.host.roles:
        return True
    mine = set(context.host.addresses.values())
    sources = {s.split("/")[0] for o in context.openings_of("redis") for s in o["sources"]}
    return bool(sources & (mine | {"any"}))


def redis_of(context):
    """Where the Redis hosts listen for this host, the primary first: on the LAN where they do, else in the tunnel."""
    if "redis" not in context.vars["infrastructure"]:
        return None
    hosts = sorted(context.hosts_of("redis"), key=lambda host: bool(host.vars["redis_primary"]))
    if not hosts:
        return None
    found = [door(host, context.host) for host in hosts]
    address, on_lan = found[0]
    first = hosts[0].vars
    return {
        "host": address,
        "hosts": [a for a, _ in found],
        "port": first["redis_lan_port" if on_lan else "redis_port"],
        "tls": on_lan and bool(first["redis_tls"]),  # loopback and the tunnel need none
    }


def door(host, mine):
    """(address, whether it is on the LAN) of a Redis host. Addresses in the tunnel are written with a `-`."""
    listening = list(host.vars["redis_listen_addresses"])
    if behind_nat(mine) or behind_nat(host):
        listening = [a for a in listening if a.startswith("-")] or listening
    if host.name == mine.name or not listening:
        return LOOPBACK, False
    return listening[0].lstrip("-"), not listening[0].startswith("-")
