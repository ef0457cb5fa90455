"""What the roles of services derive alike: where they listen, what they are handed, how their process is called.

A role.py of a service is one line, `return service(context)`, and what is its own. The role's `vars` say the rest: see
docs/services.md.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Mapping, Sequence
from typing import Any

from swarmops.planning.views import Context, HostView

LOOPBACK = "127.0.0.1"
LISTEN = ("auto", "lan", "mesh", "both", "loopback")
WORKERS = ("npu", "ai", "browser", "shell")
RUNTIME = "runtime.json"
GRANTS = {  # id of a token -> what it may (docs/services.md)
    "admin": ("admin",),
    "read": ("read",),
    "agent": ("agent", "read"),
    "worker": ("submit", "read"),
}
WORKER_GRANTS = {name: GRANTS[name] for name in ("admin", "read", "worker")}


def service(context: Context, tls: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The derived variables that every service's templates use. Raises ValueError in words for the user.

    tls: what `https.secured` gives, for a role that can.

    bind: addresses; listens_lan, listens_mesh: which of them others reach; folder: where the process finds its files;
    argv: its command; handed: {name: path} of those files on the host; environment; health_url: on loopback.
    """
    own = context.vars
    found = addresses(context.host, context.role)
    rootless = bool(own["rootless"])
    config = str(own["paths"]["config"])
    folder = config if rootless else "%d"  # systemd hands them over in a folder that only this unit sees
    names = [f"{context.role}.json", *([f"{context.role}-tokens.json"] if own.get("wants_tokens", True) else [])]
    if tls and tls["tls_cert"]:
        names += [f"{context.role}.{kind}" for kind in ("crt", "key")]
        names += [f"{context.role}-ca.crt"] if tls["tls_ca"] else []
    handed = {name: f"{config}/{name}" for name in names}
    environment = {"PYTHONUNBUFFERED": "1", **({} if rootless else {"PYTHONDONTWRITEBYTECODE": "1"})}
    if own.get("wants_redis", True):
        handed |= redis_files(context, config)
        environment["SWARMOPS_RUNTIME"] = f"{folder}/{RUNTIME}"
    return {
        "bind": [LOOPBACK] if rootless else [*found.values(), LOOPBACK],
        "listens_lan": "lan" in found,
        "listens_mesh": "mesh" in found,
        "argv": [*own["program"], *own["command"], "--config", f"{folder}/{context.role}.json"],
        "handed": handed,
        "environment": environment,
        "health_url": url(LOOPBACK, own["port"], own["path"], tls=bool(tls and tls["tls_cert"])),
        "handed_stamp": stamp(context) if own.get("wants_redis", True) else "",
    }


def stamp(context: Context) -> str:
    """Changes when what role client wrote does: another role's files, so no handler of this role sees it."""
    client: Any = context.host.vars
    said = [client[f"client_{name}"] for name in ("redis_host", "redis_port", "redis_tls")]
    said += [context.store.get(name).tag for name in ("redis.app", *(["tls.ca"] if said[2] else []))]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]


