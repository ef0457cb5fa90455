"""The door of a page, asked as Chromium asks it: what the policy refuses is not even tried."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from swarmops.workers.browser.policy import ANYWHERE, NotAllowed, Policy
from swarmops.workers.browser.proxy import TaskProxy
from swarmops.workers.reading import Fields
from tests.services.pages import Site, site

OPEN = Policy((("*", "*"),), (ipaddress.ip_network("127.0.0.0/8"),))


@pytest.fixture(scope="module")
def pages() -> Iterator[Site]:
    with site() as one:
        yield one


def through(policy: Policy, *urls: str, most: int = 1 << 20) -> tuple[list[httpx.Response], TaskProxy]:
    async def go() -> tuple[list[httpx.Response], TaskProxy]:
        async with TaskProxy(policy, most) as proxy:
            async with httpx.AsyncClient(proxy=proxy.url, trust_env=False, timeout=10) as client:
                return [await client.get(url) for url in urls], proxy

    return asyncio.run(go())


async def asked(proxy: TaskProxy, said: bytes) -> bytes:
    """What it answers to these bytes; b"" when it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2]))
    writer.write(said)
    try:
        return await reader.readline()
    finally:
        writer.close()


def test_what_is_allowed_passes(pages: Site) -> None:
    (shop, gone), proxy = through(OPEN, f"{pages.url}/shop", f"{pages.url}/nothing?a=b")
    assert shop.status_code == 200 and "Shop" in shop.text and shop.headers["connection"] == "close"
    assert gone.status_code == 404 and pages.asked[-1] == "/nothing?a=b" and not proxy.refused and proxy.received > 300


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0.0.0.0"]
)
def test_loopback_is_not_even_tried(pages: Site, host: str) -> None:
    pages.asked.clear()

    async def go() -> None:
        async with TaskProxy(Policy((("*", "*"),)), 1000) as proxy:
            said = await asked(proxy, f"GET http://{host}:{pages.port}/shop HTTP/1.1\r\n\r\n".encode())
            assert said.split()[1] == b"403" and proxy.refused

    asyncio.run(go())
    assert not pages.asked


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "fd00:ec2::254",
        "fe80::1",
    ]
    + [
        "::ffff:10.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
        "224.0.0.1",
        "0.0.0.0",
        "::",
        "255.255.255.255",
        "198.18.0.1",
    ],
)
def test_addresses_of_the_inside(address: str) -> None:
    with pytest.raises(NotAllowed):
        Policy().address("x", ipaddress.ip_address(address))


def test_addresses_of_the_outside_and_of_listed_networks() -> None:
    for address in ("93.184.216.34", "2606:2800:220:1::1"):
        Policy().address("x", ipaddress.ip_address(address))
    OPEN.address("x", ipaddress.ip_address("::ffff:127.0.0.1"))
    with pytest.raises(NotAllowed):
        OPEN.address("x", ipaddress.ip_address("10.0.0.1"))


def test_hosts_and_ports() -> None:
    faults: list[str] = []
    said = {"allow": ["example.com", "*.example.org:8080", "10.0.0.5:*"], "allow_private": ["10.0.0.0/24"]}
    policy = Policy.of(Fields(said, "options", faults))
    assert not faults
    for host, port in (("example.com", 443), ("a.b.example.org", 8080), ("10.0.0.5", 6000)):
        policy.host(host, port)
    for host, port in (("example.com", 8080), ("example.org", 8080), ("evil-example.com", 80), ("10.0.0.6", 80)):
        with pytest.raises(NotAllowed):
            policy.host(host, port)
    assert Policy.of(Fields({}, "options", faults)).allow == ANYWHERE


def test_a_name_that_changes_its_answer_gains_nothing(pages: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the first answer was looked at, and connections are made to it only."""
    answers = iter(["127.0.0.1", "127.0.0.2", "10.0.0.1"])
    lookups: list[str] = []
    real: Callable[..., Any] = socket.getaddrinfo

    def lie(host: Any, *args: Any, **more: Any) -> Any:
        if host == "rebind.test":
            lookups.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), 0))]
        return real(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lie)
    url = f"http://rebind.test:{pages.port}/shop"
    said, _ = through(OPEN, url, url, url)
    assert [one.status_code for one in said] == [200] * 3 and lookups == ["rebind.test"]
    bad, proxy = through(Policy((("*", "*"),)), url)
    assert bad[0].status_code == 403 and "127.0.0.2" in next(iter(proxy.refused.values()))


def test_a_tunnel_is_looked_at_too_and_bytes_are_counted(pages: Site) -> None:
    async def go() -> None:
        async with TaskProxy(OPEN, 1 << 20) as proxy:
            for target, status in (
                (f"127.0.0.1:{pages.port}", b"200"),
                ("10.0.0.1:443", b"403"),
                ("127.0.0.1:1", b"502"),
            ):
                said = await asked(proxy, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
                assert said.split()[1] == status
        async with TaskProxy(OPEN, 1000) as proxy:
            with pytest.raises(httpx.HTTPError):
                async with httpx.AsyncClient(proxy=proxy.url, trust_env=False) as client:
                    await client.get(f"{pages.url}/huge")
            assert proxy.too_much.is_set()

    asyncio.run(go())


def test_what_is_no_request_to_a_proxy_is_cut_off() -> None:
    async def go() -> None:
        async with TaskProxy(OPEN, 1000) as proxy:
            for said in (
                b"GET /x HTTP/1.1\r\n\r\n",
                b"\0\0\0\r\n\r\n",
                b"GET ftp://x/ HTTP/1.1\r\n\r\n",
                b"a" * 70_000,
            ):
                assert await asked(proxy, said) == b""

    asyncio.run(go())
