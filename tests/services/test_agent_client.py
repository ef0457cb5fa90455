"""swarmops.client: a program elsewhere that submits, and an agent that stays (S1-08, S1-12, S1-16, S1-17; F42)."""

from __future__ import annotations

import datetime
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmops.client import Agent, ApiError, Away, Client, Denied, Fatal, Job, Late, Retry, TaskFailed
from tests.runtime.server import Server, free_port
from tests.services.agents import QUICK, AgentProcess, agents, alive, give, until
from tests.services.coordinator import Coordinator


@pytest.fixture(scope="module")
def api(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    times = {**QUICK, "grace": 3.0, "lease": 20.0}
    coordinator = Coordinator(tmp_path_factory.mktemp("api"), redis, agents=times).start()
    yield coordinator
    coordinator.close()


@pytest.fixture
def client(api: Coordinator) -> Iterator[Client]:
    with Client(api.url, api.tokens["admin"]) as one:
        yield one


class Running:
    """An Agent in a thread."""

    def __init__(self, agent: Agent, handlers: dict):
        self.agent = agent
        self.thread = threading.Thread(target=agent.run, args=(handlers,))
        self.thread.start()

    def __enter__(self) -> Agent:
        assert self.agent.connected.wait(20)
        return self.agent

    def __exit__(self, *_: object) -> None:
        self.agent.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()


def test_submit_and_do(api: Coordinator, client: Client) -> None:
    def double(n: int) -> int:
        return 2 * n

    with Running(Agent(api.url, api.tokens["agent"], "does"), {"double": double, "shout": str.upper}):
        assert client.run("double", {"n": 21}) == 42
        assert client.result(client.submit("shout", "loud")) == "LOUD"
        known = {a["id"]: a for a in client.agents()}["does"]
        assert known["facts"]["cpu_cores"] >= 1 and known["facts"]["storage_gb"] > 0, "what it has was looked for"
        ids = client.submit_many([{"type": "double", "args": {"n": n}} for n in range(50)])
        assert [client.result(id) for id in ids] == [2 * n for n in range(50)]
        assert client.task(ids[0])["status"] == "done" and len(client.tasks("done", limit=10)) == 10
        flow = client.workflow("two", [{"name": "a", "type": "double", "args": {"n": 1}},
                                       {"name": "b", "type": "double", "args": {"n": 2}, "after": ["a"]}])  # fmt: skip
        until(lambda: client.workflows(flow)["status"] == "done")
    assert "does" not in alive(api), "it took its leave"
    assert client.status()["agents"]["alive"] == len(alive(api))


def test_errors_and_the_agent_goes_on(api: Coordinator, client: Client) -> None:
    tried: list[int] = []

    def breaks(job: Job) -> None:
        raise ValueError("no such colour")

    def later(job: Job) -> int:
        tried.append(job.attempt)
        if job.attempt == 1:
            raise Retry(0.01, "not yet")
        job.progress(0.9, "nearly")
        return job.attempt

    def never() -> None:
        raise Fatal("no path")

    handlers = {"breaks": breaks, "later": later, "never": never, "odd": lambda: {1, 2}}
    with Running(Agent(api.url, api.tokens["agent"], "goes-on"), handlers):
        with pytest.raises(TaskFailed, match="ValueError: no such colour"):
            client.run("breaks", retries=0)
        assert client.run("later") == 2 and tried == [1, 2]
        with pytest.raises(TaskFailed, match="no path"):
            client.run("never")
        with pytest.raises(TaskFailed, match="not JSON serializable"):
            client.run("odd", retries=0)


def test_what_a_client_is_told(api: Coordinator, client: Client) -> None:
    with pytest.raises(ApiError) as e:
        client.submit("nobody-does-this")
    assert e.value.status == 422 and e.value.path == "type"
    id = client.submit("nobody-does-this", anyway=True)
    with pytest.raises(Late):
        client.result(id, timeout=0.1)
    client.cancel(id)
    with pytest.raises(TaskFailed) as f:
        client.result(id)
    assert f.value.status == "cancelled"
    with pytest.raises(Denied) as d, Client(api.url, "admin.wrong") as stranger:
        stranger.status()
    assert d.value.status == 401 and "wrong" not in str(d.value)
    with pytest.raises(Away), Client(f"http://127.0.0.1:{free_port()}", "a.b") as lost:
        lost.status()
    for url in ("ftp://x", "http://user:pw@x", "nowhere"):
        with pytest.raises(ValueError):
            Client(url, "a.b")
    assert api.tokens["admin"] not in repr(client)


def test_an_agent_with_a_bad_token_says_so(api: Coordinator) -> None:
    with pytest.raises(Denied):
        Agent(api.url, "agent.wrong", "denied").run({})


def test_events_reach_a_client(api: Coordinator, client: Client) -> None:
    began = client.status()["now_ms"] if "now_ms" in client.status() else round(time.time() * 1000) - 1000
    seen: list[str] = []
    ended = threading.Event()

    def listen() -> None:
        with Client(api.url, api.tokens["read"]) as one:
            for event in one.events(since=began):
                seen.append(event["id"])
                if "heard-of" in seen:
                    ended.set()
                    return

    threading.Thread(target=listen, daemon=True).start()
    client.submit("whatever", id="heard-of", anyway=True)
    assert ended.wait(20)


def test_a_task_holds_up_no_heartbeat_and_cancelling_reaches_it(api: Coordinator, client: Client) -> None:
    """S1-12: the seed ran tasks on the thread of the socket, which stalled ping and pong."""
    begun = threading.Event()

    def waits(job: Job) -> str:
        begun.set()
        return "cancelled" if job.wait(20) else "done"

    with Running(Agent(api.url, api.tokens["agent"], "busy"), {"waits": waits}) as agent:
        id = client.submit("waits")
        assert begun.wait(20)
        time.sleep(3 * QUICK["heartbeat"])
        assert agent.connected.is_set() and "busy" in alive(api)
        client.cancel(id)
        until(lambda: not agent._jobs, "the handler heard of it")


def test_an_agent_that_is_killed_loses_its_task_to_another(api: Coordinator, tmp_path: Path) -> None:
    with agents() as made:
        made.append(AgentProcess(tmp_path, api, "victim", "kill"))
        until(lambda: "victim" in alive(api))
        id = give(api, "work-kill", {"n": 7, "seconds": 30})
        until(lambda: "begin 7" in made[0].said(), "it works on it")
        made[0].kill()
        made.append(AgentProcess(tmp_path, api, "heir", "kill"))
        until(lambda: "begin 7" in made[1].said(), "the other one has it")
        until(lambda: "victim" not in alive(api))
        task = api.ask("GET", f"/api/tasks/{id}", who="read").json()
        assert task["attempt"] == 2 and task["deaths"] == 1 and task["worker"] == "heir"


def test_sigterm_finishes_what_runs_and_cleans_up(api: Coordinator, tmp_path: Path) -> None:
    with agents() as made:
        made.append(AgentProcess(tmp_path, api, "polite"))
        until(lambda: "polite" in alive(api))
        first = give(api, "work-polite", {"n": 3, "seconds": 1.0})
        second = give(api, "work-polite", {"n": 4})
        until(lambda: "begin 3" in made[0].said())
        made[0].kill(signal.SIGTERM)
        assert made[0].process.wait(20) == 0
        assert "cleaned up" in made[0].said() and "polite" not in alive(api)
        assert api.result(first).json()["result"] == 9
        assert api.ask("GET", f"/api/tasks/{second}", who="read").json()["status"] == "ready"


def test_the_coordinator_is_killed_and_no_task_is_lost(redis: Server, tmp_path: Path) -> None:
    """F42: agents come back by themselves, also one that was there before its coordinator (S1-17), and 0 are lost."""
    api = Coordinator(tmp_path / "api", redis, agents={**QUICK, "grace": 5.0, "lease": 20.0})
    with agents() as made:
        made += [AgentProcess(tmp_path, api, f"stays-{n}", "stays", capacity=4) for n in range(3)]
        until(lambda: all("started" in one.said() for one in made), "they started before the coordinator")
        try:
            api.start()
            until(lambda: {one.id for one in made} <= alive(api).keys(), "and registered once it was up")
            with Client(api.url, api.tokens["submit"]) as client:
                tasks = [{"type": "work-stays", "args": {"n": n, "seconds": 0.05}} for n in range(200)]
                ids = client.submit_many(tasks)
                until(lambda: client.task(ids[40])["status"] == "done")
                api.kill()
                time.sleep(0.5)  # what runs now ends while nobody listens
                api.start()
                assert [client.result(id, 60) for id in ids] == [n * n for n in range(200)]
                ended = [client.task(id) for id in ids]
                assert all(task["status"] == "done" for task in ended)
                assert sum(task["attempt"] > 1 for task in ended) <= 12, "what was under way went on where it was"
        finally:
            api.close()


def test_redis_is_killed_while_a_task_runs(tmp_path: Path) -> None:
    """What was done meanwhile is kept by the agent until it could be written down."""
    redis = Server(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always").start()
    api = Coordinator(tmp_path / "api", redis, agents=QUICK).start()
    begun, go_on = threading.Event(), threading.Event()

    def holds(job: Job) -> str:
        begun.set()
        go_on.wait(20)
        return "kept"

    try:
        with Running(Agent(api.url, api.tokens["agent"], "keeps"), {"holds": holds}):
            with Client(api.url, api.tokens["submit"]) as client:
                id = client.submit("holds")
                assert begun.wait(20)
                redis.kill()
                go_on.set()
                time.sleep(1.0)
                redis.start()
                until(lambda: (a := api.get(api.health)) and a.status_code == 200)
                assert client.result(id) == "kept" and client.task(id)["attempt"] == 1
    finally:
        api.close()
        redis.close()


def test_certificates_are_always_checked(tmp_path: Path) -> None:
    """The client trusts the file that it is given and no other; there is no switch to turn that off."""
    cert, key = _certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    import http.server

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"https://localhost:{server.server_address[1]}"
        with Client(url, "a.b", ca=str(cert)) as good:
            assert good.status() == {}
        with pytest.raises(Away, match="certificate"), Client(url, "a.b") as bad:
            bad.status()
    finally:
        server.shutdown()
        server.server_close()


def _certificate(folder: Path) -> tuple[Path, Path]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


def test_the_client_needs_nothing_but_python() -> None:
    """S0-46: it imports the standard library, and websockets only to connect; nothing of the rest of swarmops."""
    code = (
        "import sys; import swarmops.client; "
        "bad = [m for m in sys.modules if m.split('.')[0] in ('redis', 'websockets', 'fastapi', 'httpx', 'fcntl')]; "
        "bad += [m for m in sys.modules if m.startswith('swarmops.') and not m.startswith('swarmops.client')]; "
        "sys.exit(str(bad) if bad else 0)"
    )
    import sys

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""
