"""The probes tcp and http on loopback: servers that hang, refuse or talk nonsense."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time

import pytest

from tests.target.looking import free_port, listener, look, silent


def test_tcp() -> None:
    with listener(silent) as port:
        event = look("tcp", port=port)
        assert event["ok"] and event["unit"] == "ms" and 0 <= event["value"] < 20_000
        assert look("tcp", port=port, expect="closed")["ok"] is False
    port = free_port()
    event = look("tcp", port=port)
    assert event["ok"] is False and "refused" in event["detail"] and str(port) in event["detail"]
    assert look("tcp", port=port, expect="closed")["ok"] is True


def test_tcp_ipv6_and_names() -> None:
    server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    with server:
        port = server.getsockname()[1]
        assert look("tcp", host="::1", port=port)["ok"]


def test_tcp_tries_every_address_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with listener(silent) as port:
        real = socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)
        closed = socket.getaddrinfo("127.0.0.1", free_port(), type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: closed + real)
        assert look("tcp", host="two.addresses", port=port)["ok"]


def test_tcp_full_backlog_is_a_timeout_in_time() -> None:
    """A SYN that nobody answers, as of a black-holed host, without leaving loopback."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(0)
        port = s.getsockname()[1]
        fillers = []
        for _ in range(4):
            f = socket.socket()
            f.setblocking(False)
            f.connect_ex(("127.0.0.1", port))
            fillers.append(f)
        began = time.monotonic()
        event = look("tcp", within=0.8, port=port)
        took = time.monotonic() - began
        for f in fillers:
            f.close()
    assert event["ok"] is False and event["timeout"] and took < 20  # the kernel would try for two minutes


# -- http


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = {
            "/health": (200, b'{"status": "ok", "routers": [1, 2, 3], "devices": {"npu": null, "n": 2}}'),
            "/broken": (500, b"it \x1b[31mfell\nover"),
            "/moved": (302, b""),
            "/text": (200, b"plain words"),
        }.get(self.path, (404, b"no"))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def pages():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_http_status_and_body(pages: str) -> None:
    event = look("http", url=f"{pages}/health")
    assert event["ok"] and event["status"] == 200 and event["unit"] == "ms"
    broken = look("http", url=f"{pages}/broken")
    assert broken["ok"] is False and "answers 500" in broken["detail"] and "\x1b" not in broken["detail"]
    assert look("http", url=f"{pages}/moved")["ok"] is False
    assert look("http", url=f"{pages}/moved", status=[302])["ok"]
    assert look("http", url=f"{pages}/text", body="plain")["ok"]
    assert "without 'fancy'" in look("http", url=f"{pages}/text", body="fancy")["detail"]


def test_http_json(pages: str) -> None:
    url = f"{pages}/health"
    assert look("http", url=url, json={"status": "ok", "routers.length": ">= 3", "devices.n": 2})["ok"]
    event = look("http", url=url, json={"routers.length": ">= 30"})
    assert event["ok"] is False and "routers.length is 3, not >= 30" in event["detail"]
    assert look("http", url=url, json={"devices.npu.x": 1})["ok"] is False
    assert look("http", url=f"{pages}/text", json={"a": 1})["ok"] is False
    warned = look("http", url=url, json={"status": "ok"}, warn_unless={"devices.n": 3})
    assert warned["ok"] and warned["warn"] and "devices.n is 2, not 3" in warned["detail"]
    assert "warn" not in look("http", url=url, warn_unless={"devices.n": 2})


@pytest.mark.parametrize("url", ["ftp://x/", "http://u:p@h/", "http://h:port/", "http://127.0.0.1/a b", "words"])
def test_http_refuses_bad_urls(url: str) -> None:
    assert look("http", url=url)["ok"] in (None, False)


def test_http_odd_servers() -> None:
    with listener(lambda c: c.sendall(b"SSH-2.0-x\r\n") or c.close()) as port:
        assert "not answer with HTTP" in look("http", url=f"http://127.0.0.1:{port}/")["detail"]
    with listener(silent) as port:
        event = look("http", within=0.4, url=f"http://127.0.0.1:{port}/")
        assert event["ok"] is False and event["timeout"]

    def drip(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while True:
                connection.sendall(b"x")
                threading.Event().wait(0.05)

    with listener(drip) as port:
        began = time.monotonic()
        assert look("http", within=0.5, url=f"http://127.0.0.1:{port}/")["ok"] is False
        assert time.monotonic() - began < 20  # it would drip for 50 s

    chunked = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n'
    with listener(lambda c: c.recv(4096) and (c.sendall(chunked), c.close())) as port:
        assert look("http", url=f"http://127.0.0.1:{port}/", json={"a": 1})["ok"]
