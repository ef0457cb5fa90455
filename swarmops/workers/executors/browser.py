"""Web pages in a real Chromium: fetch, screenshot, pdf, extract, script. Its sandbox is always on."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from swarmops.runtime.worker import AsyncContext, Fatal, Handlers, Retry
from swarmops.workers.browser.asked import Asked, Bounds, asked
from swarmops.workers.browser.keeper import Instance, Keeper, Lacking
from swarmops.workers.browser.page import Work
from swarmops.workers.browser.policy import Policy
from swarmops.workers.browser.proxy import TaskProxy
from swarmops.workers.config import BadConfig
from swarmops.workers.executor import Executor as Base
from swarmops.workers.executor import Found
from swarmops.workers.reading import Fields

log = logging.getLogger("swarmops.worker")
KINDS = ("fetch", "screenshot", "pdf", "extract", "script")
WATCH = 1.0  # seconds between two looks at the memory of a Chromium at work
GONE = ("Target closed", "has been closed", "Target crashed", "Page crashed", "Connection closed", "Browser closed")


class Failed(Exception):
    """The page did not do what was asked; the task is tried again as its `retries` say."""


class Executor(Base):
    """See docs/executors.md for what tasks and options say."""

    keeper: Keeper | None = None
    lack = ""
    ill = ""

    async def start(self) -> Found:
        self._options()
        self.refused: Counter[str] = Counter()
        self.failures = 0
        self._loops: list[asyncio.Task[None]] = []
        try:
            if find_spec("playwright") is None:
                raise Lacking("the Python package playwright is not installed (pip install 'swarmops[browser]')")
            self.keeper = Keeper(self.setting.home, self.most_tasks, self.memory)
            await self.keeper.start()
        except Lacking as e:
            self.keeper, self.lack = None, str(e)
            return Found(frozenset(), {}, {"chromium": str(e)})
        self._loops = [asyncio.create_task(self._watch()), asyncio.create_task(self._check())]
        facts = {"browser": self.keeper.program, "browser_version": self.keeper.version, "sandbox": True}
        return Found(frozenset({"browser", *KINDS}), facts)

    def _options(self) -> None:
        """Raises BadConfig."""
        faults: list[str] = []
        fields = Fields(self.setting.options, "options", faults)
        self.policy = Policy.of(fields)
        most = fields.number("most_timeout", 120, 0.1, 3600)
        self.bounds = Bounds(fields.number("timeout", min(30.0, most), 0.1, most), most)
        self.most_bytes = fields.whole("most_bytes", 50 << 20, 1024, 10 << 30)
        self.memory = fields.whole("memory", 2 << 30, 64 << 20, 1 << 40)
        self.most_tasks = fields.whole("tasks_per_browser", 200, 1, 1_000_000)
        self.pages = asyncio.Semaphore(fields.whole("pages", 4, 1, 100))
        self.check_every = fields.number("check_every", 60, 0.5, 86400)
        self.keep = fields.number("keep", 86400, 1, 30 * 86400)
        fields.end()
        if faults:
            raise BadConfig(faults)

    def handlers(self) -> Handlers:
        handlers = Handlers()
        if self.keeper:
            for kind in KINDS:
                handlers.add(kind, self._handler(kind))
        return handlers

    def _handler(self, kind: str) -> Callable[..., Any]:
        async def handle(context: AsyncContext, **said: Any) -> dict[str, Any]:
            return await self._do(asked(kind, said, self.bounds), context)

        return handle

    async def health(self) -> str:
        return self.lack or self.ill

    def metrics(self) -> Mapping[str, float]:
        if not self.keeper:
            return {"browser_up": 0.0}
        return {
            "browser_up": 0.0 if self.ill else 1.0,
            "browser_launches_total": float(self.keeper.launches),
            "browser_memory_bytes": float(self.keeper.memory()),
            "browser_failures_total": float(self.failures),
            "browser_refused_total": float(self.refused["refused"]),
        }

    async def close(self) -> None:
        for loop in self._loops:
            loop.cancel()
        if self.keeper:
            await self.keeper.close()

    # -- one task

    async def _do(self, wanted: Asked, context: AsyncContext) -> dict[str, Any]:
        """Raises Fatal for what will never work, Retry when Chromium ended under it, Failed for all else."""
        async with self.pages:
            proxy = TaskProxy(self.policy, self.most_bytes)
            try:
                async with asyncio.timeout(wanted.timeout):
                    return await self._in_page(wanted, context, proxy)
            except TimeoutError:
                self.failures += 1
                raise Failed(f"it took longer than {wanted.timeout:g} s") from None
            except Lacking as e:
                raise Retry(5.0, str(e)) from None
            finally:
                self.refused["refused"] += len(proxy.refused)

    async def _in_page(self, wanted: Asked, context: AsyncContext, proxy: TaskProxy) -> dict[str, Any]:
        assert self.keeper
        from playwright.async_api import Error

        instance: Instance | None = None
        size = {"width": wanted.width, "height": wanted.height}
        try:
            async with proxy, self.keeper.context(proxy.url, viewport=size) as (instance, pages):
                pages.set_default_timeout(wanted.timeout * 1000 + 1000)  # ours ends first
                work = asyncio.create_task(Work(wanted, pages, proxy, self._store, context.progress)())
                flood = asyncio.create_task(proxy.too_much.wait())
                try:
                    await asyncio.wait([work, flood], return_when=asyncio.FIRST_COMPLETED)
                    if not work.done() or proxy.too_much.is_set():
                        raise Fatal(f"the page has more than {self.most_bytes:,} bytes, the most there may be")
                    return work.result()
                finally:
                    for task in (work, flood):
                        task.cancel()
                    await asyncio.gather(work, flood, return_exceptions=True)
        except Error as e:
            self.failures += 1
            raise self._meaning(e, instance) from None

    def _meaning(self, e: Exception, instance: Instance | None) -> Exception:
        """What playwright's error means for the task."""
        said = str(e).splitlines()[0][:500] if str(e) else type(e).__name__
        if instance and instance.worn:
            return Retry(0.1, f"Chromium {instance.worn} while this ran")
        if (instance and not instance.alive) or any(word in str(e) for word in GONE):
            return Retry(0.1, "Chromium ended while this ran")
        return Failed(said)

    async def _store(self, data: bytes, kind: str, name: str) -> dict[str, Any]:
        kept = await self.setting.runtime.contexts.store(data, source=name, ttl=self.keep)
        return {"ref": kept.ref, "bytes": len(data), "type": kind}

    # -- what goes on beside

    async def _watch(self) -> None:
        """A Chromium that uses too much memory is ended; its tasks are tried again in another."""
        assert self.keeper
        while True:
            await asyncio.sleep(WATCH)
            for instance in await asyncio.to_thread(self.keeper.over):
                await self.keeper.kill(instance, f"used more than {self.memory >> 20} MiB")

    async def _check(self) -> None:
        """A real page, from time to time: what /health says is what was seen."""
        while True:
            self.ill = await self._seen()
            if self.ill:
                log.warning("%s", self.ill)
            await asyncio.sleep(min(5.0, self.check_every) if self.ill else self.check_every)

    async def _seen(self) -> str:
        assert self.keeper
        try:
            async with asyncio.timeout(20):
                async with self.keeper.context("http://127.0.0.1:9") as (instance, pages):
                    instance.tasks -= 1  # none of those it is worn by
                    page = await pages.new_page()
                    await page.set_content("<p id=sum></p><script>sum.textContent = 1 + 1</script>")
                    found = await page.inner_text("#sum")
            return "" if found == "2" else f"a page in Chromium computes 1 + 1 = {found[:20]!r}"
        except Exception as e:
            return f"a page in Chromium does not work: {type(e).__name__}: {str(e)[:200]}"
