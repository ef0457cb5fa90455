"""S0-19 to S0-21: megabytes come back byte for byte, or loudly not."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.context.contexts import CHUNK, Context
from swarmops.runtime.errors import Conflict, Corrupt, Invalid, NotFound, TooLarge, Unavailable
from swarmops.runtime.op import Op
from tests.runtime.server import Server

WORDS = ["swarm", "shard", "Gedimat", "logistique", "übung", "depot", "lot", "the", "of", "route", "\n", "42"]


def prose(size: int, seed: int = 1) -> str:
    rng = random.Random(seed)
    text = " ".join(rng.choices(WORDS, k=size // 5))
    return (text * 2)[:size]


def ask(rt: Runtime, *args: Any) -> Any:
    return rt.run(Op("", (str(args[1]),), args))


def chunk(rt: Runtime, context: Context, n: int) -> str:
    return rt.keys.tagged("ctx", context.id, "chunk", str(n))


def test_four_megabytes_written_here_are_read_there_byte_for_byte(rt: Runtime, server: Server) -> None:
    text = prose(4_300_000)
    kept = rt.contexts.store(text, "notes.md")
    assert kept.new and kept.codec == "zlib" and kept.ratio > 2 and kept.size == len(text.encode())
    with Runtime(server.settings) as other:
        assert other.contexts.read(kept.ref) == text.encode()
        assert other.contexts.preview(kept.ref) == text[:5000]

    async def asynchronously() -> bytes:
        async with AsyncRuntime(server.settings) as art:
            assert not (await art.contexts.store(text)).new
            return await art.contexts.resolve({"id": kept.ref, "version": 1, "size": kept.size})

    assert asyncio.run(asynchronously()) == text.encode()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK])
def test_what_does_not_compress_is_stored_as_it_is(rt: Runtime, size: int) -> None:
    data = random.Random(size).randbytes(size)
    kept = rt.contexts.store(data)
    assert kept.codec == "none" and kept.stored == size + kept.chunks and rt.contexts.read(kept.ref) == data


def test_the_same_content_is_stored_and_sent_once(rt: Runtime) -> None:
    data = random.Random(2).randbytes(1_000_000)
    first = rt.contexts.store(data, "a")
    received = int(ask(rt, "INFO", "stats").split(b"total_net_input_bytes:")[1].split()[0])
    second = rt.contexts.store(data, "b")
    assert int(ask(rt, "INFO", "stats").split(b"total_net_input_bytes:")[1].split()[0]) - received < 10_000
    assert (second.id, second.source, second.new) == (first.id, "a", False)


def test_a_missing_chunk_is_named_never_skipped_and_storing_again_mends_it(rt: Runtime) -> None:
    data = random.Random(3).randbytes(5 * CHUNK)
    kept = rt.contexts.store(data)
    ask(rt, "DEL", chunk(rt, kept, 3))
    with pytest.raises(Corrupt, match="chunk 4 of 5 is missing"):
        rt.contexts.read(kept.ref)
    rt.contexts.store(data)
    assert rt.contexts.read(kept.ref) == data


def test_every_kind_of_damage_is_found_and_its_chunk_named(rt: Runtime) -> None:
    text = prose(3 * CHUNK).encode()
    kept = rt.contexts.store(text)
    key, rng = chunk(rt, kept, 1), random.Random(4)
    good = ask(rt, "GET", key)
    other = ask(rt, "GET", chunk(rt, kept, 0))
    bombs = [b"z" + zlib.compress(bytes(50_000_000)), other, good[:-20], b"z", b"?" + good[1:], b"-" + good[1:]]
    for _ in range(40):
        at = rng.randrange(len(good))
        bombs.append(good[:at] + bytes([good[at] ^ (1 << rng.randrange(8))]) + good[at + 1 :])
    for bad in bombs:
        ask(rt, "SET", key, bad)
        try:
            assert rt.contexts.read(kept.ref) == text  # a bit that zlib does not need
        except Corrupt as e:
            assert f"chunk 2 of {kept.chunks}" in str(e)
        else:
            assert zlib.decompressobj().decompress(bad[1:]) == text[CHUNK : 2 * CHUNK]
    ask(rt, "SET", key, good)
    assert rt.contexts.read(kept.ref) == text
    ask(rt, "HSET", rt.keys.tagged("ctx", kept.id, "manifest"), "sums", "00")
    with pytest.raises(Corrupt, match="manifest is damaged"):
        rt.contexts.read(kept.ref)


def upload(rt: Runtime, data: bytes, between: Callable[[], Any], puts: int = 1) -> Iterator[Context | None]:
    """`store` by hand: does `between` after so many flushes of chunks; yields after that and each further one."""
    steps, sent, result = rt.contexts.store.steps(data), 0, None
    while True:
        try:
            step: Any = steps.send(result)
        except StopIteration as e:
            yield e.value
            return
        result = step() if callable(step) else rt.run_many(step)
        assert callable(step) or not [r for r in result if isinstance(r, Exception) and not isinstance(r, Conflict)]
        if callable(step) or step[0].args[0] != "SET":
            bad = next((r for r in result if isinstance(r, Exception)), None) if isinstance(result, list) else None
            if bad:
                step = steps.throw(bad)
                result = rt.run_many(step)
            continue
        sent += 1
        if sent == puts:
            between()
        if sent >= puts:
            yield None


def test_half_an_upload_is_not_seen_and_goes_away(rt: Runtime) -> None:
    rt.contexts.stage = 20
    data = random.Random(5).randbytes(6 * CHUNK)
    next(upload(rt, data, lambda: None, puts=2))  # and no further: the uploader is dead
    ref = f"ctx:{hashlib.sha256(data).hexdigest()}"
    there = ask(rt, "KEYS", "*")
    assert len(there) == 6
    assert all(0 < ask(rt, "PTTL", key) <= 20_000 for key in there if b":ctx" in key)
    with pytest.raises(NotFound, match="never stored"):
        rt.contexts.read(ref)
    rt.contexts.stage = 60
    assert rt.contexts.store(data).new and rt.contexts.read(ref) == data


def test_a_chunk_that_vanishes_in_mid_upload_is_sent_again(rt: Runtime) -> None:
    data = random.Random(8).randbytes(6 * CHUNK)
    key = rt.keys.tagged("ctx", hashlib.sha256(data).hexdigest(), "chunk", "2")
    *_, kept = upload(rt, data, lambda: ask(rt, "DEL", key))
    assert kept and rt.contexts.read(kept.ref) == data


def test_a_second_uploader_that_dies_does_not_shorten_the_life_of_what_the_first_has_stored(rt: Runtime) -> None:
    rt.contexts.stage = 5
    data = random.Random(9).randbytes(6 * CHUNK)
    kept: list[Context] = []
    late = upload(rt, data, lambda: kept.append(rt.contexts.store(data)), puts=1)
    next(late)
    next(late)  # the rest of the chunks, and dead before the manifest
    assert all(ask(rt, "PTTL", chunk(rt, kept[0], n)) > 80_000_000 for n in range(6))


def test_all_of_it_lives_equally_long_and_use_renews_it(rt: Runtime) -> None:
    kept = rt.contexts.store(random.Random(6).randbytes(3 * CHUNK), ttl=100)
    keys = [rt.keys.tagged("ctx", kept.id, "manifest"), *(chunk(rt, kept, n) for n in range(3))]
    for key in keys:
        ask(rt, "PEXPIRE", key, 5000)
    rt.contexts.read(kept.ref)
    left = [ask(rt, "PTTL", key) for key in keys]
    assert all(95_000 < ms <= 100_000 for ms in left)
    rt.contexts.about(kept.ref, ttl=1000)
    assert all(ask(rt, "PTTL", key) > 990_000 for key in keys)
    assert rt.contexts.remove(kept.ref) and not rt.contexts.remove(kept.ref)
    assert rt.run(Op("", ("x",), ("DBSIZE",))) == 0


def test_what_cannot_be_a_context_or_a_reference_is_refused(rt: Runtime) -> None:
    rt.contexts.limit = 1000
    with pytest.raises(TooLarge, match="1,001 bytes, the most is 1,000"):
        rt.contexts.store(b"x" * 1001)
    for bad in ["\ud800", 5, None]:
        with pytest.raises(Invalid):
            rt.contexts.store(bad)  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="one line"):
        rt.contexts.store("x", "a\nb")
    for ref in ["", "ctx:", "ctx:" + "g" * 64, "../x", {"id": 5}, {}, None]:
        with pytest.raises(Invalid, match="no reference"):
            rt.contexts.read(ref)  # type: ignore[arg-type]
    kept = rt.contexts.store("x")
    with pytest.raises(Conflict, match="the reference says 2"):
        rt.contexts.resolve({"id": kept.ref, "size": 2})


def test_a_full_redis_says_so_and_shows_no_half_context(own_server: Callable[..., Server]) -> None:
    server = own_server("--maxmemory", "6mb", "--maxmemory-policy", "noeviction", "--save", "")
    data = random.Random(7).randbytes(20_000_000)
    with Runtime(server.settings.but(patience=0)) as rt:
        with pytest.raises(Unavailable) as e:
            rt.contexts.store(data)
        assert e.value.kind == "memory"
        with pytest.raises(NotFound):
            rt.contexts.read(hashlib.sha256(data).hexdigest())


def test_storing_and_reading_wait_for_a_redis_that_is_killed_in_between(own_server: Callable[..., Server]) -> None:
    server = own_server("--appendonly", "yes", "--appendfsync", "always", "--save", "")
    data = random.Random(11).randbytes(8 * CHUNK)

    with Runtime(server.settings.but(patience=20)) as rt:
        with contextlib.ExitStack() as gone:
            *_, kept = upload(rt, data, lambda: gone.enter_context(server.away(0.2)))
        assert kept
        with server.away(0.2):
            assert rt.contexts.read(kept.ref) == data
