"""Keeps a Chromium: starts it, replaces it after so many tasks or too much memory, and when it has crashed.

The sandbox is always on. Chromium cannot have one as root, so as root there is no browser here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmops.runtime.registry.capabilities import BROWSERS
from swarmops.workers.browser.memory import children, memory_of, tree_of

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Playwright

log = logging.getLogger("swarmops.worker")
LAUNCH = 30.0  # seconds
LONGEST = 50  # bytes of a folder in which Chromium can make its socket
CLOSE = 5.0
NOWHERE = "http://127.0.0.1:9"  # the proxy of what belongs to no task: nobody listens there
ARGUMENTS = (
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # names are the proxy's matter
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--force-webrtc-ip-handling-policy",
    "--disable-quic",
    "--dns-prefetch-disable",
    "--no-pings",
    "--disable-gpu",
)


class Lacking(Exception):
    """There can be no browser here; the sentence says why."""


@dataclass(eq=False)
class Instance:
    """One Chromium. A worn one gets no more tasks and is closed when its last has ended."""

    browser: Browser
    pid: int
    folder: Path
    tmp: int  # its folder for temporary files, held open
    tasks: int = 0
    running: int = 0
    worn: str = ""
    began: float = field(default_factory=time.monotonic)

    @property
    def alive(self) -> bool:
        return self.browser.is_connected()


def find_program() -> str:
    """The distribution's browser. Raises Lacking."""
    if os.geteuid() == 0:
        raise Lacking("Chromium has no sandbox as root: run the worker as another user")
    for name in BROWSERS:
        if not name.startswith("firefox") and (found := shutil.which(name)):
            return found
    raise Lacking("there is no chromium on PATH (apt install chromium)")


