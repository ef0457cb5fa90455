"""Probes against real servers on loopback: Redis, HTTP, TLS, and servers that hang, refuse or talk nonsense."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest

import swarmops.target.health as health
from swarmops.target.probes import _x509, systemd, wireguard
from swarmops.target.probes import redis as redis_probe

PASSWORD = "canary-5b1f0c7de2"


def look(probe: str, within: float = 2.0, **args) -> dict:
    """One check through the engine, as on a host."""
    checks = [{"id": "role/one", "probe": probe, "args": args, "within": within}]
    (event,) = health.results(checks, health.Context(checks))
    assert event["e"] == "check" and event["id"] == "role/one"
    return event


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(true, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not become so"
        threading.Event().wait(0.02)


@contextlib.contextmanager
def listener(speak):
    """A TCP server on loopback; `speak(connection)` runs for each visitor in a thread."""
    server = socket.create_server(("127.0.0.1", 0))
    kept = []

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            kept.append(connection)
            threading.Thread(target=speak, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.close()
        for connection in kept:
            connection.close()


def silent(connection: socket.socket) -> None:
    """Accepts and never says a word, as a frozen server."""


# -- the engine


def test_checks_run_side_by_side_and_a_hanging_one_holds_up_nobody() -> None:
    with listener(silent) as port:
        slow = {"id": "a/slow", "probe": "redis", "args": {"port": port}, "within": 0.6}
        stuck = {"id": "a/stuck", "probe": "command", "args": {"argv": ["sleep", "60"]}, "within": 0.5}
        quick = [{"id": f"a/{n}", "probe": "disk", "args": {}} for n in range(20)]
        began = time.monotonic()
        events = list(health.results([slow, stuck, *quick], health.Context()))
        took = time.monotonic() - began
    assert took < 1.5
    assert {e["id"] for e in events[-2:]} == {"a/slow", "a/stuck"}
    assert all(e["ok"] is False and e["timeout"] for e in events[-2:])
    assert all(e["ok"] for e in events[:20])


def test_overall_limit_is_above_every_check() -> None:
    stuck = {"id": "a", "probe": "command", "args": {"argv": ["sleep", "60"]}, "within": 50}
    began = time.monotonic()
    (event,) = health.results([stuck], health.Context(), limit=0.3)
    assert time.monotonic() - began < 1.0
    assert event["ok"] is False and "0.3 s" in event["detail"]


def test_a_probe_that_breaks_is_unknown_and_named() -> None:
    assert look("no_such")["ok"] is None
    assert "no probe 'no_such'" in look("no_such")["detail"]
    broken = look("tcp")  # no port given
    assert broken["ok"] is None and "KeyError" in broken["detail"]
    assert look("../evil")["ok"] is None


def test_what_services_say_reaches_no_terminal_raw() -> None:
    event = look("command", argv=["printf", r"\033[31mred\033]0;x\007 \302\233 %0500d", "7"])
    assert event["detail"].isprintable() and "\x1b" not in event["detail"]
    assert len(event["detail"]) <= health.LINE


def test_run_emits_through_the_system() -> None:
    said: list[dict] = []
    system = types.SimpleNamespace(emit=said.append)
    health.run({"checks": [{"id": "d", "probe": "disk", "args": {"path": "/"}}], "now": 1.0}, system)
    assert [e["id"] for e in said] == ["d"]


@pytest.mark.parametrize("python", ["3.9.18", "3.13.0"])
def test_every_probe_loads_on_other_pythons(python: str) -> None:
    exe = Path.home() / f".pyenv/versions/{python}/bin/python"
    if not exe.exists():
        pytest.skip(f"no Python {python} here")
    root = Path(health.__file__).parent.parent.parent
    names = sorted(p.stem for p in (root / "swarmops/target/probes").glob("*.py") if p.stem != "__init__")
    code = f"import importlib\nfor n in {names!r}: importlib.import_module('swarmops.target.probes.' + n)"
    subprocess.run([exe, "-S", "-c", code], cwd=root, check=True)


# -- tcp


def test_tcp() -> None:
    with listener(silent) as port:
        event = look("tcp", port=port)
        assert event["ok"] and event["unit"] == "ms" and event["value"] < 500
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
    assert event["ok"] is False and event["timeout"] and took < 1.2


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
        assert time.monotonic() - began < 1.0

    chunked = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n'
    with listener(lambda c: c.recv(4096) and (c.sendall(chunked), c.close())) as port:
        assert look("http", url=f"http://127.0.0.1:{port}/", json={"a": 1})["ok"]


# -- tls


def certificate(folder: Path, name: str, begins: float, ends: float, ca=None):
    """A certificate that holds from and until so many days from now; (path, key path, (cert, key))."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(ca[0].subject if ca else subject)
    made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
    made = made.not_valid_before(now + datetime.timedelta(days=begins))
    made = made.not_valid_after(now + datetime.timedelta(days=ends))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
    made = made.add_extension(x509.BasicConstraints(ca=ca is None, path_length=None), True)
    if ca is None:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        made = made.add_extension(usage, True)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    else:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca[1].public_key())
        made = made.add_extension(identifier, False)
    signed = made.sign(ca[1] if ca else key, hashes.SHA256())
    cert_path, key_path = folder / f"{name}{ends}.crt", folder / f"{name}{ends}.key"
    cert_path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_path, key_path, (signed, key)


