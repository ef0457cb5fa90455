"""The deployment's own SSH key: made once, installed on every host, proven by a login with nothing else (S4-24)."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from swarmops.delivery.access import Access
from swarmops.delivery.transport import Transport, Unreachable

# Appends the key on standard input where it is not there yet. Says "added" or "there".
# One line, since csh takes no line ends in quotes.
INSTALL = (
    "set -e; umask 077; mkdir -p ~/.ssh; touch ~/.ssh/authorized_keys; read -r key; "
    'if grep -qxF "$key" ~/.ssh/authorized_keys; then echo there; else '
    '[ -z "$(tail -c1 ~/.ssh/authorized_keys)" ] || echo >> ~/.ssh/authorized_keys; '
    'echo "$key" >> ~/.ssh/authorized_keys; echo added; fi'
)


@dataclass(frozen=True)
class Installed:
    """How it went on one host. `state`: added, there or failed."""

    host: str
    state: str
    reason: str = ""


def make_key(path: Path) -> bool:
    """An ed25519 key at `path` (0600) and `path`.pub. Never overwrites; True when it made one."""
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if path.exists():
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.OpenSSH, s.NoEncryption())
    public = key.public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as f:
        f.write(private)
    path.with_name(path.name + ".pub").write_bytes(public + b" swarmops\n")
    return True


def install(access: Access, key: Path, known_hosts: Path, timeout: float = 10.0) -> Installed:
    """Install the public key with the login there is, then log in with the new key alone."""
    public = key.with_name(key.name + ".pub").read_bytes()
    only = replace(access, hop=replace(access.hop, keys=(str(key),), agent=False))
    try:
        first = Transport(access, known_hosts, timeout)
        try:
            code, said = first.run(f"sh -c {shlex.quote(INSTALL)}", public)
        finally:
            first.close()
        if code != 0:
            return Installed(access.name, "failed", said.strip()[-300:])
        proof = Transport(only, known_hosts, timeout)
        try:
            proof.run("true")
        finally:
            proof.close()
    except (Unreachable, OSError, EOFError) as e:
        return Installed(access.name, "failed", str(e))
    state = next((w for w in reversed(said.split()) if w in ("added", "there")), "")
    return Installed(access.name, state or "failed", "" if state else "the login shell did not run our command")


def config_block(name: str, accesses: list[Access], key: Path, known_hosts: Path) -> str:
    """The block for ssh_config: one alias a host, keys only, host keys pinned."""
    begin, end = f"# swarmops {name}: begin", f"# swarmops {name}: end"
    lines = [begin]
    for a in accesses:
        # By its address too: so a jump over it, which ssh makes by itself, uses this key and the pinned host key.
        names = dict.fromkeys((a.name, a.hop.address))
        lines += [f"Host {' '.join(names)}", f"  HostName {a.hop.address}", f"  Port {a.hop.port}"]
        lines += [f"  User {a.hop.user}"] if a.hop.user else []
        jumps = ",".join(f"{h.user}@{h.place}" if h.user else h.place for h in a.jumps)
        lines += [f"  ProxyJump {jumps}"] if jumps else []
        lines += [f"  ProxyCommand {a.proxy_command}"] if a.proxy_command else []
        lines += [f'  IdentityFile "{key}"', "  IdentitiesOnly yes"]
        lines += [f'  UserKnownHostsFile "{known_hosts}"', "  StrictHostKeyChecking yes"]
    return "\n".join([*lines, end]) + "\n"


def manage_block(path: Path, name: str, block: str) -> bool:
    """Put the block into the file, in place of an earlier one. True when the file changed."""
    path = path.resolve()  # a link stays one
    text = path.read_text(errors="surrogateescape") if path.exists() else ""
    begin, end = f"# swarmops {name}: begin\n", f"# swarmops {name}: end\n"
    if begin in text and end in text:
        head, rest = text.split(begin, 1)
        new = head + block + rest.split(end, 1)[1]
    else:
        new = text + ("" if not text or text.endswith("\n") else "\n") + block
    if new == text:
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temp = path.with_name(f".{path.name}.swarmops")
    with open(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", errors="surrogateescape") as f:
        f.write(new)
    temp.rename(path)
    return True
