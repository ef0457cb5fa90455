"""Tailscale policy files: JSON, known sections, defined names, and the policy's own `tests` run offline.

Grants only: what is not granted is denied (https://tailscale.com/kb/1324/grants). `headscale policy check`
is asked as well where headscale is installed. Nothing here talks to Tailscale.
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import PurePosixPath
from typing import Any

from swarmops.model.faults import closest
from swarmops.planning.validators import Finding, line_of, write_private

TOOLS = {"headscale": "Tailscale policies"}
SECTIONS = (
    "groups",
    "tagOwners",
    "hosts",
    "grants",
    "tests",
    "ssh",
    "autoApprovers",
    "nodeAttrs",
    "postures",
)
GRANT = ("src", "dst", "ip", "app", "via", "srcPosture")
TEST = ("src", "proto", "accept", "deny", "srcPostureAttrs")
PROTOCOLS = ("tcp", "udp", "icmp")


def validate(files, tools) -> list[Finding]:
    found: list[Finding] = []
    for file in files:
        path = PurePosixPath(file.path)
        if "tailscale" in str(path.parent) and path.name in ("policy.json", "policy.hujson"):
            text = tools.text(file)
            faults = check(text)
            if not faults:
                faults = tools.once(("headscale", file.sha), lambda t=text: _judge(t, tools))
            found += [(file, *fault) for fault in faults]
    return found


def _judge(text: str, tools) -> list[tuple[int, str]]:
    headscale = tools.find("headscale", "Tailscale policies are")
    if headscale is None:
        return []
    with tools.scratch() as folder:
        policy = write_private(folder / "policy.json", text)
        result = tools.run([headscale, "policy", "check", "--file", str(policy)])
    return [] if result.rc == 0 else [(0, f"headscale: {result.lines[-1] if result.lines else 'refuses the policy'}")]


def check(text: str) -> list[tuple[int, str]]:
    """Every fault of a policy, its failing tests included."""
    try:
        policy = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as why:
        return [(why.lineno, f"not JSON: {why.msg}")]
    except ValueError as why:
        return [(0, str(why))]
    if not isinstance(policy, dict):
        return [(1, "a policy is a JSON object")]
    found = []
    for name in policy:
        if name not in SECTIONS:
            hint = "use grants" if name == "acls" else closest(name, SECTIONS)
            found.append((line_of(text, rf'"{name}"'), f"unknown section '{name}' ({hint})"))
    if not policy.get("tests"):
        found.append((0, "no tests: a policy without tests is a guess"))
    for number, grant in enumerate(policy.get("grants", [])):
        found += [(line_of(text, r'"grants"'), f"grants[{number}]: {why}") for why in _grant_faults(policy, grant)]
    if found:
        return found
    for number, test in enumerate(policy["tests"]):
        found += [(line_of(text, r'"tests"'), f"tests[{number}]: {why}") for why in run_test(policy, test)]
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise ValueError(f"'{key}' is given twice")
        made[key] = value
    return made


def _grant_faults(policy: dict, grant: dict) -> list[str]:
    found = [f"unknown key '{k}' ({closest(k, GRANT)})" for k in grant if k not in GRANT]
    found += [f"has no '{k}'" for k in ("src", "dst") if not grant.get(k)]
    if not grant.get("ip") and not grant.get("app"):
        found.append("grants neither 'ip' nor 'app'")
    for name in [*grant.get("src", []), *grant.get("dst", [])]:
        if not _defined(policy, name):
            found.append(f"'{name}' is not defined")
    for door in grant.get("ip", []):
        try:
            _door(door)
        except ValueError:
            found.append(f"'{door}' is not '*', a port, a range or proto:port")
    return found


def _defined(policy: dict, name: str) -> bool:
    if name == "*" or name.startswith("autogroup:") or "@" in name or name in policy.get("hosts", {}):
        return True
    if name.startswith("tag:"):
        return name in policy.get("tagOwners", {})
    if name.startswith("group:"):
        return name in policy.get("groups", {})
    return _network(policy, name) is not None


def _network(policy: dict, name: str):
    try:
        return ipaddress.ip_network(policy.get("hosts", {}).get(name, name), strict=False)
    except ValueError:
        return None


def _covers(policy: dict, selector: str, who: str) -> bool:
    """Whether a grant's selector takes in `who` (a tag, user, group, host or address)."""
    if selector in ("*", who):
        return True
    if selector.startswith("group:"):
        return who in policy.get("groups", {}).get(selector, [])
    if selector == "autogroup:member":
        return "@" in who
    if selector == "autogroup:tagged":
        return who.startswith("tag:")
    wide, narrow = _network(policy, selector), _network(policy, who)
    return bool(wide and narrow and wide.version == narrow.version and narrow.subnet_of(wide))


def _door(text: str) -> tuple[str, int, int]:
    """`tcp:80-90` as (protocol, first port, last port); the protocol is "*" when none is named."""
    proto, _, ports = text.rpartition(":")
    if proto and proto not in PROTOCOLS:
        raise ValueError(text)
    if ports == "*":
        return proto or "*", 0, 65535
    first, _, last = ports.partition("-")
    low, high = int(first), int(last or first)
    if not 1 <= low <= high <= 65535:
        raise ValueError(text)
    return proto or "*", low, high


def allowed(policy: dict, src: str, proto: str, dst: str, port: int) -> bool:
    """Whether any grant lets `src` reach `dst` on this port."""
    for grant in policy.get("grants", []):
        if not any(_covers(policy, s, src) for s in grant["src"]):
            continue
        if not any(_covers(policy, d, dst) for d in grant["dst"]):
            continue
        for kind, low, high in map(_door, grant.get("ip", [])):
            if kind in ("*", proto) and low <= port <= high:
                return True
    return False


def run_test(policy: dict, test: dict) -> list[str]:
    """What a `tests` entry expects and the grants do not give."""
    found = [f"unknown key '{k}' ({closest(k, TEST)})" for k in test if k not in TEST]
    src, proto = test.get("src", ""), test.get("proto", "tcp")
    if not src or not _defined(policy, src):
        return [*found, f"src '{src}' is not defined"]
    if not test.get("accept") and not test.get("deny"):
        found.append("expects nothing: give 'accept' or 'deny'")
    for verb, wanted in (("accept", True), ("deny", False)):
        for place in test.get(verb, []):
            dst, _, port = place.rpartition(":")
            if not port.isdigit() or not _defined(policy, dst):
                found.append(f"'{place}' is not a defined destination and a port")
            elif allowed(policy, src, proto, dst, int(port)) != wanted:
                found.append(f"{src} {'cannot' if wanted else 'can'} reach {place}, the test expects '{verb}'")
    return found
