"""Chat through an endpoint that speaks as OpenAI does: a small one of the test's own, on loopback."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from swarmops.runtime import Runtime
from swarmops.runtime.worker import Fatal, Retry
from tests.runtime.server import Server, free_port
from tests.services.models import At, model_folder, working
from tests.services.programs import WorkerProgram

KEY = "sk-very-secret-1234"
HELLO = [{"role": "user", "content": "Say hello"}]


class Peer:
    """Answers "Hello there, friend" in pieces; the model's name chooses what goes wrong."""

    def __init__(self) -> None:
        self.port, self.asked, self.elsewhere = free_port(), list[dict[str, Any]](), 0
        routes = [
            Route("/v1/models", self.models),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/elsewhere", self.stolen, methods=["GET", "POST"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), port=self.port, log_level="error", lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> Peer:
        self.thread.start()
        end = time.monotonic() + 20
        while not self.server.started:
            assert time.monotonic() < end and self.thread.is_alive()
            time.sleep(0.01)
        return self

    def close(self) -> None:
        self.server.should_exit = self.server.force_exit = True
        self.thread.join()

    async def stolen(self, request: Request) -> Response:
        self.elsewhere += 1
        return JSONResponse({})

    async def models(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"error": {"message": f"wrong key {KEY}"}}, 401)
        return JSONResponse({"object": "list", "data": [{"id": "small"}, {"id": "large"}]})

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"error": {"message": f"wrong key {KEY}"}}, 401)
        answers: dict[str, Response] = {
            "unknown": JSONResponse({"error": {"message": f"no such model, you with {KEY}"}}, 404),
            "busy": JSONResponse({"error": {"message": "too many"}}, 429, {"Retry-After": "7"}),
            "broken": Response("oops", 500),
            "odd": JSONResponse({"hello": 1}),
            "moved": RedirectResponse(f"http://127.0.0.1:{self.port}/elsewhere"),
        }
        if body["model"] in answers:
            return answers[body["model"]]
        if not body.get("stream") or body["model"] == "whole":
            choice = {"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}
            return JSONResponse({"model": body["model"], "choices": [choice], "usage": {"total_tokens": 5}})
        return StreamingResponse(self.pieces(body["model"]), media_type="text/event-stream")

    async def pieces(self, model: str) -> AsyncIterator[str]:
        for piece in ("Hello", " there,", " friend"):
            yield f"data: {json.dumps({'model': model, 'choices': [{'delta': {'content': piece}}]})}\n\n"
            if model == "half":
                yield f"data: {json.dumps({'error': {'message': f'out of memory {KEY}'}})}\n\n"
                return
            await asyncio.sleep(0.6 if model == "slow" else 0)
        yield f"data: {json.dumps({'model': model, 'choices': [{'delta': {}, 'finish_reason': 'stop'}]})}\n\n"
        yield f"data: {json.dumps({'choices': [], 'usage': {'total_tokens': 9}})}\n\ndata: [DONE]\n\n"


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer().start()
    yield made
    made.close()


class Told:
    """The part of a task's context that a chat uses."""

    def __init__(self) -> None:
        self.said: list[tuple[float, str]] = []

    async def progress(self, fraction: float, text: str = "") -> None:
        self.said.append((fraction, text))


def endpoint(peer: Peer, folder: Path, key: str = KEY, **more: Any) -> dict[str, Any]:
    (folder / "key").write_text(key + "\n")
    return {
        "endpoint": {"url": peer.url, "key_file": str(folder / "key"), "timeout": 5, **more},
        "vectors": "exact",
        "model_folder": str(folder),  # no embeddings: chat does not need them
    }


def test_an_answer_comes_in_pieces_and_is_told_meanwhile(server: Server, tmp_path: Path, peer: Peer) -> None:
    async def work(at: At) -> None:
        told = Told()
        found = await at.chat(HELLO, told, model="slow", max_tokens=10)
        assert found == {
            "text": "Hello there, friend", "model": "slow", "finish_reason": "stop", "usage": {"total_tokens": 9}
        }  # fmt: skip
        assert told.said[0] == (0.1, "Hello") and told.said[-1][1].startswith("Hello there,")
        assert peer.asked[-1]["messages"] == HELLO and peer.asked[-1]["stream"] is True
        assert (await at.chat(HELLO, told))["model"] == "small"  # the first that it has
        assert (await at.chat(HELLO, told, model="whole"))["text"] == "Hello!"
        assert await at.executor.health() == "no embeddings: the model is not there"

    working("ai", server.settings, tmp_path, work, endpoint(peer, tmp_path))


@pytest.mark.parametrize(
    ("model", "kind", "sentence"),
    [
        ("unknown", Fatal, "says 404: no such model, you with ..."),
        ("busy", Retry, "says 429: too many"),
        ("broken", Retry, "says 500"),
        ("odd", Fatal, "does not answer as OpenAI does"),
        ("moved", Fatal, "says 307"),
        ("half", Retry, "says: out of memory ..."),
    ],
)
def test_what_goes_wrong_is_said_without_the_key(
    server: Server, tmp_path: Path, peer: Peer, model: str, kind: type[Exception], sentence: str
) -> None:
    async def work(at: At) -> None:
        with pytest.raises(kind) as e:
            await at.chat(HELLO, Told(), model=model)
        assert sentence in str(e.value) and KEY not in str(e.value) and str(peer.port) in str(e.value)
        if isinstance(e.value, Retry):
            assert e.value.after == (7.0 if model == "busy" else 5.0)
        assert peer.elsewhere == 0

    working("ai", server.settings, tmp_path, work, endpoint(peer, tmp_path))


def test_a_wrong_key_and_an_endpoint_that_went_away(
    server: Server, tmp_path: Path, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def wrong(at: At) -> None:
        assert "refuses our key" in at.executor.endpoint.trouble  # type: ignore[attr-defined]
        with pytest.raises(Fatal, match="refuses our key"):
            await at.chat(HELLO, Told(), model="small")

    async def away(at: At) -> None:
        await asyncio.to_thread(peer.close)
        with pytest.raises(Retry, match="cannot be reached"):
            await at.chat(HELLO, Told(), model="small")
        assert "cannot be reached" in at.executor.endpoint.trouble  # type: ignore[attr-defined]

    working("ai", server.settings, tmp_path, wrong, endpoint(peer, tmp_path, key="sk-other-secret"))
    working("ai", server.settings, tmp_path, away, endpoint(peer, tmp_path))
    assert "secret" not in caplog.text


def test_bad_messages_are_fatal(server: Server, tmp_path: Path, peer: Peer) -> None:
    async def work(at: At) -> None:
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"messages": []}, "1 to 1000"),
            ({"messages": [{"role": "boss", "content": "x"}]}, r"messages\[0\]"),
            ({"messages": [{"role": "user"}]}, r"messages\[0\]"),
            ({"messages": HELLO, "model": 5}, "model"),
            ({"messages": HELLO, "max_tokens": 0}, "max_tokens"),
            ({"messages": HELLO, "temperature": 9}, "temperature"),
        ]
        for args, sentence in wrong:
            with pytest.raises(Fatal, match=sentence):
                await at.chat(context=Told(), **args)
        assert not peer.asked

    working("ai", server.settings, tmp_path, work, endpoint(peer, tmp_path))


