"""HTTP as OpenAI has it, so that its clients work here: /v1/embeddings, /v1/models, /v1/chat/completions."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from swarmops.runtime.errors import Full, Invalid, SwarmError
from swarmops.workers.models import minilm
from swarmops.workers.models.chat import Endpoint, Trouble
from swarmops.workers.models.embedder import Embedded, Embedder
from swarmops.workers.models.embedding import lists, packed

INPUTS = 2048  # texts of one request, as OpenAI has it
NAMES = (minilm.NAME, f"sentence-transformers/{minilm.NAME}")
KEYS = {"input", "model", "encoding_format", "dimensions", "user"}


class Refusal(Exception):
    """An answer that is an error, in OpenAI's shape."""

    def __init__(self, status: int, sentence: str, param: str | None = None, code: str | None = None):
        self.status, self.param, self.code = status, param, code
        super().__init__(sentence)

    def answer(self) -> JSONResponse:
        kind = "invalid_request_error" if self.status < 429 else "server_error"
        kind = "rate_limit_error" if self.status == 429 else kind
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return JSONResponse({"error": error}, self.status, {"Retry-After": "1"} if self.status == 429 else None)


Door = Callable[[Request], Awaitable[Response]]


def _door(function: Door) -> Door:
    async def answered(request: Request) -> Response:
        try:
            return await function(request)
        except Refusal as e:
            return e.answer()
        except Full as e:
            return Refusal(429, str(e)).answer()
        except Invalid as e:
            return Refusal(400, str(e), e.path or None).answer()
        except Trouble as e:
            return Refusal(502 if e.status == 401 else e.status, str(e)).answer()
        except SwarmError as e:
            return Refusal(503, str(e)).answer()

    return answered


async def _body(request: Request) -> dict[str, Any]:
    try:
        said = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is not JSON") from None
    if not isinstance(said, dict):
        raise Refusal(400, "the body is not a JSON object")
    return said


def _embeddings(found: Embedded, form: str) -> bytes:
    rows: list[Any] = packed(found.vectors) if form == "base64" else lists(found.vectors)
    data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
    usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
    return json.dumps({"object": "list", "data": data, "model": minilm.NAME, "usage": usage}).encode()


class Doors:
    """The routes. embedder, endpoint: None where the host has none; the route then says so."""

    def __init__(self, embedder: Embedder | None, endpoint: Endpoint | None, lacking: Mapping[str, str]):
        self.embedder, self.endpoint, self.lacking = embedder, endpoint, lacking

    def routes(self) -> list[Route]:
        return [
            Route("/v1/embeddings", _door(self.embeddings), methods=["POST"]),
            Route("/v1/models", _door(self.models), methods=["GET"]),
            Route("/v1/chat/completions", _door(self.completions), methods=["POST"]),
        ]

    async def embeddings(self, request: Request) -> Response:
        """{input: text | [text], model, encoding_format: float | base64}."""
        if self.embedder is None:
            raise Refusal(503, f"there are no embeddings here: {self.lacking.get('embed', '')}")
        said = await _body(request)
        if unknown := sorted(set(said) - KEYS):
            raise Refusal(
                400, f"{unknown[0][:40]!r} is no field (there are {', '.join(sorted(KEYS))})", unknown[0][:40]
            )
        if said.get("model") not in NAMES:
            raise Refusal(404, f"the model is {minilm.NAME}", "model", "model_not_found")
        form = said.get("encoding_format", "float")
        if form not in ("float", "base64"):
            raise Refusal(400, "is neither float nor base64", "encoding_format")
        if said.get("dimensions") not in (None, minilm.DIM):
            raise Refusal(400, f"vectors have {minilm.DIM} dimensions", "dimensions")
        texts = [said["input"]] if isinstance(said.get("input"), str) else said.get("input")
        if not isinstance(texts, list) or not 0 < len(texts) <= INPUTS or not all(isinstance(t, str) for t in texts):
            raise Refusal(400, f"is neither text nor a list of 1 to {INPUTS} texts", "input")
        found = await self.embedder.embed(texts)
        content = await asyncio.to_thread(_embeddings, found, form)  # up to some megabytes
        return Response(content, media_type="application/json")

    async def models(self, request: Request) -> Response:
        """Ours, and those of the chat endpoint."""
        found = [{"id": minilm.NAME, "object": "model", "created": 0, "owned_by": "swarmops"}] if self.embedder else []
        if self.endpoint:
            with contextlib.suppress(Trouble):
                names = await self.endpoint.models(5.0)
                found += [{"id": n, "object": "model", "created": 0, "owned_by": "endpoint"} for n in names[:1000]]
        return JSONResponse({"object": "list", "data": found})

    async def completions(self, request: Request) -> Response:
        """Sent on to the chat endpoint as it is, its answer sent back as it is."""
        if self.endpoint is None:
            raise Refusal(503, f"there is no chat here: {self.lacking.get('chat', '')}")
        said = await _body(request)
        if not isinstance(said.get("messages"), list) or not said["messages"]:
            raise Refusal(400, "is not a list of messages", "messages")
        stack = contextlib.AsyncExitStack()
        try:
            answer = await stack.enter_async_context(self.endpoint.stream(said))
            kind = answer.headers.get("content-type", "application/json")
            if not said.get("stream"):
                await answer.aread()
                return Response(answer.content, media_type=kind)
            lasting = stack.pop_all()
        finally:
            await stack.aclose()

        async def pieces() -> AsyncIterator[bytes]:
            async with lasting:
                try:
                    async for piece in answer.aiter_bytes():
                        yield piece
                except Exception as e:  # it is too late for a status
                    self.endpoint.trouble = f"{self.endpoint.name} broke off: {type(e).__name__}"  # type: ignore[union-attr]

        return StreamingResponse(pieces(), media_type=kind)