class Keeper:
    """most_tasks: of one Chromium. most_memory: bytes of it and its children together. program: None to look for it."""

    def __init__(self, home: Path, most_tasks: int = 200, most_memory: int = 2 << 30, program: str | None = None):
        self.home, self.most_tasks, self.most_memory, self.program = home, most_tasks, most_memory, program
        self.version = ""
        self.launches = 0
        self._playwright: Playwright | None = None
        self._now: Instance | None = None
        self._all: set[Instance] = set()
        self._lock = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Launch the first. Raises Lacking."""
        self.program = self.program or find_program()
        for leftover in self.home.glob("chromium-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        instance = await self.instance()
        self.version = instance.browser.version
        if "--no-sandbox" in _arguments(instance.pid):
            await self.close()
            raise Lacking(f"{self.program} is started without its sandbox here (see /etc/chromium.d)")

    async def close(self) -> None:
        for instance in list(self._all):
            await self._end(instance)
        await self._stop_playwright()

    async def instance(self) -> Instance:
        """One that may take a task. Raises Lacking."""
        async with self._lock:
            now = self._now
            if now and now.alive and not now.worn and now.tasks >= self.most_tasks:
                self.wear(now, f"has done {now.tasks} tasks")
            if not now or not now.alive or now.worn:
                if now and not now.alive:
                    self.wear(now, "has ended by itself")
                self._now = now = await self._launch()
            return now

    @contextlib.asynccontextmanager
    async def context(self, proxy: str, **more: Any) -> AsyncIterator[tuple[Instance, BrowserContext]]:
        """A fresh context, which sees the world through `proxy` only. Raises Lacking, playwright's Error."""
        instance = await self.instance()
        instance.tasks += 1
        instance.running += 1
        context = None
        try:
            context = await instance.browser.new_context(
                proxy={"server": proxy, "bypass": "<-loopback>"},
                accept_downloads=False,
                service_workers="block",
                **more,
            )
            yield instance, context
        finally:
            instance.running -= 1
            await asyncio.shield(self._leave(instance, context))

    def wear(self, instance: Instance, why: str) -> None:
        """No more tasks for it; it is closed when it has none."""
        if not instance.worn:
            instance.worn = why
            log.info("Chromium %d %s: another takes its place", instance.pid, why)
        if not instance.running:
            self._later(self._end(instance))

    def memory(self) -> int:
        """Bytes of all that run."""
        tree = children()
        return sum(memory_of(tree_of(i.pid, tree)) for i in self._all)

    async def kill(self, instance: Instance, why: str) -> None:
        """End it now; its tasks fail."""
        instance.worn = instance.worn or why
        log.warning("Chromium %d %s: it is ended", instance.pid, why)
        for pid in reversed(tree_of(instance.pid)):
            with contextlib.suppress(OSError):
                os.kill(pid, 9)

    def over(self) -> list[Instance]:
        """Those that use more memory than they may."""
        tree = children()
        return [i for i in self._all if i.alive and memory_of(tree_of(i.pid, tree)) > self.most_memory]

    # -- its life

    async def _launch(self) -> Instance:
        last: Exception | None = None
        for attempt in range(3):
            try:
                return await self._try()
            except Exception as e:  # playwright's Error, or the pipe to its driver
                last = e
                log.warning("Chromium does not start (%d of 3): %s", attempt + 1, _first(e))
                await self._stop_playwright()
        raise Lacking(f"{self.program} does not start: {_first(last)}") from last

    async def _try(self) -> Instance:
        if self._playwright is None:
            from playwright.async_api import async_playwright

            self._playwright = await asyncio.wait_for(async_playwright().start(), LAUNCH)
        self.launches += 1
        folder = self.home / f"chromium-{os.getpid()}-{self.launches}"
        (folder / "tmp").mkdir(parents=True, mode=0o700)
        tmp = os.open(folder / "tmp", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            browser = await self._playwright.chromium.launch(
                executable_path=self.program,
                chromium_sandbox=True,
                headless=True,
                args=list(ARGUMENTS),
                proxy={"server": NOWHERE, "bypass": "<-loopback>"},
                env=_environment(folder, tmp),
                timeout=LAUNCH * 1000,
                handle_sigint=False,
                handle_sigterm=False,
                handle_sighup=False,
            )
        except BaseException:
            os.close(tmp)
            raise
        session = await browser.new_browser_cdp_session()
        about = await session.send("SystemInfo.getProcessInfo")
        await session.detach()
        pid = next(int(p["id"]) for p in about["processInfo"] if p["type"] == "browser")
        instance = Instance(browser, pid, folder, tmp)
        self._all.add(instance)
        return instance

    async def _leave(self, instance: Instance, context: BrowserContext | None) -> None:
        try:
            if context:
                await asyncio.wait_for(context.close(), CLOSE)
        except TimeoutError:
            await self.kill(instance, "does not close a page")
        except Exception as e:
            log.debug("closing a context: %s", e)
        if not instance.running and (instance.worn or not instance.alive):
            await self._end(instance)

    async def _end(self, instance: Instance) -> None:
        self._all.discard(instance)
        if self._now is instance:
            self._now = None
        try:
            await asyncio.wait_for(instance.browser.close(), CLOSE)
        except Exception as e:
            log.debug("closing Chromium: %s", e)
            await self.kill(instance, "does not end")
        if instance.tmp >= 0:
            os.close(instance.tmp)
            instance.tmp = -1
        await asyncio.to_thread(shutil.rmtree, instance.folder, ignore_errors=True)

    async def _stop_playwright(self) -> None:
        if self._playwright:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._playwright.stop(), CLOSE)
            self._playwright = None

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _environment(folder: Path, tmp: int) -> dict[str, Any]:
    """Nothing of ours: there may be a password in it.

    Chromium makes a socket below TMPDIR, whose path may have 107 bytes: where ours is too long, it is given the open
    folder `tmp` by its number.
    """
    short = folder / "tmp" if len(os.fsencode(folder)) < LONGEST else f"/proc/{os.getpid()}/fd/{tmp}"
    at = {"HOME": folder, "TMPDIR": short, "XDG_CONFIG_HOME": folder / "config"}
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"} | {k: str(v) for k, v in at.items()}


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return []


def _first(e: Exception | None) -> str:
    lines = [line.strip() for line in str(e).splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "sandbox" in line.lower()]
    return (telling or lines or [type(e).__name__])[0][:300]
