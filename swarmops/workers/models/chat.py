"""Chat through any endpoint that speaks OpenAI's language: Ollama, vLLM, llama.cpp, a service somewhere.

The key comes from a file, goes into one header, and into no message of ours: what an endpoint says is cleared of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from swarmops.runtime.errors import Invalid
from swarmops.runtime.worker import Fatal, Retry
from swarmops.workers.reading import Fields, text

OLLAMA = "http://127.0.0.1:11434/v1"
ROLES = ("system", "developer", "user", "assistant", "tool")
CONNECT = 5.0
PROBE = 2.0  # seconds for "are you there"
ANSWER = 512 << 10  # characters of one answer
SHOWN = 2000  # characters of an answer in progress

logging.getLogger("httpx2").setLevel(logging.WARNING)  # not a line for every request

Say = Callable[[float, str], Awaitable[None]]


class Trouble(Exception):
    """The endpoint did not answer as hoped. status: as a gateway says it; after: seconds until another try may help,
    None for never."""

    def __init__(self, status: int, sentence: str, after: float | None = None):
        self.status, self.after = status, after
        super().__init__(sentence)

    def for_task(self) -> Exception:
        """What a handler raises."""
        return Fatal(str(self)) if self.after is None else Retry(self.after, str(self))


@dataclass(frozen=True, slots=True)
class Place:
    """Where the endpoint is. key: "" for none. model: "" for the first it has. timeout: seconds between two words."""

    url: str = OLLAMA
    key: str = ""
    model: str = ""
    timeout: float = 120.0
    parallel: int = 4

    @classmethod
    def of(cls, options: Fields, timeout: float = 120.0) -> Place:
        """From {url, key_file, model, timeout, parallel}; what is wrong goes to the faults of `options`."""
        found = cls(
            options.take("url", OLLAMA, _url),
            options.take("key_file", "", _key),
            options.text("model", "", 200),
            options.number("timeout", timeout, 1, 3600),
            options.whole("parallel", 4, 1, 1000),
        )
        options.end()
        return found


def _url(value: object) -> str:
    url = text(value, 1000).rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise Invalid("", "is no address like http://host:port/v1 (and holds no key)")
    return url


def _key(value: object) -> str:
    """The key in a file: by its whole path, or by its name among the unit's credentials. Raises Invalid."""
    file = Path(os.environ.get("CREDENTIALS_DIRECTORY", ".")) / text(value, 1000)
    try:
        key = file.read_text().strip()
    except OSError as e:
        raise Invalid("", f"{file} cannot be read: {e.strerror or e}") from None
    except UnicodeDecodeError:
        key = ""
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise Invalid("", f"{file} does not hold one key")
    return key


