"""The role ai: chunks, collections, embeddings as OpenAI has them; on this machine's Redis, and as a worker."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.errors import Invalid, Unavailable
from swarmops.runtime.op import Op, command
from swarmops.runtime.worker import Fatal
from swarmops.workers.executor import Setting
from swarmops.workers.executors.ai import Executor, _fitted
from tests.runtime.server import Server
from tests.runtime.test_acl import rules
from tests.services.models import At, items, model_folder, working
from tests.services.programs import WorkerProgram
from tests.services.searching import search_cases

NO_CHAT = {"endpoint": {"url": "http://127.0.0.1:9/v1"}}  # nobody listens on the port for discarding


@pytest.fixture(autouse=True)
def the_model_is_here() -> None:
    model_folder()


def test_search_finds_by_meaning_and_filters(server: Server, tmp_path: Path) -> None:
    working("ai", server.settings, tmp_path, search_cases, {"vectors": "exact"})


def test_what_is_kept_for_a_search_follows_what_others_write(server: Server, tmp_path: Path) -> None:
    """Two workers, each with vectors in memory; one of them writes."""

    async def work(at: At) -> None:
        other = Executor(Setting("ai", tmp_path / "other", {**NO_CHAT, "vectors": "exact"}, at.runtime))
        await other.start()
        find = other.handlers().tasks["search"].function
        first = [i async for i in _found(find, at, items(7))]
        held = other.collections.kinds["exact"]
        loads = held.loads  # type: ignore[attr-defined]
        await find("notes", "boats")
        assert held.loads == loads, "nothing was written in between"  # type: ignore[attr-defined]
        await at.index("notes", [{"id": "new", "text": "Ships, boats and the sea."}])
        assert (await find("notes", "boats"))["results"][0]["id"] == "new"
        await at.forget("notes", ids=["new"])
        assert (await find("notes", "boats"))["results"][0]["id"] == first[0]
        await at.forget("notes")
        await at.index("notes", [{"id": "other", "text": "Something else."}])
        assert [r["id"] for r in (await find("notes", "boats"))["results"]] == ["other"]
        await other.close()

    async def _found(find: Any, at: At, some: Any) -> Any:
        await at.index("notes", some)
        for one in (await find("notes", "boats"))["results"]:
            yield one["id"]

    working("ai", server.settings, tmp_path, work, {**NO_CHAT, "vectors": "exact"})


def test_limits_and_mistakes_are_fatal_sentences(server: Server, tmp_path: Path) -> None:
    async def work(at: At) -> None:
        good = {"id": "a", "text": "x"}
        wrong: list[tuple[str, dict[str, Any], str]] = [
            ("index", {"collection": "No", "items": [good]}, "collection: 'No' is not a name"),
            ("index", {"collection": "a", "items": []}, "1 to 500 items"),
            ("index", {"collection": "a", "items": [good, good]}, "an id twice"),
            ("index", {"collection": "a", "items": [{"id": "a"}]}, r"items\[0\].text"),
            ("index", {"collection": "a", "items": [{**good, "id": "a\nb"}]}, r"items\[0\].id"),
            ("index", {"collection": "a", "items": [{**good, "text": "x" * 40_000}]}, "chunk it first"),
            ("index", {"collection": "a", "items": [{**good, "meta": [1]}]}, r"items\[0\].meta"),
            ("index", {"collection": "a", "items": [{**good, "meta": {"x": "y" * 9000}}]}, "the most is 8,192"),
            ("index", {"collection": "a", "items": [{**good, "id": str(i)} for i in range(11)]}, "the most is 10"),
            ("search", {"collection": "none", "text": "x"}, "there is no collection none"),
            ("search", {"collection": "none", "text": "x", "k": 101}, "k: '101' is not a number"),
            ("search", {"collection": "none", "text": " "}, "text: is not text"),
            ("chunk", {"text": 5}, "text: is not text"),
            ("chunk", {"text": "x", "size": 10}, "size: '10'"),
            ("chunk", {"text": "x", "size": 100, "overlap": 60}, "more than half of size"),
            ("chunk", {"text": "Yes. " * 6000}, "6,000 sentences"),
            ("embed", {"texts": "x"}, "not a list"),
            ("forget", {"collection": "a", "ids": "x"}, "ids: is not a list"),
        ]
        for kind, args, sentence in wrong:
            with pytest.raises(Fatal, match=sentence) as e:
                await getattr(at, kind)(**args)
            assert "\n" not in str(e.value)
        await at.index("a", [good])
        with pytest.raises(Fatal, match=r"filter\.x: is neither"):
            await at.search("a", "x", filter={"x": [1]})

    working("ai", server.settings, tmp_path, work, {**NO_CHAT, "collection_limit": 10})


def test_chunks_are_cut_where_the_meaning_turns(server: Server, tmp_path: Path) -> None:
    cats = "Cats purr when they are content. A kitten plays with wool. Our cat sleeps on the sofa. Cats hunt mice."
    shares = "Share prices fell today. Investors sold their stocks. The central bank raised interest rates."
    bread = "To bake bread you need flour. Knead the dough well. Let it rise before you bake it."

    async def work(at: At) -> None:
        text = f"{cats} {shares} {bread}"
        found = (await at.chunk(text, size=200, least=40))["chunks"]
        assert [c["text"] for c in found] == [cats, shares, bread]
        assert all(text[c["start"] : c["end"]] == c["text"] for c in found)
        assert (await at.chunk(""))["chunks"] == []
        assert len((await at.chunk("One sentence."))["chunks"]) == 1

    working("ai", server.settings, tmp_path, work, NO_CHAT)


def test_fallbacks_are_said(server: Server, tmp_path: Path) -> None:
    """S4-42: no vector sets, no chat endpoint, no NPU: each with its sentence, and all else works."""

    async def work(at: At) -> None:
        assert at.found.facts["vectors"] == "exact" and "Redis 8.0" in at.found.lacking["vector-sets"]
        assert "npu" in at.found.lacking
        if "chat" not in at.found.capabilities:
            assert "the chat endpoint at 127.0.0.1:11434 cannot be reached" in at.found.lacking["chat"]
        assert {"embed", "chunk", "index", "search", "forget"} <= at.found.capabilities

    async def bare(at: At) -> None:
        assert at.found.capabilities == {"chat"} and "embed" in at.found.lacking
        assert "no embeddings" in await at.executor.health()

    working("ai", server.settings, tmp_path, work)
    working("ai", server.settings, tmp_path, bare, {**NO_CHAT, "model_folder": str(tmp_path)})


def test_redis_may_be_away_at_the_start(own_server: Callable[..., Server], tmp_path: Path) -> None:
    server = own_server()
    server.kill()

    async def work(at: At) -> None:
        assert at.found.facts["vectors"] == "not known: Redis is away"
        with pytest.raises(Unavailable):
            await at.index("notes", items(1))
        await asyncio.to_thread(server.start)
        assert (await at.index("notes", items(3)))["items"] == 3
        assert at.executor.collections.preferred == "exact"  # type: ignore[attr-defined]

    working("ai", server.settings.but(patience=0.1), tmp_path, work, NO_CHAT)


def test_all_of_it_works_for_the_user_of_the_role(own_server: Callable[..., Server], tmp_path: Path) -> None:
    server = own_server()
    with Runtime(server.settings) as admin:
        admin.run(command("x", "ACL", "SETUSER", "app", *rules()))
    settings = server.settings.but(username="app", password="secret-of-app")
    working("ai", settings, tmp_path, search_cases, NO_CHAT)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"devise": 1}, "options.devise"),
        ({"vectors": "fast"}, "options.vectors"),
        ({"endpoint": "http://x"}, "options.endpoint"),
        ({"endpoint": {"url": "ftp://x"}}, "options.endpoint.url"),
        ({"endpoint": {"url": "http://me:secret@x/v1"}}, "options.endpoint.url"),
        ({"endpoint": {"key_file": "/nonexistent"}}, "options.endpoint.key_file"),
        ({"endpoint": {"timeout": 0}}, "options.endpoint.timeout"),
    ],
)
def test_wrong_options_are_said(options: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=sentence) as e:
        Executor(Setting("ai", tmp_path, options, None))  # type: ignore[arg-type]
    assert "secret" not in str(e.value)


def test_a_result_has_room_for_the_longest_texts() -> None:
    found = _fitted([{"id": str(i), "text": "ü" * 16_000} for i in range(100)])
    assert sum(len(f["text"].encode()) for f in found) < 750_000 and all(f["cut"] for f in found)
    assert "cut" not in _fitted([{"id": "1", "text": "x" * 32_768}])[0]


def test_a_worker_of_the_role(worker: Callable[..., WorkerProgram], rt: Runtime, server: Server) -> None:
    program = worker("ai")
    given = [{"id": "1", "text": "Boats on the sea."}, {"id": "2", "text": "Bread and cake."}]
    assert rt.tasks.submit_and_wait("index", {"collection": "notes", "items": given}, needs=["index"])["items"] == 2
    found = rt.tasks.submit_and_wait("search", {"collection": "notes", "text": "a ship", "k": 1}, needs=["search"])
    assert [r["id"] for r in found["results"]] == ["1"]
    keys = rt.run(Op("", ("x",), ("KEYS", "swarm:{vec:*")))
    assert sorted(keys) == [b"swarm:{vec:notes}:" + part for part in (b"about", b"items", b"vectors")]
    openai_answers(program.url)
    assert 'ai_embed_items_total{device="CPU"}' in program.ask("/metrics").text
    assert program.end() == 0


def openai_answers(url: str) -> None:
    """What OpenAI's clients send, and what they rely on."""
    with contextlib.closing(httpx.Client(base_url=url, timeout=30, trust_env=False)) as http:
        body = {"model": "all-MiniLM-L6-v2", "input": ["boats", "bread"]}
        said = http.post("/v1/embeddings", json=body).json()
        assert (said["object"], said["model"]) == ("list", "all-MiniLM-L6-v2")
        assert [d["index"] for d in said["data"]] == [0, 1] and said["data"][0]["object"] == "embedding"
        assert said["usage"]["prompt_tokens"] == said["usage"]["total_tokens"] == 6
        # The official client asks for base64 of f32, whatever its caller wants.
        short = http.post("/v1/embeddings", json={**body, "input": "boats", "encoding_format": "base64"}).json()
        row = np.frombuffer(base64.b64decode(short["data"][0]["embedding"]), "<f4")
        np.testing.assert_allclose(row, said["data"][0]["embedding"], atol=1e-6)
        assert http.get("/v1/models").json()["data"][0]["id"] == "all-MiniLM-L6-v2"
        for change, status, param in [
            ({"model": "gpt"}, 404, "model"),
            ({"input": []}, 400, "input"),
            ({"input": [1, 2]}, 400, "input"),
            ({"dimensions": 100}, 400, "dimensions"),
            ({"encoding_format": "int8"}, 400, "encoding_format"),
            ({"inputs": "x"}, 400, "inputs"),
        ]:
            answer = http.post("/v1/embeddings", json={**body, **change})
            assert answer.status_code == status and answer.json()["error"]["param"] == param, answer.text
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert http.post("/v1/embeddings", content=b"{").status_code == 400
        answer = http.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "Hi"}]})
        if answer.status_code != 200:
            assert answer.status_code == 503 and "no chat here" in answer.json()["error"]["message"]
