"""What docs/api.md shows works as it stands there; and /docs in a real browser, without internet (S4-09)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import lacking
from tests.pages import ROOT, blocks
from tests.runtime.server import Server, free_port
from tests.services.api import client
from tests.services.coordinator import Coordinator

END = 'kill -TERM "$!"; wait "$!"\n'


def test_the_page_works_as_it_stands(server: Server, tmp_path: Path) -> None:
    """All its commands, one after the other, as somebody would type them; its API ends well."""
    if not shutil.which("curl"):
        lacking("no curl")
    port = free_port()
    text = "".join(b.text for b in blocks(ROOT / "docs/api.md") if b.language == "sh")
    text = text.replace("8002", str(port))
    started = f"for i in $(seq 400); do curl -fs http://127.0.0.1:{port}/api/health && break; sleep 0.1; done\n"
    first, _, more = text.partition("\n")
    script = f'set -euo pipefail\nswarmops() {{ {sys.executable} -m swarmops "$@"; }}\n'
    script += f"{sys.executable} -m {first}\n{started}{more}\n{END}"
    environment = {**os.environ, "SWARMOPS_REDIS_URL": server.url, "PYTHONPATH": str(ROOT), "NO_PROXY": "*"}
    said = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert said.returncode == 0, f"{said.stdout[-1500:]}\n{said.stderr[-3000:]}"
    for words in ('"status":"queued"', '"count":1', '"chunks":1', "swarmops_http_requests_total", '"leader":{"id":'):
        assert words in said.stdout, words
    assert (tmp_path / "token.header").stat().st_mode & 0o077 == 0


@pytest.fixture
def api(server: Server, tmp_path: Path) -> Iterator[Coordinator]:
    one = Coordinator(tmp_path, server)
    yield one.start()
    one.close()


def test_every_path_says_something_of_itself_and_how_it_may_fail(api: Coordinator) -> None:
    with client(api, "read") as ask:
        whole = ask.get("/openapi.json").json()
    assert len(whole["paths"]) > 30
    for path, item in whole["paths"].items():
        for method, one in item.items():
            assert one.get("description") or one.get("summary"), f"{method} {path} says nothing of itself"
            assert {"429", "503"} <= set(one["responses"]), f"{method} {path}"


def test_the_page_shows_the_document_to_who_has_a_token(api: Coordinator) -> None:
    """Chromium, with everything but our own server unreachable: nothing else is asked for, nothing is complained of."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        lacking("no chromium")
    from playwright.sync_api import sync_playwright

    asked, said = list[str](), list[str]()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.on("request", lambda r: asked.append(r.url))
        page.on("console", lambda m: said.append(m.text))
        page.on("pageerror", lambda e: said.append(str(e)))
        page.goto(f"{api.url}/docs")
        assert "task" not in page.inner_text("main")  # nothing is shown to who has no token
        page.fill("#token", "admin.wrong")
        page.press("#token", "Enter")
        page.wait_for_selector("#said.wrong")
        page.fill("#token", api.tokens["admin"])
        page.press("#token", "Enter")
        page.wait_for_selector("summary:has-text('/api/workflows')")
        page.click("summary:has-text('/api/status')")
        page.click("button:has-text('GET /api/status')")
        page.wait_for_selector("pre:has-text('round_trip_ms')")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it is wider than the screen"
        if folder := os.environ.get("SWARMOPS_TEST_PICTURES"):
            page.screenshot(path=str(Path(folder) / "api-docs.png"), full_page=True)
        browser.close()
    assert all(url.startswith((api.url, "data:")) for url in asked), asked
    assert [text for text in said if "401" not in text] == []
