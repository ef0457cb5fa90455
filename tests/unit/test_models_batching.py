"""Requests that wait together go as one batch, in turn, and whoever leaves takes only what is his along."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmops.runtime.errors import Full
from swarmops.workers.models.batching import Batcher


class Doubling:
    """A run that doubles numbers, keeps its batches, and waits for the gate."""

    def __init__(self, bad: object = None):
        self.batches: list[list[int]] = []
        self.gate, self.bad = asyncio.Event(), bad
        self.gate.set()

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        await asyncio.sleep(0)
        await self.gate.wait()
        if self.bad in items:
            raise ValueError(f"{self.bad} is bad")
        return [2 * i for i in items]


async def waiting(batcher: Batcher[int, int], n: int) -> None:
    async with asyncio.timeout(5):
        while batcher.waiting != n:
            await asyncio.sleep(0)


def test_those_who_wait_together_go_together() -> None:
    async def main() -> None:
        run = Doubling()
        batcher = Batcher(run, most=8, wait=0.05)
        found = await asyncio.gather(*[batcher.put([i, -i]) for i in range(8)])
        assert found == [[2 * i, -2 * i] for i in range(8)]
        assert [len(b) for b in run.batches] == [8, 8]
        assert await batcher.put([]) == []
        await batcher.close()

    asyncio.run(main())


class Mute:
    """A result that is not to be put in words: of vectors that takes longer than to find them."""

    def __repr__(self) -> str:
        raise AssertionError("nobody asked for words")


def test_nobody_puts_results_in_words() -> None:
    async def main() -> None:
        async def run(items: Sequence[int]) -> Sequence[Mute]:
            return [Mute() for _ in items]

        batcher = Batcher[int, Mute](run, most=2)
        found = await asyncio.gather(batcher.put([1, 2, 3]), batcher.put([4]))
        assert [len(results) for results in found] == [3, 1]
        await batcher.close()

    asyncio.run(main())


def test_a_batch_never_weighs_more_than_allowed_but_for_one_item() -> None:
    async def main() -> None:
        run = Doubling()
        batcher = Batcher(run, most=10, wait=0, weigh=lambda n: n)
        assert await batcher.put([4, 5, 30, 6, 4, 1]) == [8, 10, 60, 12, 8, 2]
        assert run.batches == [[4, 5], [30], [6, 4], [1]]
        await batcher.close()

    asyncio.run(main())


def test_a_large_request_does_not_hold_up_a_small_one() -> None:
    async def main() -> None:
        run = Doubling()
        run.gate.clear()
        batcher = Batcher(run, most=4, wait=0)
        large = asyncio.create_task(batcher.put(list(range(1000))))
        await waiting(batcher, 996)
        small = asyncio.create_task(batcher.put([7777]))
        await waiting(batcher, 997)
        run.gate.set()
        assert await small == [15554]
        assert 7777 in run.batches[1]
        assert len(run.batches) < 5
        assert len(await large) == 1000
        await batcher.close()

    asyncio.run(main())


def test_who_is_cancelled_takes_its_items_along_and_nothing_else() -> None:
    async def main() -> None:
        run = Doubling()
        run.gate.clear()
        batcher = Batcher(run, most=4, wait=0)
        kept = asyncio.create_task(batcher.put([1, 2, 3]))
        gone = asyncio.create_task(batcher.put(list(range(100, 200))))
        async with asyncio.timeout(5):
            while not run.batches:
                await asyncio.sleep(0)
        gone.cancel()
        run.gate.set()
        assert await kept == [2, 4, 6]
        assert await batcher.put([5]) == [10]
        assert sum(i >= 100 for b in run.batches for i in b) <= 4
        assert batcher.waiting == 0
        await batcher.close()

    asyncio.run(main())


def test_one_that_fails_is_told_alone() -> None:
    async def main() -> None:
        run = Doubling(bad=13)
        batcher = Batcher(run, most=8, wait=0.05)
        found = await asyncio.gather(*[batcher.put([i]) for i in (1, 13, 3)], return_exceptions=True)
        assert found[0] == [2] and found[2] == [6]
        assert isinstance(found[1], ValueError)
        assert await batcher.put([4]) == [8]
        await batcher.close()

    asyncio.run(main())


def test_too_much_is_refused_and_an_end_ends_those_who_wait() -> None:
    async def main() -> None:
        run = Doubling()
        run.gate.clear()
        batcher = Batcher(run, most=2, wait=0, room=10)
        first = asyncio.create_task(batcher.put(list(range(10))))
        await waiting(batcher, 8)
        with pytest.raises(Full, match="8 items wait"):
            await batcher.put([1, 2, 3])
        await batcher.close()
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(main())


@given(
    st.lists(st.tuples(st.integers(1, 30), st.booleans(), st.integers(0, 3)), min_size=1, max_size=20),
    st.integers(1, 12),
)
def test_everybody_gets_what_is_his(requests: list[tuple[int, bool, int]], most: int) -> None:
    async def main() -> None:
        run = Doubling()
        batcher = Batcher(run, most=most, wait=0)
        tasks = []
        for n, (size, cancelled, pause) in enumerate(requests):
            tasks.append(asyncio.create_task(batcher.put([1000 * n + i for i in range(size)])))
            for _ in range(pause):
                await asyncio.sleep(0)
            if cancelled:
                tasks[-1].cancel()
        async with asyncio.timeout(20):
            found = await asyncio.gather(*tasks, return_exceptions=True)
        for n, ((size, cancelled, _), result) in enumerate(zip(requests, found)):
            if not (cancelled and isinstance(result, asyncio.CancelledError)):
                assert result == [2 * (1000 * n + i) for i in range(size)]
        assert all(len(b) <= most for b in run.batches)
        assert batcher.waiting == 0
        await batcher.close()

    asyncio.run(main())
