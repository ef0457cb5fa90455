"""The strict WireGuard parser, against cases 31-33 and 36 and what `wg-quick strip` lets through; the mesh's peers."""

from __future__ import annotations

import base64
import importlib.util
from pathlib import Path

import pytest

from swarmops.planning.validators import wireguard

ROOT = Path(__file__).parent.parent.parent


def key(number: int) -> str:
    return base64.b64encode(bytes([number]) * 31 + b"\x01").decode()


A, B, C = key(1), key(2), key(3)
PRIVATE = base64.b64encode(bytes([8]) + bytes(30) + bytes([64])).decode()


def conf(*peers: str, own: str = "") -> str:
    head = f"# own public key: {own}\n" if own else ""
    return f"{head}[Interface]\nListenPort = 51820\n" + "".join(f"[Peer]\n{p}\n" for p in peers)


def peer(public: str = A, allowed: str = "10.77.0.2/32", more: str = "") -> str:
    return f"PublicKey = {public}\nAllowedIPs = {allowed}\n{more}"


def sentences(text: str) -> list[str]:
    return [sentence for _, sentence in wireguard.parse(text)[1]]


def test_a_right_file_has_no_fault() -> None:
    more = f"PresharedKey = {C}\nEndpoint = [2001:db8::1]:51820\nPersistentKeepalive = 25\n"
    text = conf(peer(A, more=more), peer(B, "10.77.0.3/32, fd00::3/128", "Endpoint = hub.example.net:51820"))
    assert sentences(text) == []
    assert [p.networks[0].prefixlen for p in wireguard.parse(text)[0].peers] == [32, 32]


def test_a_misspelt_key_is_named_with_the_right_one() -> None:
    """`wg-quick strip` takes this file with exit 0."""
    lines = wireguard.parse(conf(f"PublicKey = {A}\nAlowedIPs = 10.77.0.2/32"))[1]
    assert (5, "unknown key 'AlowedIPs' in [Peer] (did you mean 'AllowedIPs'?)") in lines
    assert (3, "this peer has no AllowedIPs") in lines


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("hello", "PublicKey is not base64"),
        (A[:-1], "PublicKey is not base64"),
        (A[:-4], "PublicKey is 30 bytes long, a key has 32"),
        (base64.b64encode(b"x" * 31).decode(), "PublicKey is 31 bytes long, a key has 32"),
        (base64.b64encode(b"x" * 33).decode(), "PublicKey is 33 bytes long, a key has 32"),
        (base64.b64encode(bytes(32)).decode(), "PublicKey is all zeros"),
        (A[:-2] + "F=", "PublicKey has stray bits at its end, was it cut or mistyped?"),
    ],
)
def test_case_32_a_bad_key(bad: str, said: str) -> None:
    assert said in sentences(conf(peer(bad)))


def test_case_32_a_private_key_given_as_public() -> None:
    public = wireguard.public_of(PRIVATE)
    assert wireguard.private_among([PRIVATE, public]) == {PRIVATE}
    said = sentences(conf(peer(PRIVATE), own=public))
    assert said == ["this is a private key, not a public one: make a new pair"]


def test_case_31_the_same_public_key_twice() -> None:
    said = sentences(conf(peer(A), peer(A, "10.77.0.3/32")))
    assert said == ["the same public key as the peer of line 3"]


def test_own_key_among_the_peers() -> None:
    assert sentences(conf(peer(A), own=A)) == ["this host's own public key is among its peers"]


def test_case_33_and_36_allowed_ips() -> None:
    assert sentences(conf(peer(A, "10.77.0.5/24"))) == [
        "AllowedIPs: '10.77.0.5/24' has host bits set, the network is 10.77.0.0/24"
    ]
    assert sentences(conf(peer(A, "10.77.0.300/32"))) == ["AllowedIPs: '10.77.0.300/32' is not a CIDR"]
    overlap = sentences(conf(peer(A, "10.77.0.0/24"), peer(B, "10.77.0.3/32")))
    assert overlap == ["AllowedIPs 10.77.0.3/32 overlaps 10.77.0.0/24 of the peer of line 3"]
    assert sentences(conf(peer(A, "0.0.0.0/0"))) == [
        "takes all traffic: say 'exit: true' for this peer if that is meant"
    ]
    assert sentences(conf("# exit\n" + peer(A, "0.0.0.0/0"))) == []


@pytest.mark.parametrize("endpoint", ["10.0.0.1", "10.0.0.300:51820", "2001:db8::1:51820", "host:0", "a b:1", ":1"])
def test_a_bad_endpoint(endpoint: str) -> None:
    assert any("is not host:port" in s for s in sentences(conf(peer(more=f"Endpoint = {endpoint}"))))