@contextlib.contextmanager
def tls_listener(cert: Path, key: Path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    def speak(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            context.wrap_socket(connection, server_side=True).recv(1)

    with listener(speak) as port:
        yield port


@pytest.mark.parametrize(
    "begins, ends, ok, words",
    [
        (-1, 90, True, "holds until"),
        (-90, -1, False, "expired on"),
        (5, 90, False, "holds only from"),
    ],
)
def test_tls_port(tmp_path: Path, begins: float, ends: float, ok: bool, words: str) -> None:
    ca_path, _, ca = certificate(tmp_path, "ca", -100, 900)
    cert, key, _ = certificate(tmp_path, "redis-1", begins, ends, ca)
    with tls_listener(cert, key) as port:
        event = look("tls", port=port, server_name="redis-1", ca=str(ca_path))
    assert event["ok"] is ok and words in event["detail"]
    assert abs(event["value"] - ends) < 0.1
    if begins < 0:
        date = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=ends)).strftime("%Y-%m-%d")
        assert date in event["detail"]  # the message names the date (F43)


def test_tls_wrong_name_or_ca_is_told(tmp_path: Path) -> None:
    ca_path, _, ca = certificate(tmp_path, "ca", -100, 900)
    other_path, _, _ = certificate(tmp_path, "other", -100, 900)
    cert, key, _ = certificate(tmp_path, "redis-1", -1, 90, ca)
    with tls_listener(cert, key) as port:
        wrong = look("tls", port=port, server_name="redis-2", ca=str(ca_path))
        strange = look("tls", port=port, server_name="redis-1", ca=str(other_path))
        free = look("tls", port=port, server_name="redis-2", verify=False)
    assert wrong["ok"] is False and "not trusted" in wrong["detail"] and "redis-2" in wrong["detail"]
    assert strange["ok"] is False and "not trusted" in strange["detail"]
    assert free["ok"] is True


def test_tls_file_and_no_tls(tmp_path: Path) -> None:
    cert, _, _ = certificate(tmp_path, "x", -1, 3)
    event = look("tls", file=str(cert))
    assert event["ok"] and 2.9 < event["value"] < 3.1 and str(cert) in event["detail"]
    assert look("tls", file=str(tmp_path / "none.crt"))["ok"] is False
    (tmp_path / "junk.crt").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert look("tls", file=str(tmp_path / "junk.crt"))["ok"] is None
    with listener(lambda c: c.sendall(b"hello\r\n")) as port:
        assert "TLS handshake failed" in look("tls", port=port)["detail"]
    with listener(silent) as port:
        assert look("tls", within=0.4, port=port)["timeout"]