class Endpoint:
    """One endpoint. `trouble` is what was wrong at the last call, "" for nothing."""

    def __init__(self, place: Place):
        self.place, self.trouble, self.calls, self.failures = place, "", 0, 0
        headers = {"Authorization": f"Bearer {place.key}"} if place.key else {}
        timeout = httpx2.Timeout(place.timeout, connect=CONNECT)
        # Neither proxies of the environment nor redirects: the key goes where it was told to.
        self._http = httpx2.AsyncClient(headers=headers, timeout=timeout, trust_env=False, follow_redirects=False)
        self._room = asyncio.Semaphore(place.parallel)

    @property
    def name(self) -> str:
        parts = urlsplit(self.place.url)
        return f"the chat endpoint at {parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"

    async def models(self, timeout: float | None = None) -> list[str]:
        """Names of the models it has. Raises Trouble."""
        with self._told():
            more = {"timeout": timeout} if timeout else {}
            answer = await self._http.get(f"{self.place.url}/models", **more)  # type: ignore[arg-type]
            self._check(answer)
            try:
                return [str(one["id"]) for one in answer.json()["data"]]
            except (ValueError, KeyError, TypeError):
                raise Trouble(502, f"{self.name} does not answer as OpenAI does") from None

    async def probe(self) -> str:
        """Why it cannot be used, "" if it can."""
        try:
            await self.models(PROBE)
        except Trouble as e:
            return str(e)
        return ""

    async def model(self, wanted: str) -> str:
        """`wanted`, or the one configured, or the first there is. Raises Trouble."""
        if wanted or self.place.model:
            return wanted or self.place.model
        found = await self.models()
        if not found:
            raise Trouble(503, f"{self.name} has no model", 60.0)
        return found[0]

    @contextlib.asynccontextmanager
    async def stream(self, body: Mapping[str, Any]) -> AsyncIterator[httpx2.Response]:
        """The answer to a chat as it comes, its status 200. Raises Trouble."""
        self.calls += 1
        try:
            async with self._room:
                with self._told():
                    model = await self.model(str(body.get("model") or ""))
                    url = f"{self.place.url}/chat/completions"
                    async with self._http.stream("POST", url, json={**body, "model": model}) as answer:
                        if answer.status_code != 200:
                            await answer.aread()
                        self._check(answer)
                        yield answer
        except Trouble:
            self.failures += 1
            raise

    async def chat(self, body: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """The whole answer: text, model, finish_reason, usage. `say` is told how far it is. Raises Trouble."""
        asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
        async with self.stream(asked) as answer:
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                await answer.aread()
                return self._whole(answer)
            return await self._pieces(answer, body.get("max_tokens"), say)

    async def close(self) -> None:
        await self._http.aclose()

    # -- reading

    def _whole(self, answer: httpx2.Response) -> dict[str, Any]:
        try:
            said = answer.json()
            choice = said["choices"][0]
            text = choice["message"]["content"] or ""
        except (ValueError, KeyError, IndexError, TypeError):
            raise Trouble(502, f"{self.name} does not answer as OpenAI does") from None
        return _told(text[:ANSWER], said, choice.get("finish_reason"))

    async def _pieces(self, answer: httpx2.Response, most: Any, say: Say) -> dict[str, Any]:
        text, pieces, finish, last, about = "", 0, None, 0.0, dict[str, Any]()
        loop = asyncio.get_running_loop()
        async for line in answer.aiter_lines():
            if not line.startswith("data:") or line[5:].strip() == "[DONE]":
                continue
            said = self._read(line[5:])
            about |= {k: said[k] for k in ("model", "usage") if said.get(k)}
            for choice in (said.get("choices") or [])[:1]:
                text += (choice.get("delta") or {}).get("content") or ""
                finish, pieces = choice.get("finish_reason") or finish, pieces + 1
            if len(text) > ANSWER:
                text, finish = text[:ANSWER], "length"
                break
            if loop.time() - last >= 0.5:
                last = loop.time()
                await say(min(pieces / most, 0.99) if most else 0.0, text[-SHOWN:])
        if finish is None and not text:
            raise Trouble(502, f"{self.name} ended its answer before it began", 5.0)
        return _told(text, about, finish)

    def _read(self, line: str) -> dict[str, Any]:
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise Trouble(502, f"{self.name} does not answer as OpenAI does")
        if said.get("error"):
            raise Trouble(502, f"{self.name} says: {self._clear(_message(said))}", 5.0)
        return said

    # -- what goes wrong

    @contextlib.contextmanager
    def _told(self) -> Any:
        try:
            yield
        except Trouble as e:
            self.trouble = str(e) if e.status in (401, 502, 503, 504) else self.trouble
            raise
        except httpx2.TimeoutException:
            self.trouble = f"{self.name} does not answer in time"
            raise Trouble(504, self.trouble, 5.0) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as e:
            self.trouble = f"{self.name} cannot be reached: {type(e).__name__}"
            raise Trouble(503, self.trouble, 5.0) from None
        else:
            self.trouble = ""

    def _check(self, answer: httpx2.Response) -> None:
        status = answer.status_code
        if status == 200:
            return
        try:
            said = self._clear(_message(answer.json()))
        except ValueError:
            said = ""
        why = f"{self.name} says {status}" + (f": {said}" if said else "")
        if status in (401, 403):
            raise Trouble(401, f"{self.name} refuses our key" if self.place.key else f"{self.name} wants a key")
        if status == 429 or status >= 500:
            after = answer.headers.get("retry-after", "")
            raise Trouble(429 if status == 429 else 503, why, min(float(after), 3600.0) if after.isdigit() else 5.0)
        raise Trouble(status if 400 <= status < 500 else 502, why)

    def _clear(self, text: str) -> str:
        key = self.place.key
        return (text.replace(key, "...") if key else text)[:300]


def _message(said: object) -> str:
    error = said.get("error") if isinstance(said, dict) else None
    found = error.get("message") if isinstance(error, dict) else error
    return str(found or "")


def _told(text: str, about: Mapping[str, Any], finish: Any) -> dict[str, Any]:
    found = {"text": text, "model": about.get("model"), "finish_reason": finish, "usage": about.get("usage")}
    return {k: v for k, v in found.items() if v is not None}


def asked(messages: object, model: object, max_tokens: object, temperature: object) -> dict[str, Any]:
    """The body of a chat. Raises Invalid."""
    if not isinstance(messages, list) or not 1 <= len(messages) <= 1000:
        raise Invalid("messages", "is not a list of 1 to 1000 messages")
    for i, one in enumerate(messages):
        if (
            not isinstance(one, Mapping)
            or one.get("role") not in ROLES
            or not isinstance(one.get("content"), str | list)
        ):
            raise Invalid(f"messages[{i}]", f"is not {{role, content}} with a role of {', '.join(ROLES)}")
    body: dict[str, Any] = {"messages": messages}
    if model is not None:
        if not isinstance(model, str) or not 0 < len(model) <= 200:
            raise Invalid("model", "is not the name of a model")
        body["model"] = model
    if max_tokens is not None:
        if not isinstance(max_tokens, int) or isinstance(max_tokens, bool) or not 0 < max_tokens <= 1_000_000:
            raise Invalid("max_tokens", "is not a whole number above 0")
        body["max_tokens"] = max_tokens
    if temperature is not None:
        if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 <= temperature <= 2:
            raise Invalid("temperature", "is not a number from 0 to 2")
        body["temperature"] = temperature
    return body
