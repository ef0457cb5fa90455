"""The two executors: one round trip, scripts loaded when missing, patience, and errors that tell what is wrong."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from swarmops.runtime import AsyncRuntime, Runtime
from swarmops.runtime.errors import Full, Misconfigured, Refused, Unavailable
from swarmops.runtime.op import Op
from tests.runtime.server import Server, free_port


def ping(rt: Runtime | AsyncRuntime) -> Op[int]:
    return Op("ping", (rt.keys.registry("probe"),), safe=True)


def command(*args: str) -> Op[object]:
    return Op("", ("x",), args)


def test_a_script_is_loaded_when_redis_has_forgotten_it(rt: Runtime) -> None:
    assert rt.run(ping(rt)) > 1_700_000_000_000
    rt.run(command("SCRIPT", "FLUSH"))
    first, second = rt.run_many([ping(rt), ping(rt)])
    assert 0 <= second - first < 1000


def test_one_submit_is_one_round_trip(rt: Runtime) -> None:
    """Counted by Redis: how often it read from the connection."""

    def reads() -> int:
        info = rt.run(command("INFO", "stats"))
        assert isinstance(info, bytes)
        return int(info.split(b"total_reads_processed:")[1].split()[0])

    rt.tasks.submit("noop")
    before = reads()
    for i in range(100):
        rt.tasks.submit("noop", {"i": i})
    assert reads() - before == 101


def test_nobody_waits_behind_an_error(rt: Runtime) -> None:
    """A script that is missing is loaded before anything blocks; one that is refused ends the wait."""
    rt.run(command("SCRIPT", "FLUSH"))
    pop = Op("", ("nothing",), ("BLPOP", "nothing", 60), safe=True, block=60.0)
    began = time.monotonic()
    pusher = threading.Timer(0.2, lambda: rt.run(command("RPUSH", "nothing", "here")))
    pusher.start()
    moment, popped = rt.run_many([ping(rt), pop])
    pusher.join()
    assert moment > 0 and popped == [b"nothing", b"here"]
    one, two = rt.run_many([command("LPUSH", "nothing"), pop])
    assert isinstance(one, Refused) and isinstance(two, Refused)
    assert time.monotonic() - began < 50


def test_errors_of_one_do_not_hide_the_others(rt: Runtime) -> None:
    one, two, three = rt.run_many([command("SET", "x", "1"), command("LPUSH", "x", "1"), command("GET", "x")])
    assert (one, three) == (b"OK", b"1") and isinstance(two, Refused) and "another type" in str(two)


def test_what_may_be_repeated_waits_for_redis_to_come_back(own_server: Callable[..., Server]) -> None:
    server = own_server()
    with Runtime(server.settings.but(patience=10)) as rt:
        rt.run(ping(rt))
        with server.away(0.3):
            rt.run(ping(rt))
        server.kill()
        with Runtime(server.settings.but(patience=0)) as hasty, pytest.raises(Unavailable) as e:
            hasty.run(ping(hasty))
        assert e.value.kind == "refused" and e.value.exit_code == 3


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lru"])
def test_a_redis_that_evicts_is_refused(own_server: Callable[..., Server], policy: str) -> None:
    """X-04, S3-56."""
    server = own_server("--maxmemory-policy", policy)
    with Runtime(server.settings) as rt, pytest.raises(Misconfigured, match=f"{policy}: it may drop queues"):
        rt.run(ping(rt))

    async def asynchronously() -> None:
        async with AsyncRuntime(server.settings) as art:
            await art.run(ping(art))

    with pytest.raises(Misconfigured, match=policy):
        asyncio.run(asynchronously())


def test_each_trouble_has_its_own_word(own_server: Callable[..., Server]) -> None:
    """S0-15: wrong password, closed port, no such host: each at once."""
    server = own_server("--requirepass", "right")
    faults = {
        f"redis://:wrong@127.0.0.1:{server.port}": "login",
        f"redis://127.0.0.1:{server.port}": "login",
        f"redis://127.0.0.1:{free_port()}": "refused",
        "redis://no-such-host.invalid": "name",
    }
    for url, kind in faults.items():
        began = time.monotonic()
        with pytest.raises(Unavailable) as e:
            Runtime(url).connect()
        assert e.value.kind == kind, e.value
        assert "wrong" not in str(e.value).replace("wrong password", "")
        assert time.monotonic() - began < 30


def test_a_frozen_redis_is_given_up_after_the_timeout(own_server: Callable[..., Server]) -> None:
    server = own_server()
    with Runtime(server.settings.but(timeout=2, patience=0)) as rt:
        rt.run(ping(rt))
        server.stop()
        with pytest.raises(Unavailable, match=r"did not answer within 2 s"):
            rt.run(ping(rt))
        server.go_on()
        assert rt.run(ping(rt))


def test_awaits_at_the_same_time_share_their_flushes(server: Server) -> None:
    async def main() -> tuple[int, list[int]]:
        async with AsyncRuntime(server.settings) as art:
            await art.run(ping(art))
            before = await art.run(command("CONFIG", "RESETSTAT"))
            assert before == b"OK"
            found = await asyncio.gather(*[art.run(ping(art)) for _ in range(200)])
            info = await art.run(command("INFO", "stats"))
            assert isinstance(info, bytes)
            connections = int(info.split(b"total_connections_received:")[1].split()[0])
            return connections, found

    connections, found = asyncio.run(main())
    assert len(found) == 200 and connections == 0


def test_one_that_is_refused_does_not_spoil_those_that_went_with_it(server: Server) -> None:
    async def main() -> tuple[list[object], list[object]]:
        async with AsyncRuntime(server.settings) as art:
            await art.tasks.configure(limit=10)
            calls = [art.tasks.submit("noop", id=f"t{i}") for i in range(20)]
            accepted = await asyncio.gather(*calls, return_exceptions=True)
            await art.run(command("CONFIG", "RESETSTAT"))
            flushes = [art.run_many([ping(art), ping(art)]) for _ in range(100)]
            await asyncio.gather(*flushes)
            info = await art.run(command("INFO", "stats"))
            return list(accepted), [info]

    accepted, (info,) = asyncio.run(main())
    assert [isinstance(a, Full) for a in accepted] == [False] * 10 + [True] * 10
    assert isinstance(info, bytes) and b"total_connections_received:0" in info


def test_many_that_go_in_halves_keep_their_order(server: Server, rt: Runtime) -> None:
    async def main() -> list[str]:
        async with AsyncRuntime(server.settings) as art:
            found = await asyncio.gather(*[art.tasks.submit("noop", id=f"t{i}") for i in range(3000)])
            return [one.id for one in found]

    wanted = [f"t{i}" for i in range(3000)]
    assert asyncio.run(main()) == wanted
    assert [task.id for task in rt.tasks.list("ready", limit=3000)] == wanted


@pytest.mark.parametrize("turns", [1, 2, 3, 8], ids=["not begun", "begun", "sending", "reading"])
def test_nobody_waits_for_ever_when_it_is_closed(own_server: Callable[..., Server], turns: int) -> None:
    server = own_server()

    async def main() -> list[object]:
        art = AsyncRuntime(server.settings)
        await art.connect()
        server.stop()
        calls = asyncio.gather(*[art.run(ping(art)) for _ in range(250)], return_exceptions=True)
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await art.close()
            return list(await calls)

    try:
        found = asyncio.run(main())
    finally:
        server.go_on()
    assert {type(one) for one in found} == {asyncio.CancelledError}
