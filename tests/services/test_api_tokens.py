"""Who may ask the API: cases 79 to 81, S15, S16; and `swarmops token`."""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.access import issue
from swarmops.runtime.errors import Exists, Full, Invalid, NotFound
from swarmops.runtime.op import command
from tests.runtime.commands import Command
from tests.runtime.server import Server
from tests.runtime.watching import Watching, faults
from tests.services.api import client, until
from tests.services.coordinator import Coordinator

OPEN = {"/api/health"}


@pytest.fixture(scope="module")
def api(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    one = Coordinator(tmp_path_factory.mktemp("api"), shared_server)
    yield one.start()
    one.close()


@pytest.fixture(scope="module")
def routes(api: Coordinator) -> list[tuple[str, str, tuple[str, ...]]]:
    """(method, path, scopes) of everything that is documented."""
    found = []
    for path, item in client(api).get("/openapi.json").json()["paths"].items():
        for method, one in item.items():
            scopes = one.get("description", "").rpartition("Needs the scope ")[2].rstrip(".")
            found.append((method, path, tuple(scopes.split(" or ")) if one["security"] else ()))
    assert len(found) > 35
    return found


def test_case_79_no_route_but_health_answers_without_a_token(api: Coordinator, routes: list[Any]) -> None:
    """S15. All refusals are the same, letter for letter."""
    answers = set()
    with client(api, "") as nobody:
        for method, path, scopes in routes:
            for head in ({}, {"authorization": "Bearer admin.wrong"}, {"authorization": "Basic YTpi"}):
                said = nobody.request(method, path.replace("{", "").replace("}", ""), headers=head)
                assert (said.status_code == 401) is (path not in OPEN), f"{method} {path}: {said.status_code}"
                assert bool(scopes) is (path not in OPEN), f"{method} {path} asks for no scope"
                if said.status_code == 401:
                    answers.add((said.text, tuple(h for h in said.headers if h != "date")))
    assert len(answers) == 1


def test_case_79_another_role_is_refused_and_told_what_it_lacks(
    api: Coordinator, routes: list[Any], rt: Runtime
) -> None:
    """S15. Each route with each single scope that it does not name."""
    for scope in ("read", "submit", "agent"):
        text, digest = issue(f"only-{scope}")
        rt.access.create(f"only-{scope}", digest, [scope])
        with client(api, "") as one:
            one.headers["authorization"] = f"Bearer {text}"
            for method, path, scopes in routes:
                if scopes and scope not in scopes:
                    said = one.request(method, path.replace("{", "").replace("}", ""))
                    assert said.status_code == 403, f"{scope}: {method} {path}: {said.status_code}"
                    assert all(s in said.json()["error"] for s in scopes), said.text


def test_case_79_all_refusals_take_the_same_time(api: Coordinator) -> None:
    """Not a stopwatch: medians of the ways to be wrong, taken by turns, are within a factor of each other."""
    id, _, secret = api.tokens["admin"].partition(".")
    wrong = {"no such id": f"nobody.{secret}", "wrong secret": f"{id}.{'x' * 43}", "near": f"{id}.{secret[:-1]}!"}
    took: dict[str, list[float]] = {name: [] for name in wrong}
    with client(api, "") as one:
        for _ in range(60):
            for name, text in wrong.items():
                began = time.perf_counter()
                assert one.get("/api/status", headers={"authorization": f"Bearer {text}"}).status_code == 401
                took[name].append(time.perf_counter() - began)
    medians = [statistics.median(one) for one in took.values()]
    assert max(medians) < 3 * min(medians), took


@pytest.mark.parametrize("header", ["", "Bearer", "bearer .", "Bearer a.b c", "Bearer " + "a" * 5000, "x"])
def test_case_79_what_is_no_token_is_refused(api: Coordinator, header: str) -> None:
    with client(api, "") as one:
        assert one.get("/api/status", headers={"authorization": header}).status_code == 401


@pytest.mark.parametrize("name", ["token", "access_token", "Authorization", "api_key", "q", "anything"])
def test_case_81_a_token_in_the_url_is_refused(api: Coordinator, name: str) -> None:
    with client(api) as one:  # even with a good one in the header
        said = one.get("/api/tasks", params={name: api.tokens["read"]})
    assert said.status_code == 400 and api.tokens["read"] not in said.text
    assert api.tokens["read"].partition(".")[2] not in api.said


def test_a_token_is_made_works_and_is_revoked(api: Coordinator, swarmops: Command, rt: Runtime) -> None:
    """S16: shown once, only its hash kept, revoked within seconds."""
    text = swarmops("token", "create", "visitor", "-s", "read", "--lasts", "1h", "--note", "for a look").out.strip()
    id, _, secret = text.partition(".")
    assert id == "visitor" and len(secret) >= 43
    kept = rt.run(command("x", "HGET", rt.keys.registry("tokens"), "visitor")).decode()
    assert secret not in kept and hashlib.sha256(secret.encode()).hexdigest() in kept
    shown = swarmops("token", "list", "--json")
    assert secret not in shown.out and "sha256" not in shown.out and shown.json["tokens"][0]["note"] == "for a look"
    with client(api, "") as one:
        one.headers["authorization"] = f"Bearer {text}"
        assert one.get("/api/status").status_code == 200  # at once: the first failure has it read again
        assert swarmops("token", "revoke", "visitor").code == 0
        until(lambda: one.get("/api/status").status_code == 401, "it counts no more", within=10)
    assert swarmops("token", "revoke", "visitor").code == 1
    assert text not in api.said


def test_tokens_over_http(api: Coordinator, server: Server) -> None:
    with client(api) as admin, client(api, "") as other:
        made = admin.post("/api/tokens", json={"id": "guest", "scopes": ["read"], "lasts": 3600})
        assert made.status_code == 201
        other.headers["authorization"] = f"Bearer {made.json()['token']}"
        assert other.get("/api/status").status_code == 200 and other.get("/api/tokens").status_code == 403
        (listed,) = admin.get("/api/tokens").json()["tokens"]
        assert listed["id"] == "guest" and not {"token", "sha256"} & set(listed)
        assert admin.post("/api/tokens", json={"id": "guest", "scopes": ["read"]}).status_code == 409
        assert admin.delete("/api/tokens/guest").status_code == 200
        assert other.get("/api/status").status_code == 401


def test_a_token_expires(api: Coordinator, rt: Runtime) -> None:
    text, digest = issue("short")
    rt.access.create("short", digest, ["read"], lasts=1)
    with client(api, "") as one:
        one.headers["authorization"] = f"Bearer {text}"
        assert one.get("/api/status").status_code == 200
        until(lambda: one.get("/api/status").status_code == 401, "it expires", within=10)


def test_tokens_of_the_file_are_read_again_when_it_changes(shared_server: Server, tmp_path: Path) -> None:
    """What a deploy rotates counts without a restart; a file that is half written locks nobody out."""
    one = Coordinator(tmp_path, shared_server)
    one.start()
    file = tmp_path / "tokens.json"
    kept = json.loads(file.read_text())
    with client(one) as admin:
        file.write_text("[{")
        until(lambda: "is not read again" in one.said, "it was looked at", within=10)
        assert admin.get("/api/status").status_code == 200
        file.write_text(json.dumps([k for k in kept if k["id"] != "admin"]))
        until(lambda: admin.get("/api/status").status_code == 401, "it counts no more", within=10)
    one.close()


def test_faults_of_a_token_file_are_said_all_at_once(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    file.write_text(json.dumps([{"id": "A", "sha256": "0" * 64, "scopes": ["read"]}, {"id": "b", "sha256": "short"}]))
    said = subprocess.run(
        [sys.executable, "-m", "swarmops", "api", "--port", "0", "--tokens", str(file), "--redis", server.url],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert said.returncode == 2 and len(said.stderr.splitlines()) == 1
    assert "[0].id" in said.stderr and "[1].sha256" in said.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [(["x", "-s", "root"], "root"), (["X", "-s", "read"], "not a name"), (["x", "-s", "read", "--lasts", "5"], "90d")],
)
def test_wrong_options_of_token_create(swarmops: Command, args: list[str], words: str) -> None:
    said = swarmops("token", "create", *args)
    assert said.code == 2 and words in said.err and said.out == ""


def test_the_room_of_tokens(rt: Runtime, server: Server) -> None:
    text, digest = issue("one")
    with Watching(server) as watched:
        made = rt.access.create("one", digest, ["submit", "read", "read"], note="a note")
        assert made.scopes == ("read", "submit") and made.created_ms > 0
        with pytest.raises(Exists):
            rt.access.create("one", digest, ["read"])
        assert rt.access.check(text).id == "one"
        for wrong in (text[:-1], "one", "two.x", "", "one." + "\ud800"):
            with pytest.raises(NotFound, match="this is no token that counts"):
                rt.access.check(wrong)
        assert rt.access.revoke("one") and rt.access.list() == []
        with pytest.raises(NotFound):
            rt.access.revoke("one")
    assert faults(watched.runs) == []
    for scopes in ("read", [], ["root"], [1]):
        with pytest.raises(Invalid):
            rt.access.create("two", digest, scopes)  # type: ignore[arg-type]
    assert [e.what for e in rt.events.read()][-2:] == ["token.created", "token.revoked"]


def test_there_is_a_most_of_tokens(rt: Runtime) -> None:
    rt.run_many([rt.access.create.op(f"t{i}", "0" * 64, ["read"]) for i in range(1000)])
    with pytest.raises(Full):
        rt.access.create("one-more", "0" * 64, ["read"])


def test_too_many_requests_of_one_token_are_slowed_and_others_are_not(shared_server: Server, tmp_path: Path) -> None:
    """F41."""
    one = Coordinator(tmp_path, shared_server, limits={"rate": 5})
    one.start()
    with client(one, "read") as quick, client(one, "admin") as other:
        answers = [quick.get("/api/leader") for _ in range(30)]
        slowed = [a for a in answers if a.status_code == 429]
        assert slowed and all(int(a.headers["retry-after"]) >= 1 for a in slowed)
        assert other.get("/api/leader").status_code == 200
        until(lambda: quick.get("/api/leader").status_code == 200, "it may ask again", within=10)
    one.close()


def test_a_refusal_names_the_scope_and_no_more(api: Coordinator) -> None:
    with client(api, "agent") as one:
        said = one.get("/api/tokens")
    assert said.json() == {"error": "the token agent lacks the scope admin", "path": ""}
