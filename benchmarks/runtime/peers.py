"""What other task queues do, each as its own documentation says to use it on Redis. Runs in an environment of its own.

    python peers.py PEER WHAT [N] --url redis://...        WHAT: one, bulk, trip, fill, many; prints one JSON object
    python peers.py PEER worker --url ...                   the worker process (one process, no-op task, results kept)

The task takes a small object and returns a small object; a task named `end` writes the time into the key bench:end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import redis

URL = os.environ.get("BENCH_URL", "redis://127.0.0.1:6379")
PLACE = urlsplit(URL)
ARGS = {"n": 1, "text": "x" * 80}


def mark_end() -> None:
    redis.Redis.from_url(URL).set("bench:end", repr(time.time()))


class Peer:
    """one: submit one task. bulk: many at once, None if it has none. trip: submit and wait for the result."""

    def one(self) -> None: ...
    def end(self) -> None: ...
    def trip(self) -> None: ...
    def worker(self) -> None: ...

    bulk: Any = None
    many: Any = None


def celery_peer() -> Peer:
    from celery import Celery, group

    app = Celery("bench", broker=URL, backend=URL)
    app.conf.update(worker_prefetch_multiplier=128, task_acks_late=True, worker_hijack_root_logger=False)

    @app.task(name="noop")
    def noop(**kwargs: Any) -> Any:
        return {"ok": 1}

    @app.task(name="end")
    def end() -> None:
        mark_end()

    class It(Peer):
        def one(self) -> None:
            noop.delay(**ARGS)

        def end(self) -> None:
            end.delay()

        def trip(self) -> None:
            noop.delay(**ARGS).get(timeout=10)

        def bulk(self, n: int) -> None:
            group(noop.s(**ARGS) for _ in range(n)).apply_async()

        def worker(self) -> None:
            app.worker_main(["worker", "-P", "solo", "-l", "ERROR", "--without-gossip", "--without-mingle"])

    return It()


def dramatiq_peer() -> Peer:
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker
    from dramatiq.results import Results
    from dramatiq.results.backends import RedisBackend

    broker = RedisBroker(url=URL)
    broker.add_middleware(Results(backend=RedisBackend(url=URL)))
    dramatiq.set_broker(broker)

    @dramatiq.actor(store_results=True)
    def noop(**kwargs: Any) -> Any:
        return {"ok": 1}

    @dramatiq.actor(actor_name="end")
    def end() -> None:
        mark_end()

    class It(Peer):
        def one(self) -> None:
            noop.send(**ARGS)

        def end(self) -> None:
            end.send()

        def trip(self) -> None:
            noop.send(**ARGS).get_result(block=True, timeout=10_000)

        def bulk(self, n: int) -> None:
            dramatiq.group([noop.message(**ARGS) for _ in range(n)]).run()

        def worker(self) -> None:
            worker = dramatiq.Worker(broker, worker_threads=8)
            worker.start()
            while True:
                time.sleep(60)

    return It()


def rq_peer() -> Peer:
    from rq import Queue, SimpleWorker

    sys.modules["peers"] = sys.modules["__main__"]
    connection = redis.Redis.from_url(URL)
    queue = Queue("bench", connection=connection)

    class It(Peer):
        def one(self) -> None:
            queue.enqueue("peers.rq_noop", kwargs=ARGS)

        def end(self) -> None:
            queue.enqueue("peers.mark_end")

        def trip(self) -> None:
            job = queue.enqueue("peers.rq_noop", kwargs=ARGS)
            job.latest_result(timeout=10)

        def bulk(self, n: int) -> None:
            queue.enqueue_many([Queue.prepare_data("peers.rq_noop", kwargs=ARGS) for _ in range(n)])

        def worker(self) -> None:
            SimpleWorker([queue], connection=connection).work(logging_level="ERROR")

    return It()


def rq_noop(**kwargs: Any) -> Any:
    return {"ok": 1}


def huey_peer() -> Peer:
    from huey import RedisHuey

    huey = RedisHuey("bench", url=URL, notify_result=True)

    @huey.task()
    def noop(**kwargs: Any) -> Any:
        return {"ok": 1}

    @huey.task()
    def end() -> None:
        mark_end()

    class It(Peer):
        def one(self) -> None:
            noop(**ARGS)

        def end(self) -> None:
            end()

        def trip(self) -> None:
            noop(**ARGS).get(blocking=True, timeout=10)

        def worker(self) -> None:
            from huey.consumer_options import ConsumerConfig

            config = ConsumerConfig(workers=1, worker_type="thread", periodic=False)
            config.validate()
            huey.create_consumer(**config.values).run()

    return It()


def arq_peer() -> Peer:
    from arq import Worker, create_pool
    from arq.connections import RedisSettings
    from arq.worker import func

    settings = RedisSettings.from_dsn(URL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    pool: list[Any] = []

    async def noop(ctx: Any, **kwargs: Any) -> Any:
        return {"ok": 1}

    async def end(ctx: Any) -> None:
        mark_end()

    def connected() -> Any:
        if not pool:
            pool.append(loop.run_until_complete(create_pool(settings)))
        return pool[0]

    class It(Peer):
        def one(self) -> None:
            loop.run_until_complete(connected().enqueue_job("noop", **ARGS))

        def end(self) -> None:
            loop.run_until_complete(connected().enqueue_job("end"))

        def trip(self) -> None:
            async def both() -> None:
                job = await connected().enqueue_job("noop", **ARGS)
                await job.result(timeout=10, poll_delay=0.001)

            connected()
            loop.run_until_complete(both())

        def bulk(self, n: int) -> None:
            async def all_() -> None:
                for _ in range(n // 200):
                    await asyncio.gather(*[connected().enqueue_job("noop", **ARGS) for _ in range(200)])

            connected()
            loop.run_until_complete(all_())

        def many(self, n: int, callers: int) -> None:
            async def caller() -> None:
                for _ in range(n // callers):
                    await connected().enqueue_job("noop", **ARGS)

            async def all_() -> None:
                await asyncio.gather(*[caller() for _ in range(callers)])

            connected()
            loop.run_until_complete(all_())

        def worker(self) -> None:
            Worker(
                functions=[func(noop, name="noop"), func(end, name="end")],
                redis_settings=settings,
                max_jobs=100,
                poll_delay=0.002,
                handle_signals=False,
            ).run()

    return It()


def taskiq_peer() -> Peer:
    from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

    broker = RedisStreamBroker(url=URL).with_result_backend(RedisAsyncResultBackend(redis_url=URL))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    started: list[bool] = []

    @broker.task(task_name="noop")
    async def noop(**kwargs: Any) -> Any:
        return {"ok": 1}

    @broker.task(task_name="end")
    async def end() -> None:
        mark_end()

    def start() -> None:
        if not started:
            loop.run_until_complete(broker.startup())
            started.append(True)

    class It(Peer):
        def one(self) -> None:
            start()
            loop.run_until_complete(noop.kiq(**ARGS))

        def end(self) -> None:
            start()
            loop.run_until_complete(end.kiq())

        def trip(self) -> None:
            async def both() -> None:
                task = await noop.kiq(**ARGS)
                await task.wait_result(check_interval=0.001, timeout=10)

            start()
            loop.run_until_complete(both())

        def bulk(self, n: int) -> None:
            async def all_() -> None:
                for _ in range(n // 200):
                    await asyncio.gather(*[noop.kiq(**ARGS) for _ in range(200)])

            start()
            loop.run_until_complete(all_())

        def many(self, n: int, callers: int) -> None:
            async def caller() -> None:
                for _ in range(n // callers):
                    await noop.kiq(**ARGS)

            async def all_() -> None:
                await asyncio.gather(*[caller() for _ in range(callers)])

            start()
            loop.run_until_complete(all_())

        def worker(self) -> None:
            from taskiq.api import run_receiver_task

            async def forever() -> None:
                broker.is_worker_process = True
                await run_receiver_task(broker, run_startup=True, max_async_tasks=100)

            loop.run_until_complete(forever())

    return It()


PEERS = {
    "celery": celery_peer,
    "dramatiq": dramatiq_peer,
    "rq": rq_peer,
    "huey": huey_peer,
    "arq": arq_peer,
    "taskiq": taskiq_peer,
}


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("peer", choices=PEERS)
    p.add_argument("what", choices=["one", "bulk", "many", "trip", "fill", "worker"])
    p.add_argument("n", type=int, nargs="?", default=1000)
    o = p.parse_args()
    peer = PEERS[o.peer]()
    if o.what == "worker":
        peer.worker()
        return
    said: dict[str, Any] = {}
    peer.one()  # connect
    if o.what == "trip":
        took = []
        for _ in range(o.n):
            began = time.perf_counter()
            peer.trip()
            took.append((time.perf_counter() - began) * 1000)
        took.sort()
        said = {"p50": statistics.median(took), "p99": took[int(len(took) * 0.99)]}
    elif o.what == "many" and peer.many:
        began = time.perf_counter()
        peer.many(o.n, 200)
        said = {"rate": o.n / (time.perf_counter() - began)}
    elif o.what in ("bulk", "fill") and peer.bulk:
        began = time.perf_counter()
        peer.bulk(o.n)
        said = {"rate": o.n / (time.perf_counter() - began)}
    elif o.what in ("one", "fill"):
        began = time.perf_counter()
        for _ in range(o.n):
            peer.one()
        said = {"rate": o.n / (time.perf_counter() - began)}
    if o.what == "fill":
        peer.end()
    print(json.dumps(said))


if __name__ == "__main__":
    main()