def test_the_worker_passes_chats_on(
    worker: Callable[..., WorkerProgram], rt: Runtime, peer: Peer, tmp_path: Path
) -> None:
    """As a task, and over HTTP as it is: whole and streamed, with the worker's key and not the caller's."""
    model_folder()
    options = endpoint(peer, tmp_path)
    del options["model_folder"]
    program = worker("ai", options)
    assert "chat" in program.ask("/health").json()["kinds"]
    found = rt.tasks.submit_and_wait("chat", {"messages": HELLO}, needs=["chat"])
    assert found["text"] == "Hello there, friend"
    with httpx.Client(base_url=program.url, timeout=30, trust_env=False) as http:
        assert [m["id"] for m in http.get("/v1/models").json()["data"]] == ["all-MiniLM-L6-v2", "small", "large"]
        said = http.post("/v1/chat/completions", json={"messages": HELLO, "model": "small"})
        assert said.json()["choices"][0]["message"]["content"] == "Hello!"
        body = {"messages": HELLO, "model": "small", "stream": True}
        with http.stream("POST", "/v1/chat/completions", json=body) as answer:
            lines = [line for line in answer.iter_lines() if line]
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert lines[-1] == "data: [DONE]" and '"Hello"' in lines[0]
        for model, status in (("unknown", 404), ("busy", 429), ("broken", 503)):
            said = http.post("/v1/chat/completions", json={"messages": HELLO, "model": model})
            assert said.status_code == status and KEY not in said.text
        assert http.post("/v1/chat/completions", json={"messages": "x"}).status_code == 400
    assert program.end() == 0
    assert KEY not in program.said
