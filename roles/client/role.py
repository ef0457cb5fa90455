"""The environment of clients: every service's host and port, written once in distributed.yaml (S4-12)."""

NAMES = {  # service -> its name in the environment; others are called as they are
    "coordinator": "BACKEND",
    "npu": "NPU_WORKER",
    "ai": "AI_STACK",
    "browser": "BROWSER_SERVICE",
}
LOOPBACK = "127.0.0.1"


def vars(context):
    own = context.vars
    redis = redis_of(context)
    settings = {"AUTOBOT_DEPLOYMENT_MODE": own["deployment"]["mode"]}
    for service, what in own["services"].items():
        if "port" in what:
            settings.update(endpoint(context, service, what["port"]))
    settings.update(
        {
            "REDIS_HOST": redis["host"],
            "REDIS_PORT": redis["port"],
            "REDIS_USERNAME": own["redis_user"],
            "REDIS_PASSWORD_FILE": own["password_file"],
        }
        if redis
        else {}
    )
    settings.update({str(key): value for key, value in own["env"].items()})
    for key in settings:
        if not key.isidentifier() or not key.isascii():
            raise ValueError(f"'{key}' is not a name for an environment variable")
    return {
        "settings": settings,
        "redis_host": redis["host"] if redis else "",
        "redis_port": redis["port"] if redis else 6379,
    }


def endpoint(context, service, port):
    """HOST and PORT of a service; HOSTS too where there are several (S4-41)."""
    name = NAMES.get(service, service.upper().replace("-", "_"))
    if service == "vnc":
        return {f"AUTOBOT_{name}_PORT": port}
    if service == "redis" and (redis := redis_of(context)):
        hosts = redis["hosts"]
    else:
        # Who runs it: the hosts of the role of this name, or of the group; else it is on this host's own loopback,
        # such as Ollama.
        runs = context.hosts_of(service) if service in context.vars["infrastructure"] else []
        runs = runs or [host for host in context.hosts if service in host.groups]
        hosts = [address(context, host) for host in runs] or [LOOPBACK]
    found = {f"AUTOBOT_{name}_HOST": hosts[0], f"AUTOBOT_{name}_PORT": port}
    if len(hosts) > 1:
        found[f"AUTOBOT_{name}_HOSTS"] = ",".join(hosts)
    return found


def address(context, host):
    """How this host reaches another one: on loopback where the mode says so, else over the LAN."""
    mode = context.vars["deployment"]["mode"]
    alone = mode == "local" or (mode == "hybrid" and host.name == context.host.name)
    return LOOPBACK if alone else host.address


def redis_of(context):
    """Where the primary Redis listens for this host: the LAN where it does, else the tunnel."""
    if "redis" not in context.vars["infrastructure"]:
        return None
    hosts = context.hosts_of("redis")
    first = sorted(hosts, key=lambda host: bool(host.vars["redis_primary"]))
    if not first:
        return None
    found = []
    for host in first:
        listening = list(host.vars["redis_listen_addresses"])
        here = host.name == context.host.name
        named = [a.lstrip("-") for a in listening]
        found.append(LOOPBACK if here or not named else named[0])
    return {"host": found[0], "hosts": found, "port": first[0].vars["redis_port"]}
