"""Where pages may go: an allow-list of hosts, and no addresses of the inside unless they are listed too (SSRF).

A name is resolved once for a task, all its addresses are looked at, and connections are made to these and no others. So
a name that answers differently the second time (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import fnmatch
import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from swarmops.runtime.errors import Invalid
from swarmops.workers.reading import Fields

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
USUAL = (80, 443)  # ports of a host that is allowed without one
DEFAULT = {"http": 80, "https": 443, "ws": 80, "wss": 443}
# IPv6 addresses that carry an IPv4 one elsewhere: 6to4, Teredo, NAT64.
TUNNELS = [ipaddress.ip_network(n) for n in ("2002::/16", "2001::/32", "64:ff9b::/96", "64:ff9b:1::/48")]
ANYWHERE: tuple[tuple[str, str], ...] = (("*", ""),)
_PATTERN = re.compile(r"(\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:(\*|\d{1,5}))?")
RESOLVE = 10.0  # seconds that a name may take


class NotAllowed(Exception):
    """A page may not go there; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Policy:
    """allow: `example.com`, `*.example.com`, `*`, each with `:port` or `:*` (without: 80 and 443). private: networks of
    the inside that may be reached all the same."""

    allow: tuple[tuple[str, str], ...] = ANYWHERE
    private: tuple[Network, ...] = ()

    @classmethod
    def of(cls, fields: Fields) -> Policy:
        """From the options `allow` and `allow_private`."""
        allow = fields.take("allow", ANYWHERE, _patterns)
        return cls(allow, fields.take("allow_private", (), _networks))

    def host(self, host: str, port: int) -> None:
        """Raises NotAllowed for a host or port that is not on the list."""
        for pattern, ports in self.allow:
            if fnmatch.fnmatchcase(host, pattern) and (ports == "*" or port in _ports(ports)):
                return
        raise NotAllowed(f"{host}:{port} is not on the list of what pages may reach (options.allow)")

    def address(self, host: str, address: Address) -> None:
        """Raises NotAllowed for an address of the inside that is not on the list."""
        plain = address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address
        if any(plain in net for net in self.private if net.version == plain.version):
            return
        tunnel = plain.version == 6 and any(plain in net for net in TUNNELS)
        if plain.is_global and not plain.is_multicast and not tunnel:
            return
        shown = host if host == str(plain) else f"{host} ({plain})"
        raise NotAllowed(f"{shown} is an address of the inside, which pages may not reach (options.allow_private)")


@dataclass
class Resolved:
    """Names resolved for one task."""

    policy: Policy
    known: dict[str, asyncio.Future[list[Address]]] = field(default_factory=dict)

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Where to connect for this host. Raises NotAllowed, also when there is no such name."""
        host = host.lower().rstrip(".")
        self.policy.host(host, port)
        if host not in self.known:
            self.known[host] = asyncio.ensure_future(self._look(host))
        return await asyncio.shield(self.known[host])

    async def _look(self, host: str) -> list[Address]:
        try:
            found: list[Address] = [ipaddress.ip_address(host.strip("[]"))]
        except ValueError:
            found = await _resolve(host)
        for address in found:
            self.policy.address(host, address)
        return found


async def _resolve(host: str) -> list[Address]:
    if re.fullmatch(r"[0-9.]+|0x[0-9a-f]+", host):  # 127.1 or 2130706433: some resolvers take them for addresses
        raise NotAllowed(f"{host} is not a name")
    try:
        async with asyncio.timeout(RESOLVE):
            rows = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as e:
        why = getattr(e, "strerror", None) or "no answer"
        raise NotAllowed(f"{host} cannot be resolved: {why}") from None
    return [ipaddress.ip_address(row[4][0]) for row in rows]


def place(url: str) -> tuple[str, int]:
    """Host and port of an http or https URL. Raises Invalid."""
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port
    except ValueError as e:
        raise Invalid("", f"{url[:200]!r} is not a URL: {e}") from None
    if parts.scheme not in ("http", "https"):
        raise Invalid("", f"{url[:200]!r} is not http or https")
    if parts.username or parts.password:
        raise Invalid("", "holds a user or a password, which do not belong in a URL")
    if not parts.hostname:
        raise Invalid("", f"{url[:200]!r} names no host")
    return parts.hostname, port or DEFAULT[parts.scheme]


def _ports(said: str) -> Sequence[int]:
    return (int(said),) if said else USUAL


def _patterns(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list):
        raise Invalid("", "is not a list of hosts")
    found = []
    for i, one in enumerate(value):
        match = _PATTERN.fullmatch(one.lower()) if isinstance(one, str) else None
        if not match:
            raise Invalid(
                f"[{i}]", f"{str(one)[:80]!r} is not a host (as example.com, *.example.com, 10.0.0.5:8080, *:*)"
            )
        found.append((match[1].strip("[]"), match[5] or ""))
    return tuple(found)


def _networks(value: Any) -> tuple[Network, ...]:
    if not isinstance(value, list):
        raise Invalid("", "is not a list of networks")
    found: list[Network] = []
    for i, one in enumerate(value):
        try:
            found.append(ipaddress.ip_network(one))
        except (ValueError, TypeError):
            raise Invalid(f"[{i}]", f"{str(one)[:80]!r} is not a network (as 10.0.0.0/8)") from None
    return tuple(found)


def reasons(refused: Mapping[tuple[str, int], str], most: int = 20) -> list[str]:
    """What was refused, for a result."""
    return list(refused.values())[:most]
