"""The dashboard for tests: a real coordinator, a real page, a real Chromium that says what it did not like."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from swarmops.runtime.access import issue
from swarmops.runtime.worker import Context, Handlers
from tests.conftest import lacking
from tests.runtime.server import Server, free_port
from tests.services.programs import ROOT, Program

CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
DIST = ROOT / "swarmops/gateways/page/dist/index.html"
# Where pictures are kept, to be looked at.
PICTURES = Path(os.environ.get("SWARMOPS_PICTURES", ROOT / "out/dashboard"))
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 860}
PATIENCE = 30_000  # ms, on a machine with much else to do

handlers = Handlers()


@handlers.task
def echo(text: str) -> str:
    return text


@handlers.task
def fail(why: str) -> None:
    raise ValueError(why)


@handlers.task
def hold(context: Context) -> str:
    """Half done, until it is cancelled."""
    context.progress(0.5, "waiting for the test")
    while not context.wait(0.05):
        pass
    return "let go"


@contextmanager
def chromium(program: str | None = CHROMIUM) -> Iterator[Browser]:
    if program is None:
        lacking("no chromium on PATH (apt install chromium)")
    # Chromium's sandbox does not work for root, as whom tests run in CI. This browser opens pages of these tests only.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, chromium_sandbox=os.geteuid() != 0)
        yield browser
        browser.close()


class Site:
    """A coordinator and a dashboard that belong together. tokens: scope -> text of a token that has it."""

    def __init__(self, folder: Path, server: Server):
        if not DIST.is_file():
            lacking("the page is not built: scripts/page.sh")
        self.folder, self.server = folder, server
        self.made: list[Program] = []
        self.api_port, self.page_port = free_port(), free_port()
        self.api_url, self.url = f"http://127.0.0.1:{self.api_port}", f"http://127.0.0.1:{self.page_port}"
        issued = {scope: issue(scope) for scope in ("read", "admin")}
        self.tokens = {scope: text for scope, (text, _) in issued.items()}
        rows = [{"id": s, "sha256": h, "scopes": [s], "expires": None} for s, (_, h) in issued.items()]
        self._write("tokens.json", rows)
        self._write("coordinator.json", self._coordinator())
        self._write("frontend.json", {"bind": ["127.0.0.1"], "port": self.page_port, "coordinator": self.api_url})
        self.program("dashboard", "--config", str(folder / "frontend.json"), health=f"{self.url}/health")
        self.api = self.start_api()

    def _write(self, name: str, what: Any) -> None:
        (self.folder / name).write_text(json.dumps(what))

    def program(self, *args: str, **more: Any) -> Program:
        environment = {"SWARMOPS_REDIS_URL": self.server.url}
        log = self.folder / f"program-{len(self.made)}.log"
        self.made.append(Program(log, args, environment=environment, **more))
        return self.made[-1].start()

    def start_api(self) -> Program:
        config = str(self.folder / "coordinator.json")
        self.api = self.program("api", "--config", config, health=f"{self.api_url}/api/health")
        return self.api

    def start_worker(self) -> Program:
        of = ["--handlers", f"{__name__}:handlers", "--name", "worker-1", "--caps", "echo,fail,hold", "--threads", "4"]
        return self.program("worker", *of)

    def close(self) -> None:
        for one in self.made:
            one.close()

    def _coordinator(self) -> dict[str, Any]:
        # Nobody listens on port 9: one service of the fleet is always ill.
        urls = {
            "coordinator": f"{self.api_url}/api/health",
            "frontend": f"{self.url}/health",
            "npu": "http://127.0.0.1:9/",
        }
        nodes = [{"name": f"{r}-1", "address": "127.0.0.1", "mesh_address": None, "roles": [r]} for r in urls]
        services = [{"name": f"{r}-1", "role": r, "node": f"{r}-1", "url": url} for r, url in urls.items()]
        return {
            "bind": ["127.0.0.1"],
            "port": self.api_port,
            "name": "coordinator-1",
            "origins": [self.url],
            "tokens": "tokens.json",
            "nodes": nodes,
            "services": services,
        }


class Place(Protocol):
    """Where a dashboard is, and the tokens to log in with: by scope."""

    url: str
    tokens: dict[str, str]


class Visit:
    """A browser's visit: what it asked for, and what it complained about."""

    def __init__(self, context: BrowserContext, site: Place):
        self.site, self.context, self.page = site, context, context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.set_default_timeout(PATIENCE)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def login(self, scope: str = "read", *, until: str = "live") -> Page:
        self.page.goto(self.site.url)
        self.page.get_by_label("Token").fill(self.site.tokens[scope])
        self.page.get_by_role("button", name="Log in").click()
        self.until(until)
        return self.page

    def until(self, state: str) -> None:
        """Until the page says that it is live, polling or offline."""
        self.page.get_by_role("status").get_by_text(state, exact=True).wait_for()

    def go(self, view: str) -> Page:
        """To a view, when it has what it asked for."""
        self.page.goto(f"{self.site.url}/#/{view}")
        self.page.locator("main h1").wait_for()
        expect(self.page.locator("main [aria-busy]")).to_have_count(0, timeout=PATIENCE)
        return self.page

    def picture(self, name: str, *, whole: bool = True) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=whole)

    @property
    def hosts(self) -> set[str]:
        """All that it spoke to."""
        return {re.sub(r"^(\w+://[^/]*).*", r"\1", url) for url in self.requests}

    def expect_complaint(self, text: str) -> None:
        """Chromium itself reports every answer that is no success; this one was meant. Asserts that there was one."""
        found = [one for one in self.complaints if text in one]
        assert found, self.complaints
        self.complaints = [one for one in self.complaints if text not in one]
