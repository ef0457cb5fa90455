"""The coordinator with TLS of its own, and all who come to it: Client, Agent, events, its own watch (S1-10)."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from swarmops.client import Agent, Away, Client, Untrusted
from swarmops.model.authority import make_ca
from swarmops.planning.certificates import leaf, public_part
from swarmops.target.kinds import wait
from swarmops.target.probes import http, tls
from swarmops.target.system import Failed
from tests.runtime.server import Server, free_port
from tests.services.agents import QUICK, until
from tests.services.coordinator import Coordinator

WELL = "/api/health"


class Door:
    """A coordinator with a certificate for 127.0.0.1 by a CA of its own. ca: a file of that; stranger: of another."""

    def __init__(self, folder: Path, redis: Server):
        self.ca, self.stranger = folder / "ca.crt", folder / "stranger.crt"
        authority = make_ca("doors")
        key, certificate = leaf(authority, "coordinator", ("127.0.0.1",))
        texts = {"ca.crt": public_part(authority), "stranger.crt": public_part(make_ca("else")), "c.crt": certificate}
        for name, text in {**texts, "c.key": key}.items():
            (folder / name).write_text(text)
        port = free_port()
        self.url, self.plain = f"https://127.0.0.1:{port}", f"http://127.0.0.1:{port}"
        watched = [
            {"name": "itself", "role": "coordinator", "node": "here", "url": self.url + WELL},
            {"name": "misnamed", "role": "coordinator", "node": "here", "url": self.url + WELL, "server_name": "other"},
        ]
        config = {"agents": QUICK, "services": watched, "nodes": [{"name": "here", "address": "127.0.0.1"}]}
        tls = {"tls": {"cert": "../c.crt", "key": "../c.key"}, "ca": "../ca.crt"}
        self.coordinator = Coordinator(folder / "api", redis, port=port, **tls, **config)
        self.coordinator.health = ""
        self.coordinator.start()
        with self.client("read") as client:
            until(lambda: _well(client), "it is well")

    def client(self, who: str) -> Client:
        return Client(self.url, self.coordinator.tokens[who], ca=str(self.ca))


def _well(client: Client) -> bool:
    try:
        return bool(client.ask("GET", WELL)["status"] == "ok")
    except Away:
        return False


@pytest.fixture(scope="module")
def door(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    found = Door(tmp_path_factory.mktemp("doors"), shared_server)
    yield found
    found.coordinator.close()


def test_an_agent_works_over_wss_and_events_come_over_https(door: Door) -> None:
    agent = Agent(door.url, door.coordinator.tokens["agent"], "secure-1", ca=str(door.ca))
    thread = threading.Thread(target=agent.run, args=({"twice": lambda n: 2 * n},))
    thread.start()
    try:
        assert agent.connected.wait(30)
        with door.client("submit") as client:
            assert client.run("twice", {"n": 21}) == 42
            assert next(client.events(since=0))["what"]
    finally:
        agent.stop()
        thread.join(30)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("ca", "url", "said"),
    [
        ("", "https", "its certificate is not trusted: .*SSL_CERT_FILE names a file of those who may sign it"),
        ("stranger.crt", "https", "its certificate is not trusted: "),
        ("ca.crt", "https-by-name", "certificate is not trusted: Hostname mismatch.*'localhost'"),
        ("ca.crt", "http", r"it speaks TLS there \(write https://\)"),
    ],
)
def test_what_waiting_does_not_mend_is_said_in_one_line(door: Door, ca: str, url: str, said: str) -> None:
    where = {"https": door.url, "http": door.plain, "https-by-name": door.url.replace("127.0.0.1", "localhost")}[url]
    file = str(door.ca.parent / ca) if ca else None
    with Client(where, door.coordinator.tokens["read"], ca=file) as client:
        for ask in (client.status, lambda: next(client.events())):
            with pytest.raises(Untrusted, match=said) as refused:
                ask()
            assert "\n" not in str(refused.value) and "_ssl.c" not in str(refused.value)


def test_https_where_http_is_spoken(shared_server: Server, tmp_path: Path) -> None:
    one = Coordinator(tmp_path / "api", shared_server).start()
    try:
        secure = one.url.replace("http:", "https:")
        with Client(secure, one.tokens["read"]) as client, pytest.raises(Untrusted, match=r"is it http://\?"):
            client.status()
    finally:
        one.close()


def _said(log: pytest.LogCaptureFixture, words: str) -> bool:
    return words in log.text


def test_an_agent_with_the_wrong_ca_is_not_let_in_says_why_and_waits(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    """A hotel's page that stands before everything goes away by itself, so it goes on trying."""
    for url, ca, said in (
        (door.url, door.stranger, "certificate is not trusted"),
        (door.plain, None, "it speaks TLS there (write https://)"),
    ):
        agent = Agent(url, door.coordinator.tokens["agent"], "stranger-1", ca=str(ca) if ca else None)
        with caplog.at_level(logging.WARNING, "swarmops.agent"):
            thread = threading.Thread(target=agent.run, args=({"twice": lambda n: 2 * n},))
            thread.start()
            until(functools.partial(_said, caplog, said), said)
        assert thread.is_alive() and not agent.connected.is_set()
        agent.stop()
        thread.join(30)
        assert not thread.is_alive()
    with door.client("read") as client:
        assert "stranger-1" not in {a["id"] for a in client.agents()}