def worker(context: Context, derived: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A service that is a worker of the swarm. `derived`: its executor's options, over which the user's go."""
    own, found = context.vars, service(context)
    options = own["options"] or {}
    if not isinstance(options, Mapping):
        raise ValueError(f"{context.role}_options must be a map")
    config = {
        "role": context.role,
        "name": agent(context),
        "bind": found["bind"],
        "port": own["port"],
        "queue": own["queue"],
        "home": own["home"],
        "tokens": f"{context.role}-tokens.json",
        "concurrency": own["concurrency"],
        "drain": own["drain"],
        "options": {**(derived or {}), **options},
    }
    return {**found, "config": config, "tokens": tokens(context, WORKER_GRANTS)}


def tokens(context: Context, grants: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """tokens.json: who may ask, and what. Only hashes: a client shows `admin.<the secret api.admin>`."""
    found = []
    for name, scopes in grants.items():
        hashed = hashlib.sha256(context.store.get(f"api.{name}").open().encode()).hexdigest()
        found.append({"id": name, "sha256": hashed, "scopes": list(scopes), "expires": None})
    return found


def redis_files(context: Context, folder: str) -> dict[str, str]:
    """What role client has written for whoever speaks to Redis. Raises ValueError where it has written nothing."""
    client = context.host.vars
    if not list(context.hosts_of("redis")):  # which is a fault of its own
        return {}
    if not client["client_redis_host"]:
        hint = f"add {context.role} to services.redis.clients"
        raise ValueError(f"Redis does not let {context.host.name} in ({hint})")
    names = [RUNTIME, "redis-app.pass", *(["ca.crt", "client.crt", "client.key"] if client["client_redis_tls"] else [])]
    return {name: f"{folder}/{name}" for name in names}


def addresses(host: HostView, role: str) -> dict[str, str]:
    """`lan` and `mesh` addresses at which a host's service listens besides loopback. Of any host: it asks for nothing
    that is derived."""
    own: Any = host.vars
    listen = own[f"{role}_listen"]
    if listen not in LISTEN:
        raise ValueError(f"listen is '{listen}', known: {', '.join(LISTEN)}")
    if own["deployment"]["mode"] == "local" or listen == "loopback":
        return {}
    tunnel = host.mesh_address if own["network"]["mesh"]["mode"] != "none" else None
    if listen == "auto":
        listen = "mesh" if own["deployment"]["tier"] == "internet" and tunnel else "both"
    if listen == "mesh" and not tunnel:
        raise ValueError("listen is mesh, but this host has no mesh_address")
    found = {}
    if listen in ("lan", "both") and not ip(host.address).is_loopback:
        if ip(host.address).is_global and role not in own["security"]["public"]:
            hint = f"listen on the mesh, or turn TLS on or put it before, and name {role} in security.public"
            raise ValueError(f"{host.address} is a public address ({hint})")
        found["lan"] = host.address
    if listen in ("mesh", "both") and tunnel:
        found["mesh"] = tunnel
    return found


def reached(context: Context, host: HostView, role: str) -> str:
    """The address at which this host reaches a service of `role` on another one, or on itself."""
    found = addresses(host, role)
    if host.name == context.host.name or (not found and host.address == LOOPBACK):
        return LOOPBACK
    if not found:
        raise ValueError(f"{role} on {host.name} listens on loopback only, and {context.host.name} must reach it")
    return found.get("lan") or found["mesh"]


def placed(context: Context, role: str) -> list[HostView]:
    """The hosts of a role; none where the role is not deployed at all."""
    return context.hosts_of(role) if role in context.vars["infrastructure"] else []


def alone_on_port(context: Context) -> None:
    """Adds a fault where another role of this host has this role's port, be it by a default (X-01; `model.rules` knows
    what `services` says, and was asked before)."""
    port, (_, place) = str(context.vars["port"]), context.written("port")
    taken = f"port {port} on {context.host.name} is taken by "
    for other in context.host.roles:
        known = any(fault.sentence.startswith(taken) for fault in place.faults.errors)
        if other != context.role and str(context.declared(other, "port")) == port and not known:
            place.faults.add(place.mark, place.path, taken + other, "each service needs its own")


def agent(context: Context) -> str:
    """A worker's name among agents: its host's, and its role where several work on one host."""
    alone = [role for role in context.host.roles if role in WORKERS] == [context.role]
    return context.host.name if alone else f"{context.host.name}-{context.role}"


def url(address: str, port: Any, path: str = "", *, tls: bool = False) -> str:
    return f"http{'s' * tls}://{'[' + address + ']' if ':' in address else address}:{port}{path}"


def ip(text: str) -> Any:
    """An address of the inventory. Raises ValueError where it is a name: a service binds addresses."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"'{text}' is a name; a service listens on addresses (set ansible_host to one)") from None
