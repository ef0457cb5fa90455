"""WireGuard configurations: a strict parser, then `wg setconf` on a scratch interface that nobody else sees.

`wg-quick strip` accepts a misspelt `AlowedIPs` with exit 0, so it is no judge. Cases 31-33, 36 of the bad-
input list, S0-36, S25. What `wg` reads: https://man7.org/linux/man-
pages/man8/wg.8.html#CONFIGURATION_FILE_FORMAT
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from swarmops.model.faults import closest
from swarmops.planning.validators import Finding, write_private

TOOLS = {"wg": "WireGuard configurations"}
INTERFACE_KEYS = ("PrivateKey", "ListenPort", "FwMark")
PEER_KEYS = ("PublicKey", "PresharedKey", "AllowedIPs", "Endpoint", "PersistentKeepalive")
ONLY_WG_QUICK = ("Address", "DNS", "MTU", "Table", "PreUp", "PostUp", "PreDown", "PostDown", "SaveConfig")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_OWN = re.compile(r"#\s*own public key:\s*(\S+)")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass
class Peer:
    """One [Peer] section. `lines` says where each key stood."""

    line: int
    values: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    networks: list[Network] = field(default_factory=list)
    exit: bool = False  # it said `# exit`: it may take all traffic

    def at(self, key: str) -> int:
        return self.lines.get(key, self.line)


@dataclass
class Config:
    interface: dict[str, str] = field(default_factory=dict)
    peers: list[Peer] = field(default_factory=list)
    own: str = ""  # this host's public key, from the header comment


def key_fault(text: str) -> str:
    """Why `text` is not a WireGuard key, or "" when it is one (case 32)."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return "is not base64"
    if len(raw) != 32:
        return f"is {len(raw)} bytes long, a key has 32"
    if base64.b64encode(raw).decode() != text:
        return "has stray bits at its end, was it cut or mistyped?"
    if not any(raw):
        return "is all zeros"
    return ""