def test_other_faults_have_their_lines() -> None:
    text = (
        f"ListenPort = 1\n[Interfce]\n[Interface]\nListenPort = 70000\nAddress = 10.0.0.1/24\n[Peer]\nPublicKey {A}\n"
    )
    assert wireguard.parse(text)[1] == [
        (1, "'ListenPort' stands outside of [Interface] and [Peer]"),
        (2, "unknown section [Interfce] (known: [Interface], [Peer])"),
        (4, "ListenPort '70000' is not a port from 1 to 65535"),
        (5, "unknown key 'Address' in [Interface] (a key of wg-quick, wg itself refuses it)"),
        (6, "this peer has no AllowedIPs"),
        (6, "this peer has no PublicKey"),
        (7, "'PublicKey' has no '=' and a value"),
    ]


def test_no_sentence_quotes_a_secret_key() -> None:
    text = conf(peer(more="PresharedKey = c2VjcmV0"), peer(B, "10.77.0.3/32", "PresharedKey = c2VjcmV0"))
    assert sentences(text) and "c2VjcmV0" not in str(sentences(text))


# The peers that the role derives.
_spec = importlib.util.spec_from_file_location("role_wireguard", ROOT / "roles" / "wireguard" / "role.py")
role = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(role)


def member(name: str, number: int, **more):
    known = {"name": name, "address": f"192.0.2.{number}", "mesh": f"10.77.0.{number}", "key": key(number)}
    return {**known, "nat": False, "endpoint": "", "routes": [], "exit": False, **more}


FLEET = [member("hub-1", 1), member("lan-1", 2), member("nat-1", 3, nat=True), member("nat-2", 4, nat=True)]


def peers(name: str, members=FLEET):
    me = next(m for m in members if m["name"] == name)
    return {p["name"]: p for p in role.peers_of(me, members, "hub-1", 25, lambda a, b: f"{a}+{b}", 51820)}


def test_hosts_that_can_be_reached_peer_directly_by_single_addresses() -> None:
    found = peers("lan-1")
    assert set(found) == {"hub-1"}
    assert found["hub-1"]["allowed"] == ["10.77.0.1/32", "10.77.0.3/32", "10.77.0.4/32"]
    plain = [member(n, i) for i, n in enumerate(("a", "b", "c"), 1)]
    assert {n: p["allowed"] for n, p in peers("a", plain).items()} == {"b": ["10.77.0.2/32"], "c": ["10.77.0.3/32"]}
    assert peers("a", plain)["b"]["endpoint"] == "192.0.2.2:51820"


def test_a_host_behind_nat_calls_the_hub_and_has_no_endpoint() -> None:
    assert peers("nat-1")["hub-1"]["keepalive"] == 25
    assert peers("nat-1")["hub-1"]["endpoint"] == "192.0.2.1:51820"
    assert peers("hub-1")["nat-1"]["keepalive"] is None
    assert peers("hub-1")["nat-1"]["endpoint"] == ""
    assert peers("hub-1")["nat-1"]["allowed"] == ["10.77.0.3/32"]
    assert peers("nat-1")["hub-1"]["allowed"] == ["10.77.0.1/32", "10.77.0.2/32", "10.77.0.4/32"]


def test_no_address_is_claimed_twice_on_any_host() -> None:
    for host in FLEET:
        claims = [a for p in peers(host["name"]).values() for a in p["allowed"]]
        assert len(claims) == len(set(claims)) == len(FLEET) - 1


def test_a_host_whose_key_is_not_known_yet_is_left_out() -> None:
    assert "lan-1" not in peers("hub-1", [*FLEET[:1], member("lan-1", 2, key="")])


def test_pair_keys_are_the_same_on_both_sides_and_differ_between_pairs() -> None:
    assert role.pair_key("s", "a", "b") == role.pair_key("s", "b", "a") != role.pair_key("s", "a", "c")
    assert wireguard.key_fault(role.pair_key("s", "a", "b")) == ""


def test_an_impossible_mesh_is_said_at_once() -> None:
    members = [member("a", 1, mesh=""), member("b", 2, nat=True, key=key(1))]
    assert role.problems(members, "") == [
        "b cannot be connected to: name a hub in network.mesh.hub",
        "a has no mesh_address",
        "b has the same public key as a: was it cloned?",
    ]
    assert role.problems([member("a", 1, nat=True)], "a") == ["the hub a must be reachable, it says wireguard_nat"]
    assert role.problems([member("a", 1)], "x") == ["network.mesh.hub is 'x', which is no host of the role wireguard"]