def test_a_ca_that_is_none_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    empty = tmp_path / "ca.crt"
    empty.write_text("nonsense")
    for kind, url in ((Client, "https://127.0.0.1:9"), (Agent, "wss://127.0.0.1:9")):
        with pytest.raises(ValueError, match="holds no certificates in PEM"):
            kind(url, "a.b", ca=str(empty))
        with pytest.raises(ValueError, match="No such file"):
            kind(url, "a.b", ca=str(tmp_path / "missing"))


def test_ssl_cert_file_is_heard(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(door.ca))
    with Client(door.url, door.coordinator.tokens["read"]) as client:
        assert client.status()
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null/missing")
    with Client(door.url, door.coordinator.tokens["read"]) as client:
        with pytest.raises(Untrusted, match="SSL_CERT_FILE is /dev/null/missing, which is not there"):
            client.status()


def test_health_and_deploy_trust_a_ca_that_is_no_file(door: Door) -> None:
    """`ca_pem` of the checks and of `wait`, for those who look from elsewhere."""
    pem, strange, url = door.ca.read_text(), door.stranger.read_text(), door.url + WELL
    end = time.monotonic() + 30
    assert http.probe({"url": url, "ca_pem": pem}, None, end)["ok"]
    with pytest.raises(http.Down, match="its certificate is not trusted"):
        http.probe({"url": url, "ca_pem": strange}, None, end)
    port = int(url.split(":")[2].split("/")[0])
    found = tls.probe({"port": port, "ca_pem": pem}, None, end)
    assert found["ok"] and 700 < found["value"] < 731 and found["limits"]["warn"] == {"min": 21}
    assert not tls.probe({"port": port, "ca_pem": pem, "server_name": "other"}, None, end)["ok"]
    nothing = dict.fromkeys(wait.ARGS)
    asked = {**nothing, "host": "127.0.0.1", "url": url, "timeout": 0.5, "state": "started"}
    system = SimpleNamespace(check=False)
    assert wait.read({**asked, "ca_pem": pem}, {"ready": True}, system) == {"ready": True}
    with pytest.raises(Failed, match="its certificate is not trusted"):
        wait.read({**asked, "ca_pem": strange}, {"ready": True}, system)


def test_it_watches_itself_by_the_ca_it_was_given(door: Door) -> None:
    def seen() -> dict[str, tuple[str, str]]:
        with door.client("read") as client:
            (node,) = client.fleet()["nodes"]
        found = {s["name"]: (s["state"], s["why"]) for s in node["services"]}
        return found if all(state != "unknown" for state, _ in found.values()) else {}

    found = until(seen, "it has looked")
    assert found["itself"] == ("ok", "")
    assert found["misnamed"][0] == "critical" and "its certificate is not trusted: Hostname" in found["misnamed"][1]


@pytest.mark.parametrize(("file", "said"), [("nonsense", "ca: "), (None, "No such file")])
def test_a_ca_of_the_configuration_that_is_none_ends_it(
    shared_server: Server, tmp_path: Path, file: str | None, said: str
) -> None:
    if file:
        (tmp_path / "ca.crt").write_text(file)
    one = Coordinator(tmp_path / "api", shared_server, ca="../ca.crt")
    one.health = ""
    one.start()
    try:
        assert one.process and one.process.wait(60) == 2 and said in one.said and "Traceback" not in one.said
    finally:
        one.close()