def public_of(private: str) -> str:
    """The public key of a private key."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    key = X25519PrivateKey.from_private_bytes(base64.b64decode(private))
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def private_among(keys: Iterable[str]) -> set[str]:
    """Those of `keys` that must be private keys, because their public half is here as well (case 32)."""
    known = {k for k in keys if not key_fault(k)}
    clamped = {k for k in known if _clamped(base64.b64decode(k))}
    return {k for k in clamped if public_of(k) in known}


def _clamped(raw: bytes) -> bool:
    return raw[0] & 7 == 0 and raw[31] & 0xC0 == 0x40


def parse(text: str) -> tuple[Config, list[tuple[int, str]]]:
    """Read a configuration strictly. Sentences never quote the value of a secret key."""
    config, faults = Config(), []
    section: str | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        own = _OWN.fullmatch(raw.strip())
        config.own = own[1] if own else config.own
        if raw.strip() == "# exit" and section == "peer":
            config.peers[-1].exit = True
        line = raw.split("#", 1)[0].strip()
        if not line:
            continue
        if line.startswith("["):
            section = line.strip("[]").lower()
            if line.lower() not in ("[interface]", "[peer]"):
                faults.append((number, f"unknown section {line} (known: [Interface], [Peer])"))
                section = None
            elif section == "peer":
                config.peers.append(Peer(number))
            continue
        faults += _entry(config, section, number, line)
    for peer in config.peers:
        faults += [(peer.line, f"this peer has no {k}") for k in ("PublicKey", "AllowedIPs") if k not in peer.values]
    return config, sorted(faults + _between(config))


def _entry(config: Config, section: str | None, number: int, line: str) -> list[tuple[int, str]]:
    name, equals, value = (part.strip() for part in line.replace("\t", " ").partition("="))
    if not equals or " " in name:  # with a space in it, the '=' is only the end of a key: quote nothing of that
        return [(number, f"'{name.split()[0]}' has no '=' and a value")]
    if section is None:
        return [(number, f"'{name}' stands outside of [Interface] and [Peer]")]
    known = INTERFACE_KEYS if section == "interface" else PEER_KEYS
    key = next((k for k in known if k.lower() == name.lower()), None)
    if key is None:
        quick = "a key of wg-quick, wg itself refuses it" if name in ONLY_WG_QUICK else ""
        return [(number, f"unknown key '{name}' in [{section.title()}] ({quick or closest(name, known)})")]
    if not value:
        return [(number, f"{key} has no value")]
    if section == "interface":
        if key in config.interface:
            return [(number, f"{key} is given twice")]
        config.interface[key] = value
        return [(number, f"{key} {why}") for why in _value_faults(key, value)]
    peer = config.peers[-1]
    if key in peer.values and key != "AllowedIPs":
        return [(number, f"{key} is given twice for one peer")]
    peer.values[key] = value
    peer.lines[key] = number
    if key == "AllowedIPs":
        return _allowed(peer, number, value)
    return [(number, f"{key} {why}") for why in _value_faults(key, value)]


def _value_faults(key: str, value: str) -> list[str]:
    if key in ("PrivateKey", "PublicKey", "PresharedKey"):
        return [why] if (why := key_fault(value)) else []
    if key == "ListenPort":
        return [] if _number(value, 1, 65535) else [f"'{value}' is not a port from 1 to 65535"]
    if key == "PersistentKeepalive":
        fine = value == "off" or _number(value, 0, 65535)
        return [] if fine else [f"'{value}' is not 'off' or seconds from 0 to 65535"]
    if key == "Endpoint":
        return [] if _endpoint(value) else [f"'{value}' is not host:port (IPv6 as [address]:port)"]
    return []


def _number(text: str, low: int, high: int) -> bool:
    return text.isascii() and text.isdigit() and low <= int(text) <= high


def _endpoint(value: str) -> bool:
    host, _, port = value.rpartition(":")
    if not _number(port, 1, 65535):
        return False
    if host.startswith("[") and host.endswith("]"):
        return _is_address(host[1:-1], 6)
    if re.fullmatch(r"[0-9.]+", host):
        return _is_address(host, 4)
    return bool(_HOST.fullmatch(host)) and len(host) <= 253


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def _allowed(peer: Peer, number: int, value: str) -> list[tuple[int, str]]:
    faults = []
    for text in (part.strip() for part in value.split(",")):
        try:
            network = ipaddress.ip_network(text)
        except ValueError as why:
            bits = "host bits" in str(why)
            example = f", the network is {ipaddress.ip_network(text, strict=False)}" if bits else ""
            faults.append((number, f"AllowedIPs: '{text}' {'has host bits set' if bits else 'is not a CIDR'}{example}"))
            continue
        peer.networks.append(network)
    return faults


def _between(config: Config) -> list[tuple[int, str]]:
    """What is wrong between peers: the same key twice, our own key, private keys, overlapping AllowedIPs."""
    faults: list[tuple[int, str]] = []
    seen: dict[str, int] = {}
    shared: dict[str | None, int] = {}
    own = config.own
    private = config.interface.get("PrivateKey", "")
    if private and not key_fault(private):
        own = public_of(private)
    keys = [p.values.get("PublicKey", "") for p in config.peers]
    secret = private_among([*keys, own]) | ({private} if private else set())
    for peer in config.peers:
        key, psk = peer.values.get("PublicKey", ""), peer.values.get("PresharedKey")
        if key and key in seen:
            faults.append((peer.at("PublicKey"), f"the same public key as the peer of line {seen[key]}"))
        if key and key == own:
            faults.append((peer.at("PublicKey"), "this host's own public key is among its peers"))
        if key in secret:
            faults.append((peer.at("PublicKey"), "this is a private key, not a public one: make a new pair"))
        if psk and psk in shared:
            faults.append((peer.at("PresharedKey"), f"the same preshared key as the peer of line {shared[psk]}"))
        seen.setdefault(key, peer.line)
        shared.setdefault(psk, peer.line)
        if not peer.exit and any(n.prefixlen == 0 for n in peer.networks):
            faults.append((peer.at("AllowedIPs"), "takes all traffic: say 'exit: true' for this peer if that is meant"))
    return faults + _overlaps(config.peers)


def _overlaps(peers: list[Peer]) -> list[tuple[int, str]]:
    """Two peers that claim one address: WireGuard would silently give it to the last (case 36)."""
    faults = []
    claims = sorted(
        ((n, p) for p in peers for n in p.networks if n.prefixlen),
        key=lambda c: (c[0].version, int(c[0].network_address), c[0].prefixlen),
    )
    widest: tuple[Network, Peer] | None = None  # sorted: only the reach of the widest claim so far can overlap
    for network, peer in claims:
        if widest and widest[0].version == network.version and widest[0].overlaps(network):
            whose = "of this peer" if widest[1] is peer else f"of the peer of line {widest[1].line}"
            faults.append((peer.at("AllowedIPs"), f"AllowedIPs {network} overlaps {widest[0]} {whose}"))
            continue
        widest = (network, peer)
    return faults


def validate(files, tools) -> list[Finding]:
    found: list[Finding] = []
    for file in files:
        path = PurePosixPath(file.path)
        if path.parent == PurePosixPath("/etc/wireguard") and path.suffix == ".conf":
            text = tools.text(file)
            faults = parse(text)[1]
            if not faults:  # after our sentences, those of wg would only repeat them
                faults = tools.once(("wg", file.sha), lambda t=text: _judge(t, tools))
            found += [(file, *fault) for fault in faults]
    return found


# A scratch interface in a network namespace of its own: by the kernel, else by wireguard-go.
_SCRATCH = """
set -u
name=swj$$
if ip link add "$name" type wireguard 2>/dev/null; then
    wg setconf "$name" "$1"; exit $?
