"""Collections on the Redis of Debian 13's hosts, which has vector sets, run on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from swarmops.lab.image import image
from swarmops.lab.packages import repository
from swarmops.lab.programs import redis_server
from swarmops.runtime import Runtime
from swarmops.runtime.op import command
from swarmops.runtime.settings import Settings
from tests.runtime.server import Server
from tests.runtime.test_acl import rules
from tests.services.models import At, items, model_folder, working
from tests.services.searching import search_cases


@pytest.fixture(scope="module")
def eight(can_lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    model_folder()
    quiet = lambda line: None  # noqa: E731
    root = image("trixie", quiet)
    program = redis_server(root, repository(root, "trixie", quiet))
    with Server(tmp_path_factory.mktemp("eight"), program=str(program)) as server:
        yield server


def app(server: Server, vector_sets: bool) -> Settings:
    """The user that the role redis makes, alone in an empty Redis."""
    with Runtime(server.settings) as admin:
        admin.run(command("x", "FLUSHALL"))
        admin.run(command("x", "ACL", "SETUSER", "app", "reset", *rules(vector_sets=vector_sets)))
    return server.settings.but(username="app", password="secret-of-app")


def kinds(server: Server) -> set[bytes]:
    with Runtime(server.settings) as admin:
        keys = admin.run(command("x", "KEYS", "swarm:{vec:notes}:*"))
        return {admin.run(command(k.decode(), "TYPE", k)) for k in keys}


def test_vector_sets_find_what_exact_search_finds(eight: Server, tmp_path: Path) -> None:
    async def work(at: At) -> None:
        assert at.found.facts["vectors"] == "set" and "vector-sets" not in at.found.lacking
        await at.index("notes", items(3))
        assert kinds(eight) == {b"hash", b"vectorset"}
        await at.forget("notes")
        await search_cases(at)
        assert kinds(eight) == set()

    working("ai", app(eight, True), tmp_path, work)


def test_beyond_ten_thousand_the_graph_is_searched(
    eight: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarmops.workers.models.vectors.EXACT", 10)
    working("ai", app(eight, True), tmp_path, search_cases)


def test_a_user_without_the_right_gets_exact_search(eight: Server, tmp_path: Path) -> None:
    """S4-42: said, and done in another way. A collection stays what it was made as."""

    async def first(at: At) -> None:
        assert "+vadd +vsim +vrem +vcard" in at.found.lacking["vector-sets"]
        await search_cases(at)
        await at.index("notes", items(7))
        assert kinds(eight) == {b"hash"}

    async def later(at: At) -> None:
        assert at.found.facts["vectors"] == "set"
        await at.index("notes", items(14))
        assert kinds(eight) == {b"hash"} and len((await at.search("notes", "boats", k=20))["results"]) == 14
        await at.forget("notes")
        await at.index("notes", items(7))
        assert kinds(eight) == {b"hash", b"vectorset"}

    settings = app(eight, False)
    working("ai", settings, tmp_path, first)
    with Runtime(eight.settings) as admin:
        admin.run(command("x", "ACL", "SETUSER", "app", *rules(vector_sets=True)))
    working("ai", settings, tmp_path, later)