def test_validity_agrees_with_cryptography(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    for ends in (1, 9000, 40000):  # the last ones are beyond 2049 and so in the other ASN.1 form
        _, _, (cert, _) = certificate(tmp_path, "y", -1, ends)
        begins_at, ends_at = _x509.validity(cert.public_bytes(Encoding.DER))
        assert begins_at == cert.not_valid_before_utc.timestamp()
        assert ends_at == cert.not_valid_after_utc.timestamp()


# -- redis


class Redis:
    """A redis-server of this test's own on loopback and a unix socket."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.port, self.socket = folder, free_port(), folder / "redis.sock"
        argv = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        argv += ["--unixsocket", str(self.socket), "--save", "", *options]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: "refused" not in look("tcp", port=self.port)["detail"])

    def cli(self, *words: str) -> str:
        argv = ["redis-cli", "-p", str(self.port), *words]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def redis_at(tmp_path: Path):
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    started = []

    def start(*options: str) -> Redis:
        folder = tmp_path / f"redis{len(started)}"
        folder.mkdir()
        started.append(Redis(folder, *options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.mark.runtime
def test_redis_idle_server_is_well(redis_at) -> None:
    server = redis_at("--maxmemory", "64mb", "--maxmemory-policy", "noeviction")
    fields = ["ping", "used_memory_ratio", "persistence", "replication", "clients_ratio", "evicted_keys", "modules"]
    for field in [*fields, "rejected_connections", "connected_clients"]:
        event = look("redis", port=server.port, field=field)
        assert event["ok"] is True and not event.get("warn"), event
        assert field == "modules" or isinstance(event["value"], int | float)
    assert look("redis", socket=str(server.socket))["ok"]
    ratio = look("redis", port=server.port, field="used_memory_ratio")
    assert 0 < ratio["value"] < 0.5 and ratio["limits"]["max"] == 0.9 and "noeviction" in ratio["detail"]
    assert look("redis", port=server.port, field="maxmemory_policy", equals="noeviction")["ok"]
    assert look("redis", port=server.port, field="maxmemory_policy", equals="allkeys-lru")["ok"] is False
    assert look("redis", port=server.port, field="no_such")["ok"] is None
    assert look("redis", port=server.port, field="modules", equals="search")["ok"] is False


@pytest.mark.runtime
def test_redis_checks_of_one_server_share_one_connection(redis_at) -> None:
    server = redis_at()
    before = int(server.cli("INFO", "stats").split("total_connections_received:")[1].split()[0])
    fields = ["ping", "persistence", "clients_ratio", "replication", "used_memory_ratio"]
    checks = [{"id": f, "probe": "redis", "args": {"port": server.port, "field": f}} for f in fields]
    assert all(e["ok"] for e in health.results(checks, health.Context(checks)))
    after = int(server.cli("INFO", "stats").split("total_connections_received:")[1].split()[0])
    assert after - before == 2  # ours and that of redis-cli


@pytest.mark.runtime
def test_redis_password_comes_from_a_file_and_is_in_no_event(redis_at, tmp_path: Path) -> None:
    acl = tmp_path / "users.acl"
    acl.write_text(f"user default off\nuser health on >{PASSWORD} +ping +info\nuser deaf on >{PASSWORD} +ping\n")
    server = redis_at("--aclfile", str(acl))
    secret, wrong = tmp_path / "health.password", tmp_path / "wrong.password"
    secret.write_text(PASSWORD + "\n")
    wrong.write_text("not-the-password-9a")
    secret.chmod(0o600)
    good = {"port": server.port, "user": "health", "password_file": str(secret)}
    assert look("redis", **good)["ok"]
    assert look("redis", **good, field="persistence")["ok"]
    anonymous = look("redis", port=server.port)
    assert anonymous["ok"] is False and "wants a password" in anonymous["detail"]
    refused = look("redis", **{**good, "password_file": str(wrong)})
    assert refused["ok"] is False and "WRONGPASS" in refused["detail"] and "not-the-pass" not in str(refused)
    missing = look("redis", **{**good, "password_file": str(tmp_path / "gone")})
    assert missing["ok"] is None and "gone" in missing["detail"]
    deaf = look("redis", **{**good, "user": "deaf"}, field="persistence")
    assert deaf["ok"] is None and "NOPERM" in deaf["detail"]
    assert look("redis", port=server.port, field="noauth")["ok"] is True
    assert PASSWORD not in str([look("redis", **good), refused, missing, deaf, anonymous])


@pytest.mark.runtime
def test_redis_open_to_all_is_found(redis_at) -> None:
    server = redis_at()
    event = look("redis", port=server.port, field="noauth")
    assert event["ok"] is False and "no password" in event["detail"]


@pytest.mark.runtime
def test_redis_full_memory_and_failed_save(redis_at) -> None:
    server = redis_at("--maxmemory", "4mb", "--maxmemory-policy", "noeviction")
    fill = "for i = 1, 100 do redis.call('SETRANGE', 'k' .. i, 40000, 'x') end"  # ends with an OOM error
    server.cli("EVAL", fill, "0")
    event = look("redis", port=server.port, field="used_memory_ratio")
    assert event["value"] > 0.9
    shutil.rmtree(server.folder)  # a save has nowhere to go
    server.cli("BGSAVE")
    wait_for(lambda: not look("redis", port=server.port, field="persistence")["ok"])
    event = look("redis", port=server.port, field="persistence")
    assert event["ok"] is False and "last save failed" in event["detail"]


@pytest.mark.runtime
def test_redis_replication(redis_at) -> None:
    primary = redis_at()
    replica = redis_at("--replicaof", "127.0.0.1", str(primary.port))
    wait_for(lambda: not look("redis", port=primary.port, field="replication", replicas=1).get("warn"))
    event = look("redis", port=primary.port, field="replication", replicas=1)
    assert event["ok"] and "1 replica online" in event["detail"]
    event = look("redis", port=primary.port, field="replication", replicas=2)
    assert event["warn"] and "1 replica online, 2 wanted, started" in event["detail"]
    info = {"role": "master", "connected_slaves": "0", "uptime_in_seconds": str(redis_probe.SETTLED)}
    assert redis_probe._replication(info, {"replicas": 1}, None)["ok"] is False
    assert look("redis", port=replica.port, field="replication", role="replica")["ok"]
    assert look("redis", port=replica.port, field="replication", role="primary")["ok"] is False
    primary.stop()
    wait_for(lambda: not look("redis", port=replica.port, field="replication")["ok"])
    assert "link down" in look("redis", port=replica.port, field="replication")["detail"]


@pytest.mark.runtime
def test_redis_that_lowered_maxclients_warns(redis_at, tmp_path: Path) -> None:
    """S3-59: started with too few open files, Redis lowers maxclients and says so only in its log."""
    port, conf = free_port(), tmp_path / "redis.conf"
    conf.write_text(f'port {port}\nbind 127.0.0.1\ndir {tmp_path}\nsave ""\nmaxclients 10000\n')
    limit = "import os, resource as r; r.setrlimit(r.RLIMIT_NOFILE, (512, 512)); "
    argv = [sys.executable, "-c", f"{limit}os.execvp('redis-server', ['redis-server', '{conf}'])"]
    if os.geteuid() == 0:  # who may raise the limit again must not, here
        argv = ["setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource", *argv]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: look("redis", port=port)["ok"])
        event = look("redis", port=port, field="maxclients")
        assert event["ok"] and event["warn"] and "lowered maxclients from 10000" in event["detail"]
        assert "512" in event["detail"]
    finally:
        process.kill()
        process.wait()


@pytest.mark.runtime
def test_redis_command(redis_at) -> None:
    server = redis_at()
    server.cli("SADD", "swarm:active", "a", "b")
    server.cli("SET", "swarm:leader", "x")
    assert look("redis", port=server.port, command=["SCARD", "swarm:active"])["value"] == 2
    assert look("redis", port=server.port, command=["PTTL", "swarm:leader"])["value"] == -1
    assert look("redis", port=server.port, command=["GET", "swarm:leader"], equals="x")["ok"]
    assert look("redis", port=server.port, command=["GET", "none"])["ok"] is False
    for words in (["FLUSHALL"], ["set", "a", "b"], ["EVAL", "return 1", 0], ["CONFIG", "GET", "*"], ["KEYS", "*"]):
        event = look("redis", port=server.port, command=words)
        assert event["ok"] is None and "may not run" in event["detail"]
    assert server.cli("DBSIZE").strip() == "2"


def test_redis_odd_servers() -> None:
    with listener(silent) as port:
        event = look("redis", within=0.4, port=port)
        assert event["ok"] is False and event["timeout"]
    with listener(lambda c: c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        assert "protocol" in look("redis", port=port)["detail"]
    with listener(lambda c: c.close()) as port:
        assert look("redis", port=port)["ok"] is False
    with listener(lambda c: c.recv(100) and c.sendall(b"-LOADING Redis is loading the dataset in memory\r\n")) as port:
        assert "LOADING" in look("redis", port=port)["detail"]
    with listener(lambda c: c.recv(100) and c.sendall(b"-MISCONF disk full\r\n")) as port:
        assert "MISCONF" in look("redis", port=port)["detail"]
    event = look("redis", port=free_port())
    assert event["ok"] is False and "refused" in event["detail"]


# -- the host itself


def test_disk_memory_load_file(tmp_path: Path) -> None:
    disk = look("disk", path=str(tmp_path))
    assert disk["ok"] and 0 <= disk["value"] <= 1 and "free" in disk["detail"]
    assert look("disk", path=str(tmp_path / "none"))["ok"] is False
    assert look("disk", path="/sys", writable=False)["ok"]
    memory = look("memory")
    assert memory["ok"] and 0 < memory["value"] < 1
    assert look("load")["ok"]
    file = tmp_path / "stamp"
    assert look("file_age", path=str(file))["ok"] is False
    assert look("file_age", path=str(file), want="absent")["ok"] is True
    file.write_text("x")
    os.utime(file, (time.time() - 100, time.time() - 100))
    assert 99 < look("file_age", path=str(file))["value"] < 110
    assert look("file_age", path=str(file), want="absent")["warn"]


def test_command_speaks_nagios(tmp_path: Path) -> None:
    for code, ok, warn in ((0, True, False), (1, True, True), (2, False, False), (3, None, False), (77, False, False)):
        event = look("command", argv=["sh", "-c", f"echo 'well | x=1'; exit {code}"])
        assert (event["ok"], event["warn"], event["value"]) == (ok, warn, code)
        assert event["detail"] == "sh: well"
    assert look("command", argv=["/no/such"])["ok"] is None


def test_clock_without_chrony_tells_the_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    event = look("clock")
    assert event["ok"] and (abs(event["time"] - time.time()) < 5 or event["value"] is not None)


def test_clock_by_chrony(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "chronyc"
    row = "A29FC801,162.159.200.1,4,1732150000.123,0.000123,-0.0001,0.0002,1.2,0.01,0.03,0.004,0.001,64.2,Normal"
    tool.write_text(f"#!/bin/sh\necho {row}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    event = look("clock")
    assert event["ok"] and event["value"] == 0.000123 and "162.159.200.1" in event["detail"]
    tool.write_text(f"#!/bin/sh\necho {row.replace('Normal', 'Not synchronised')}\n")
    assert look("clock")["warn"]


def test_latency(redis_at) -> None:
    server = redis_at()
    for via in ("tcp", "redis"):
        event = look("latency", host="127.0.0.1", port=server.port, via=via, count=10)
        assert event["ok"] and event["samples"] == 10 and event["value"] <= event["p99"]
    # a port that refuses answers as fast as one that accepts
    assert look("latency", host="127.0.0.1", port=free_port(), count=5)["samples"] == 5
    if os.geteuid() == 0:
        assert look("latency", host="127.0.0.1", via="icmp", count=5)["samples"] == 5


def test_dns() -> None:
    assert look("dns", name="localhost")["ok"]
    assert look("dns", name="localhost", address="10.9.9.9")["ok"] is False


# -- systemd and WireGuard: what their tools say, judged (the tools themselves: tests/infra/test_health.py)


def unit(**more) -> dict:
    row = {"Id": "redis.service", "LoadState": "loaded", "ActiveState": "active", "SubState": "running"}
    row |= {"NRestarts": "0", "Result": "success", "ExecMainStatus": "0", "ExecMainCode": "0"}
    return row | {"ActiveEnterTimestampMonotonic": "1000000"} | more


@pytest.mark.parametrize(
    "row, now, ok, warn, words",
    [
        (unit(), 9999, True, False, "is active"),
        (unit(NRestarts="2"), 1000, True, True, "restarted 2 times, last 17 min ago"),
        (unit(NRestarts="2"), 9999, True, False, "restarted 2 times"),
        (unit(NRestarts="6"), 3, False, False, "keeps restarting, restarted 6 times, up for 2 s"),
        (
            unit(
                NRestarts="4", ActiveState="activating", SubState="auto-restart", ExecMainCode="2", ExecMainStatus="9"
            ),
            9,
            False,
            False,
            "restarted 4 times (signal 9)",
        ),
        (unit(ActiveState="failed", Result="exit-code", ExecMainStatus="1"), 9, False, False, "exit-code, exit code 1"),
        (unit(ActiveState="inactive", SubState="dead"), 9, False, False, "is inactive (dead)"),
        (unit(ActiveState="activating", SubState="start"), 9, True, True, "activating"),
        (unit(LoadState="not-found"), 9, False, False, "no unit"),
    ],
)
def test_systemd_judgement(row: dict, now: float, ok: bool, warn: bool, words: str) -> None:
    found = systemd.judge(row, "active", now)
    assert (found["ok"], bool(found.get("warn"))) == (ok, warn) and words in found["detail"]


def test_systemd_wanted_inactive() -> None:
    assert systemd.judge(unit(), "inactive", 9)["ok"] is False
    assert systemd.judge(unit(ActiveState="inactive"), "inactive", 9)["ok"]
    assert systemd.judge(unit(ActiveState="failed"), "any", 9)["ok"]


def peer(address: str, age: float | None, keepalive: int = 0) -> dict:
    return {"address": address, "keepalive": keepalive, "at": 0 if age is None else 10_000 - age}


@pytest.mark.parametrize(
    "peers, answers, ok, warn, words",
    [
        (
            [peer("10.9.0.1", 5), peer("10.9.0.2", 5000)],
            {"10.9.0.1": 1.0, "10.9.0.2": 2.0},
            True,
            False,
            "2 peers answer",
        ),
        ([peer("10.9.0.1", 5), peer("10.9.0.2", 100)], {"10.9.0.1": 1.0}, True, True, "b does not answer"),
        ([peer("10.9.0.1", 5), peer("10.9.0.2", 400)], {"10.9.0.1": 1.0}, False, False, "last handshake 400 s ago"),
        ([peer("10.9.0.1", 5), peer("10.9.0.2", None)], {"10.9.0.1": 1.0}, False, False, "no handshake yet"),
        ([peer("10.9.0.1", 5)], {"10.9.0.1": 1.0}, False, False, "b (10.9.0.2) is no peer"),
    ],
)
def test_wireguard_judgement(peers: list, answers: dict, ok: bool, warn: bool, words: str) -> None:
    found = wireguard.judge(peers, {"10.9.0.1": "a", "10.9.0.2": "b"}, answers, 10_000)
    assert (found["ok"], bool(found.get("warn"))) == (ok, warn) and words in found["detail"]


def test_wireguard_without_echo_reads_ages_of_peers_with_keepalive_only() -> None:
    quiet = [peer("10.9.0.1", 9000), peer("10.9.0.2", None)]
    assert wireguard.judge(quiet, {}, None, 10_000)["ok"]
    assert wireguard.judge([*quiet, peer("10.9.0.3", 20, 25)], {}, None, 10_000)["value"] == 20
    assert wireguard.judge([peer("10.9.0.3", 200, 25)], {}, None, 10_000)["warn"]
    assert wireguard.judge([peer("10.9.0.3", 301, 25)], {}, None, 10_000)["ok"] is False
    assert wireguard.judge([peer("10.9.0.3", None, 25)], {}, None, 10_000)["ok"] is False


def test_wireguard_without_its_interface_is_down() -> None:
    if not shutil.which("wg"):
        pytest.skip("wg is not installed")
    event = look("wireguard", interface="wg-none", peers={"a": "10.9.0.1"})
    assert event["ok"] is (False if os.geteuid() == 0 else None)