fi
command -v wireguard-go >/dev/null && [ -e /dev/net/tun ] || exit 77
WG_PROCESS_FOREGROUND=1 LOG_LEVEL=silent wireguard-go -f "$name" >/dev/null 2>&1 &
daemon=$!
trap 'kill $daemon 2>/dev/null; wait $daemon 2>/dev/null' EXIT
tries=0
# `wg` deletes the socket of a daemon that does not listen yet: look for the socket first, then give it a moment.
until [ -S "/var/run/wireguard/$name.sock" ]; do
    tries=$((tries + 1))
    [ $tries -lt 500 ] && kill -0 $daemon 2>/dev/null || exit 77
    sleep 0.01
done
sleep 0.01
wg setconf "$name" "$1"
"""


def _judge(text: str, tools) -> list[tuple[int, str]]:
    wg = tools.find("wg", "WireGuard configurations are")
    if wg is None:
        return []
    apart = tools.apart()
    if not apart:
        tools.skip("wg", "needs root or user namespaces here")
        return []
    with tools.scratch() as folder:
        # No names are looked up from here: any host name will do for the judge.
        conf = write_private(folder / "judge.conf", re.sub(r"(?m)^(Endpoint *= *)\S+(:\d+)", r"\g<1>192.0.2.1\2", text))
        result = tools.run([*apart, "/bin/sh", "-c", _SCRATCH, "wg", str(conf)], name="wg")
    if result.rc == 77:
        tools.skip("wg", "this kernel has no WireGuard and wireguard-go is not usable here")
    if result.rc in (0, 77):
        return []
    # wg quotes the offending value, which may be a key: keep its words before the quote only.
    told = re.sub(r"[`'\"].*", "", result.lines[0]) if result.lines else f"exit {result.rc}"
    return [(0, f"wg setconf: {told.strip()}")]
