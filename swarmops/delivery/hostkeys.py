"""Pinning of host keys: look at what hosts show, keep it in the project's known_hosts, notice changes (S10)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import paramiko

from swarmops.delivery.access import Access
from swarmops.delivery.transport import Transport, Unreachable, fingerprint


@dataclass(frozen=True)
class Seen:
    """What one host showed. `state`: new, pinned, changed or unreachable."""

    host: str
    where: str
    state: str
    fingerprint: str = ""
    pinned: str = ""
    reason: str = ""
    key: paramiko.PKey | None = None


def entry_name(access: Access) -> str:
    """The name of a host in known_hosts."""
    hop = access.hop
    return hop.address if hop.port == 22 else f"[{hop.address}]:{hop.port}"


def scan(accesses: Iterable[Access], known_hosts: Path, timeout: float = 5.0) -> list[Seen]:
    """Ask every host for its key, all at once, without logging in."""
    pinned = _load(known_hosts)
    with ThreadPoolExecutor(max_workers=25) as pool:
        return list(pool.map(lambda a: _look(a, pinned, known_hosts, timeout), accesses))


def _look(access: Access, pinned: paramiko.HostKeys, known_hosts: Path, timeout: float) -> Seen:
    where = access.where
    try:
        key = _ask(access, known_hosts, timeout)
    except (OSError, EOFError, paramiko.SSHException, Unreachable) as e:
        return Seen(access.name, where, "unreachable", reason=str(e) or type(e).__name__)
    known = pinned.lookup(entry_name(access))
    old = known.get(key.get_name()) if known else None
    if not known:
        state = "new"
    else:
        state = "pinned" if old is not None and old.asbytes() == key.asbytes() else "changed"
    was = next((fingerprint(known[t]) for t in known), "") if known and state == "changed" else ""
    return Seen(access.name, where, state, fingerprint(key), was, key=key)


def _ask(access: Access, known_hosts: Path, timeout: float) -> paramiko.PKey:
    """The host key, by a key exchange alone. A host behind jump hosts is asked through them."""
    hop = access.hop
    sock: socket.socket | paramiko.Channel | paramiko.ProxyCommand
    gateway = None
    if access.jumps:
        last = Access("jump", access.jumps[-1], access.jumps[:-1])
        gateway = Transport(last, known_hosts, timeout)
        sock = gateway.tunnel((hop.address, hop.port))
    elif access.proxy_command:
        sock = paramiko.ProxyCommand(access.proxy_command)
    else:
        sock = socket.create_connection((hop.address, hop.port), timeout=timeout)
    talk = paramiko.Transport(sock)
    try:
        options = talk.get_security_options()
        options.key_types = sorted(options.key_types, key=lambda t: t != "ssh-ed25519")
        talk.banner_timeout = timeout
        talk.start_client(timeout=timeout)
        return talk.get_remote_server_key()
    finally:
        talk.close()
        if gateway:
            gateway.close()


def pin(seen: Iterable[Seen], accesses: dict[str, Access], known_hosts: Path) -> list[str]:
    """Keep the keys of `seen` (new or changed ones), replacing what was there. Returns the hosts pinned."""
    keys = _load(known_hosts)
    done = []
    for s in seen:
        if s.key is not None and s.state in ("new", "changed"):
            name = entry_name(accesses[s.host])
            if name in keys:
                del keys[name]
            keys.add(name, s.key.get_name(), s.key)
            done.append(s.host)
    if done:
        known_hosts.parent.mkdir(parents=True, exist_ok=True)
        temp = known_hosts.with_name(f".known_hosts.{os.getpid()}")
        keys.save(str(temp))
        temp.rename(known_hosts)
    return done


def _load(known_hosts: Path) -> paramiko.HostKeys:
    keys = paramiko.HostKeys()
    if known_hosts.is_file():
        keys.load(str(known_hosts))
    return keys
