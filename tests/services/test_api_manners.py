"""What the API does with what is hostile or wrong: cases 73 and 83 to 86, S1-10, S17, S18."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.runtime.server import Server
from tests.services.api import JSON, PAGE, client, memory, raw, rest, talk, until
from tests.services.coordinator import Coordinator

MIB = 1 << 20


@pytest.fixture(scope="module")
def api(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    folder = tmp_path_factory.mktemp("api")
    one = Coordinator(
        folder, shared_server, origins=[PAGE], hosts=["api.test"], limits={"rate": 0, "head": 4, "slow": 1}
    )
    yield one.start()
    one.close()


@pytest.fixture(scope="module")
def ask(api: Coordinator) -> Iterator[httpx.Client]:
    with client(api) as found:
        yield found


def sized(size: int) -> bytes:
    """A task of so many bytes."""
    empty = b'{"type":"echo","anyway":true,"args":""}'
    return empty[:-2] + b"x" * (size - len(empty)) + b'"}'


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_case_73_one_mebibyte_and_no_byte_more(api: Coordinator, ask: httpx.Client, chunked: bool) -> None:
    def sent(size: int) -> Any:
        whole = sized(size)
        return (whole[at : at + 60_000] for at in range(0, size, 60_000)) if chunked else whole

    assert ask.post("/api/tasks", content=sent(MIB), headers=JSON).status_code == 202
    said = ask.post("/api/tasks", content=sent(MIB + 1), headers=JSON)
    assert said.status_code == 413 and "1,048,576" in said.json()["error"]
    before = memory(api)
    for _ in range(5):
        try:
            assert ask.post("/api/tasks", content=sent(20 * MIB), headers=JSON).status_code == 413
        except httpx.TransportError:  # it was cut off, which is as good
            continue
    assert memory(api) - before < 15_000
    assert client(api).get("/api/status").status_code == 200


def test_case_83_slow_heads_and_bodies_are_cut_while_others_are_served(api: Coordinator, ask: httpx.Client) -> None:
    """Head: 10 s, body: 30 s; here 4 and 1 by the configuration. 1,000 idle connections do no harm."""
    head = f"POST /api/tasks HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {api.tokens['admin']}\r\n"
    idle = [talk(api) for _ in range(1000)]
    with talk(api) as slow_head, talk(api) as slow_body:
        slow_head.sendall(head.encode())
        slow_body.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        for _ in range(5):
            assert ask.get("/api/health").status_code == 200
        assert b"408" in rest(slow_body).split(b"\r\n")[0]
        slow_head.sendall(b"X-More: 1\r\n")  # a word from time to time does not help
        assert rest(slow_head) == b""
    for one in idle:
        assert rest(one) == b""  # they too were cut by now
        one.close()
    assert ask.get("/api/health").status_code == 200


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1.evil.test", "", "127.0.0.1@evil.test", "[::1", "a:b:c"])
def test_case_84_only_our_own_names_are_answered(ask: httpx.Client, host: str) -> None:
    said = ask.get("/api/health", headers={"host": host})
    assert said.status_code == 400 and "Host" in said.json()["error"]


def test_case_84_what_proxies_say_is_not_believed(api: Coordinator, ask: httpx.Client) -> None:
    lies = {f"x-forwarded-{what}": said for what, said in (("for", "10.0.0.1"), ("host", "evil.test"))}
    lies |= {"x-original-url": "/api/health", "x-http-method-override": "DELETE", "forwarded": "host=evil.test"}
    assert ask.get("/api/health", headers=lies).status_code == 200
    assert ask.get("/api/health", headers={"host": "API.test:8002"}).status_code == 200
    with client(api, "") as nobody:
        assert nobody.get("/api/status", headers=lies).status_code == 401
    two = b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n"
    assert b" 400 " in raw(api, two).split(b"\r\n")[0]


@pytest.mark.parametrize(
    "path",
    ["/api/../metrics", "/api/%2e%2e/metrics", "/api/%2E%2e/metrics", "//api/health", "/api//health", "/api/./health",
     "/api/health/..", "/api%2fhealth", "/api\\health", "/api/%5c..%5cmetrics", "/api/health%00", "/api/tasks/%0aid"],
)  # fmt: skip
def test_case_85_path_tricks_open_nothing(api: Coordinator, path: str) -> None:
    with_token = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {api.tokens['admin']}\r\n"
    said = raw(api, f"{with_token}Connection: close\r\n\r\n".encode())
    assert b" 400 " in said.split(b"\r\n")[0], said
    without = raw(api, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    assert b" 400 " in without.split(b"\r\n")[0], without


@pytest.mark.parametrize("path", ["/api/health/", "/API/HEALTH", "/api/health;x", "/docs/../api/status", "/docs/page"])
def test_case_85_what_is_like_an_open_path_is_not_open(api: Coordinator, path: str) -> None:
    said = raw(api, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    assert said.split(b" ")[1] in (b"400", b"401"), said


def test_case_86_only_listed_origins_get_cors(ask: httpx.Client) -> None:
    """S17, S4-35."""
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    good = ask.options("/api/tasks", headers={"origin": PAGE, **asked})
    assert good.status_code == 200 and good.headers["access-control-allow-origin"] == PAGE
    assert ask.get("/api/status", headers={"origin": PAGE}).headers["access-control-allow-origin"] == PAGE
    for origin in ("http://evil.test", "null", f"{PAGE}.evil.test", PAGE.replace("http:", "https:"), "*"):
        for said in (
            ask.options("/api/tasks", headers={"origin": origin, **asked}),
            ask.get("/api/status", headers={"origin": origin}),
        ):
            assert not [h for h in said.headers if h.startswith("access-control")], (origin, said.headers)
    for said in (good, ask.get("/api/status", headers={"origin": PAGE})):
        assert "*" not in (
            said.headers["access-control-allow-origin"],
            said.headers.get("access-control-allow-headers"),
        )
        assert "access-control-allow-credentials" not in said.headers


def test_heads_have_limits(api: Coordinator, ask: httpx.Client) -> None:
    assert ask.get("/api/health", headers={"x-long": "a" * 20_000}).status_code in (400, 431)
    assert ask.get("/api/status", headers={f"x-{i}": "a" for i in range(150)}).status_code == 431
    assert ask.get("/api/tasks", params={"q": "a" * 9000}).status_code in (400, 414)
    assert ask.get("/api/status").status_code == 200


def test_no_answer_tells_what_we_are_made_of(api: Coordinator, ask: httpx.Client) -> None:
    """S18."""
    for said in (
        ask.get("/api/health"),
        ask.get("/nowhere"),
        ask.put("/api/status"),
        ask.post("/api/tasks", content=b"{", headers=JSON),
    ):
        text = f"{said.headers} {said.text}".lower()
        assert not [word for word in ("uvicorn", "python", "starlette", "fastapi", "traceback", "h11") if word in text]
        assert said.headers["x-content-type-options"] == "nosniff" and "no-store" in said.headers["cache-control"]
        assert "frame-ancestors 'none'" in said.headers["content-security-policy"]
    assert b"uvicorn" not in raw(api, b"nonsense\r\n\r\n").lower()


def test_tls(shared_server: Server, tmp_path: Path) -> None:
    """S1-10. A certificate of our own, checked by the caller."""
    key, cert, authority = _certificate(tmp_path)
    one = Coordinator(tmp_path / "api", shared_server, tls={"cert": "../api.crt", "key": "../api.key"})
    one.health = ""
    one.start()
    trusting = ssl.create_default_context(cafile=str(authority))

    def ask() -> httpx.Response | None:
        return one.get(f"https://127.0.0.1:{one.port}/api/health", verify=trusting)

    until(ask, "it listens")
    until(lambda: (said := ask()) and said.status_code == 200, "it is well")
    with pytest.raises(httpx.ConnectError, match=r"self.signed"):
        httpx.get(f"https://127.0.0.1:{one.port}/api/health", trust_env=False)
    one.close()
    key.write_text("nonsense")
    one.start()
    assert one.process and one.process.wait(60) == 2 and "tls:" in one.said and "Traceback" not in one.said
    assert cert.exists()


def _certificate(folder: Path) -> tuple[Path, Path, Path]:
    """(key, certificate, what to trust) for 127.0.0.1."""
    key, cert = folder / "api.key", folder / "api.crt"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    about = ["-days", "2", "-subj", "/CN=api", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run(["openssl", "req", "-x509", *curve, *about, *files], check=True, capture_output=True)
    return key, cert, cert


def test_two_addresses_one_of_which_is_not_there_yet(shared_server: Server, tmp_path: Path) -> None:
    """An address of the mesh may come up after us (IP_FREEBIND); one that is taken is said in one line."""
    both = Coordinator(tmp_path / "both", shared_server, bind=["127.0.0.1", "10.254.253.252"])
    with_it = both.start()
    again = Coordinator(tmp_path / "again", shared_server, port=both.port)
    again.health = ""
    again.start()
    assert again.process and until(lambda: again.process.poll() is not None, "it ends")
    assert again.process.returncode == 1 and "cannot listen on 127.0.0.1" in again.said
    assert "Traceback" not in again.said
    with_it.close()


def test_ipv6_callers_are_known_by_their_brackets(shared_server: Server, tmp_path: Path) -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")
    one = Coordinator(tmp_path, shared_server, bind=["127.0.0.1", "::1"])
    one.start()
    said = httpx.get(f"http://[::1]:{one.port}/api/health", trust_env=False)
    one.close()
    assert said.status_code == 200
