"""The worker process, end to end, with the executor `shell`: tasks, registry, HTTP, and how it begins and ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.access import issue
from swarmops.workers.shell.leash import LEAST, version
from tests.conftest import lacking
from tests.runtime.commands import Command
from tests.runtime.server import Server
from tests.services.programs import Program, WorkerProgram
from tests.waiting import until

ECHO = {"commands": {"echo": {"argv": ["cat"]}, "slow": {"argv": ["sleep", "1"]}, "long": {"argv": ["sleep", "60"]}}}
PATIENT = 40.0  # seconds, on a machine with much else to do


@pytest.fixture(autouse=True)
def landlock() -> None:
    if version() < LEAST:
        lacking(f"this kernel has no Landlock of version {LEAST} or newer")


def test_a_task_goes_in_and_its_result_comes_out(worker: Callable[..., WorkerProgram], rt: Runtime) -> None:
    one = worker("shell", ECHO)
    result = rt.tasks.submit_and_wait("shell", {"command": "echo", "stdin": "hello"}, needs=["shell"], timeout=PATIENT)
    assert result["exit"] == 0 and result["stdout"] == "hello"
    agent = until(lambda: rt.agents.list())[0]
    assert agent.id == "shell-test" and "shell" in agent.capabilities and agent.facts["cpu_cores"] >= 1
    assert agent.metadata == {"role": "shell", "kinds": ["shell"], "url": one.url}
    said = one.ask("/health").json()
    assert said["status"] == "ok" and said["role"] == "shell" and said["facts"]["commands"] == ["echo", "long", "slow"]
    text = one.ask("/metrics").text
    assert 'swarmops_worker_tasks_total{kind="shell",outcome="done"} 1\n' in text and "swarmops_worker_up 1\n" in text
    assert 'swarmops_shell_runs_total{command="echo"} 1\n' in text
    assert one.end() == 0
    assert not rt.agents.list(dead=True)


def test_with_tokens_health_is_open_and_all_else_is_not(worker: Callable[..., WorkerProgram]) -> None:
    read, digest = issue("reader")
    tokens = [{"id": "reader", "sha256": digest, "scopes": ["read"], "expires": None}]
    one = worker("shell", ECHO, tokens="tokens.json", files={"tokens.json": json.dumps(tokens)})
    assert one.ask("/health").json() == {"status": "ok", "role": "shell"}
    known = {"Authorization": f"Bearer {read}"}
    assert one.ask("/health", headers=known).json()["kinds"] == ["shell"]
    assert one.ask("/metrics").status_code == 401 and one.ask("/metrics", headers=known).status_code == 200
    assert one.ask("/other", headers=known).status_code == 403
    assert one.ask("/health", headers={"Host": "evil.example"}).status_code == 400


def test_sigterm_lets_what_runs_end_and_health_says_draining(worker: Callable[..., WorkerProgram], rt: Runtime) -> None:
    one = worker("shell", ECHO)
    id = rt.tasks.submit("shell", {"command": "slow"}).id
    waiting = rt.tasks.submit("shell", {"command": "long"}, delay=0.5).id
    until(lambda: rt.tasks.get(id).status == "running", within=PATIENT)
    one.signal(signal.SIGTERM)
    answer = until(lambda: (said := one.get(one.url + "/health")) and said.status_code == 503 and said)
    assert answer.json()["status"] == "draining"
    assert one.process and one.process.wait(PATIENT) == 0
    assert rt.tasks.get(id).status == "done" and rt.tasks.get(waiting).status in ("delayed", "ready")
    assert not rt.agents.list(dead=True)


def test_a_second_signal_hands_back_what_runs(worker: Callable[..., WorkerProgram], rt: Runtime) -> None:
    one = worker("shell", ECHO)
    id = rt.tasks.submit("shell", {"command": "long"}).id
    until(lambda: rt.tasks.get(id).status == "running", within=PATIENT)
    one.signal(signal.SIGTERM)
    until(lambda: (said := one.get(one.url + "/health")) and said.status_code == 503)
    assert one.end() == 0
    assert rt.tasks.get(id).status == "ready"


def test_redis_may_be_away_at_the_start_and_later(
    worker: Callable[..., WorkerProgram], own_server: Callable[..., Server]
) -> None:
    server = own_server()
    server.kill()
    # drain: an outcome that Redis took without being able to say so is delivered again for so long
    one = worker("shell", ECHO, redis=server.url, healthy=False, drain=1)
    one.until_health(PATIENT, 503)
    said = one.ask("/health").json()
    assert said["status"] == "degraded" and "does not answer" in said["why"][0]
    for _ in range(2):
        server.start()
        one.until_health(PATIENT)
        with Runtime(server.settings.but(patience=10)) as rt:
            until(lambda: [a.id for a in rt.agents.list()] == ["shell-test"], within=PATIENT)
            asked = {"command": "echo", "stdin": "x"}
            assert rt.tasks.submit_and_wait("shell", asked, timeout=PATIENT)["stdout"] == "x"
        server.kill()
        one.until_health(PATIENT, 503)
    assert one.end() == 0


def test_mistakes_in_a_configuration_are_said_at_once(programs: Callable[..., Program], tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path_factory.mktemp("config") / "worker.json"
    said = {"role": "shel", "bind": ["10.0.0.x"], "port": "8081", "quue": "x", "concurrency": 0, "name": "A B"}
    file.write_text(json.dumps(said))
    one = programs("worker", "--config", str(file))
    assert one.process and one.process.wait(PATIENT) == 2
    for part in (
        "role: 'shel' is no role of workers (there are ai, browser, npu, shell)",
        "bind[0]: '10.0.0.x' is not an IP address",
        "port: '8081' is not a whole number",
        "quue: is no setting of a worker (did you mean 'queue'?)",
        "concurrency: '0' is not a number from 1",
        "name: 'A B' is not a name",
    ):
        assert f"{file}: {part}" in one.said, one.said
    file.write_text(json.dumps({"role": "shell", "bind": ["127.0.0.1", "10.77.0.22"], "port": 8081}))
    one = programs("worker", "--role", "npu", "--config", str(file))
    assert one.process and one.process.wait(PATIENT) == 2 and "role: is shell, but --role says npu" in one.said
    one = programs("worker", "--config", str(file))
    assert one.process and one.process.wait(PATIENT) == 2
    assert "tokens: without tokens it may listen on loopback only, not on 10.77.0.22" in one.said


def test_an_address_that_is_taken_is_one_sentence(worker: Callable[..., WorkerProgram]) -> None:
    first = worker("shell", ECHO)
    second = worker("shell", ECHO, port=first.port, name="other", healthy=False)
    assert second.process and second.process.wait(PATIENT) == 1
    assert f"cannot listen on 127.0.0.1 port {first.port}" in second.said and "Traceback" not in second.said


def test_without_a_configuration_it_is_on_loopback(programs: Callable[..., Program], rt: Runtime, tmp_path) -> None:  # type: ignore[no-untyped-def]
    one = programs("worker", "--role", "shell", "--name", "bare", environment={"STATE_DIRECTORY": str(tmp_path / "s")})
    agent = until(lambda: rt.agents.list(), within=PATIENT)[0]
    assert agent.id == "bare" and agent.metadata["url"] == ""  # a shell has no port of its own
    assert one.end() == 0


def test_functions_of_ones_own_are_an_agent_too(programs: Callable[..., Program], rt: Runtime) -> None:
    one = programs("worker", "--handlers", "swarmops.runtime.demo.jobs:handlers", "--caps", "gpu", "--name", "mine")
    agent = until(lambda: rt.agents.list(), within=PATIENT)[0]
    kinds = agent.metadata["kinds"]
    assert agent.id.startswith("mine-") and kinds and set(agent.capabilities) == {"gpu", *kinds}
    rt.tasks.submit(kinds[0], needs=kinds[:1], retries=0)
    until(lambda: rt.tasks.depth().running or rt.tasks.list("done") or rt.tasks.list("dead"), within=PATIENT)
    assert one.end() == 0 and not rt.agents.list(dead=True)


def test_options_that_do_not_go_together(swarmops: Command) -> None:
    said = swarmops("worker", "--role", "shell", "--handlers", "a:b", "--caps", "x", "--batch", "3")
    assert said.code == 2 and len(said.err.splitlines()) == 3 and "--caps: goes with functions of yours" in said.err
    said = swarmops("worker", "--handlers", "a:b", "--port", "80")
    assert said.code == 2 and said.err == "--port: goes with --role\n"
    assert "no role of workers" in swarmops("worker", "--role", "nope").err
