"""The executor `browser` as a process, with a real Chromium and its sandbox, on pages of a web of the test's own."""

from __future__ import annotations

import os
import shutil
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmops.runtime import Runtime
from swarmops.runtime.registry.capabilities import BROWSERS
from swarmops.runtime.tasks import TaskFailed
from swarmops.workers.browser.memory import children, tree_of
from tests.conftest import lacking
from tests.runtime.server import Server
from tests.services.pages import Site, site
from tests.services.programs import WorkerProgram
from tests.waiting import until

USER = 65534 if os.geteuid() == 0 else None  # Chromium has no sandbox as root
LOOPBACK = {"allow": ["*:*"], "allow_private": ["127.0.0.0/9"]}  # half of it: the other half is refused
PATIENT = 60.0  # seconds, on a machine with much else to do
Ask = Callable[..., Any]


def chromium() -> None:
    if not any(shutil.which(b) for b in BROWSERS if not b.startswith("firefox")):
        lacking("no chromium on PATH (apt install chromium)")


@pytest.fixture(scope="module")
def pages() -> Iterator[Site]:
    with site() as one:
        yield one


@pytest.fixture(scope="module")
def browser(shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProgram]:
    """One worker for most tests, on a queue of its own, because others empty the shared Redis."""
    chromium()
    folder = tmp_path_factory.mktemp("browser")
    one = WorkerProgram(folder, "browser", LOOPBACK | {"most_bytes": 1_000_000}, shared_server.url, user=USER)
    try:
        yield one.start()
    finally:
        one.close()


@pytest.fixture
def ask(browser: WorkerProgram, rt: Runtime) -> Ask:
    return asking(rt)


def asking(rt: Runtime, queue: str = "default") -> Ask:
    def ask(kind: str, retries: int = 0, **said: Any) -> Any:
        more = {"needs": [kind], "retries": retries, "backoff": 0.1, "timeout": 90, "queue": queue}
        return rt.tasks.submit_and_wait(kind, said, **more)

    return ask


def chromium_of(pid: int) -> list[int]:
    """The processes of Chromium below a worker."""
    found = []
    for one in tree_of(pid, children()):
        try:
            if b"--type=" in (line := Path(f"/proc/{one}/cmdline").read_bytes()) or b"--headless" in line:
                found.append(one)
        except OSError:
            continue
    return found


# -- what it does


def test_fetch_gives_what_is_seen_whatever_the_page_does_to_its_own_world(ask: Ask, pages: Site) -> None:
    said = ask("fetch", url=f"{pages.url}/shop")
    assert said["status"] == 200 and said["title"] == "A shop" and said["url"] == f"{pages.url}/shop"
    assert said["text"].startswith("Shop") and 'data-ran="yes"' in said["html"] and not said["truncated"]
    bounded = ask("fetch", url=f"{pages.url}/long", text=1000)
    assert bounded["truncated"] and len(bounded["html"]) == len(bounded["text"]) == 1000
    assert ask("fetch", url=f"{pages.url}/nothing")["status"] == 404


def test_a_screenshot_is_a_picture_in_the_context_store(ask: Ask, rt: Runtime, pages: Site) -> None:
    said = ask("screenshot", url=f"{pages.url}/shop", width=640, height=400)
    picture = rt.contexts.read(said["ref"])
    assert said["type"] == "image/png" and said["bytes"] == len(picture) and said["title"] == "A shop"
    assert picture[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", picture[16:24]) == (640, 400)
    tall = ask("screenshot", url=f"{pages.url}/tall", full_page=True, width=100, height=100, type="jpeg")
    assert tall["truncated"] and rt.contexts.read(tall["ref"])[:2] == b"\xff\xd8"
    assert ask("screenshot", html="<h1>Hello</h1>")["bytes"] > 1000


def test_pdf_and_extract(ask: Ask, rt: Runtime, pages: Site) -> None:
    paper = ask("pdf", url=f"{pages.url}/shop", landscape=True)
    assert rt.contexts.read(paper["ref"])[:5] == b"%PDF-" and paper["type"] == "application/pdf"
    wanted = {
        "head": "h1",
        "items": {"css": ".item", "all": True},
        "n": {"css": ".item", "attr": "data-n"},
        "no": ".no",
    }
    found = ask("extract", url=f"{pages.url}/shop", selectors=wanted)["data"]
    assert found == {"head": "Shop", "items": ["tea", "rice"], "n": "1", "no": None}
    with pytest.raises(TaskFailed, match="is not a CSS selector"):
        ask("extract", url=f"{pages.url}/shop", selectors={"x": "li[["})


def test_a_script_goes_step_by_step(ask: Ask, pages: Site) -> None:
    steps: list[dict[str, Any]] = [
        {"goto": f"{pages.url}/shop"},
        {"fill": {"selector": "#q", "text": "rice"}},
        {"click": "#go"},
        {"wait_for": "#found"},
        {"extract": {"found": "#found"}},
        {"screenshot": {"name": "end"}},
    ]
    said = ask("script", steps=steps)
    assert said["data"] == {"found": "rice"} and said["title"] == "Found" and said["steps"] == 6
    assert said["screenshots"][0]["name"] == "end" and said["screenshots"][0]["ref"].startswith("ctx:")


def test_all_mistakes_are_said_at_once(ask: Ask) -> None:
    with pytest.raises(TaskFailed) as e:
        ask(
            "script",
            steps=[{"click": ""}, {"evaluate": "1"}, {"fill": {"selector": "#a"}}, {"goto": "file:///etc/passwd"}],
        )
    for part in (
        "steps[0].click: is empty",
        "steps[1]: 'evaluate' is no step",
        "steps[2].fill: is not an object with selector and text",
        "steps[3].goto: 'file:///etc/passwd' is not http or https",
        "a script begins with goto",
    ):
        assert part in str(e.value)
    with pytest.raises(TaskFailed) as e:
        ask("screenshot", ulr="x", width=5, type="gif")
    for part in ("url: is missing", "width: '5' is not", "type: 'gif' is none of", "ulr: is not known"):
        assert part in str(e.value)


# -- where it does not go


def test_pages_end_where_they_should_not_go(ask: Ask, pages: Site) -> None:
    for url in ("http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/", "http://[::1]/", "http://2130706433/"):
        with pytest.raises(TaskFailed, match=r"is an address of the inside|is not a name"):
            ask("fetch", url=url)
    pages.elsewhere = "http://169.254.169.254/latest"
    with pytest.raises(TaskFailed, match=r"it was led elsewhere: 169.254.169.254 is an address of the inside"):
        ask("fetch", url=f"{pages.url}/led")
    said = ask("fetch", url=f"{pages.url}/loads")  # the page is fine, what it loads is not
    assert said["title"] == "Loads" and "169.254.169.254 is an address of the inside" in said["refused"][0]
    pages.elsewhere = f"http://127.200.0.1:{pages.port}"  # loopback goes through the proxy like everything else
    assert "127.200.0.1 is an address of the inside" in ask("fetch", url=f"{pages.url}/loads")["refused"][0]
    for url in ("file:///etc/passwd", "chrome://version", "data:text/html,x", "javascript:1"):
        with pytest.raises(TaskFailed, match="is not http or https"):
            ask("fetch", url=url)
    with pytest.raises(TaskFailed, match="user or a password"):
        ask("fetch", url="http://a:b@example.com/")


def test_html_of_a_task_reaches_nothing_inside_and_no_files(ask: Ask, pages: Site) -> None:
    pages.asked.clear()
    html = f'<iframe src="file:///etc/passwd"></iframe><img src="http://10.0.0.1:{pages.port}/x"><p>done'
    said = ask("extract", html=html, selectors={"p": "p"})
    assert said["data"] == {"p": "done"} and "10.0.0.1 is an address of the inside" in said["refused"][0]


def test_downloads_are_refused_and_so_is_what_is_huge(ask: Ask, browser: WorkerProgram, pages: Site) -> None:
    with pytest.raises(TaskFailed, match="is a download, and those are refused"):
        ask("fetch", url=f"{pages.url}/download")
    with pytest.raises(TaskFailed, match="more than 1,000,000 bytes"):
        ask("fetch", url=f"{pages.url}/huge")
    assert not list(browser.home.rglob("*.bin"))


@pytest.mark.parametrize("path", ["hang", "loop"])
def test_a_page_that_hangs_takes_its_time_and_no_more(ask: Ask, pages: Site, path: str) -> None:
    with pytest.raises(TaskFailed, match="it took longer than 1 s"):
        ask("fetch", url=f"{pages.url}/{path}", timeout=1)
    assert ask("fetch", url=f"{pages.url}/shop")["status"] == 200


# -- how it lives


def test_its_sandbox_is_on_and_its_environment_is_empty(browser: WorkerProgram, rt: Runtime, pages: Site) -> None:
    pages.asked.clear()
    id = rt.tasks.submit("fetch", {"url": f"{pages.url}/hang"}, needs=["fetch"]).id
    until(lambda: "/hang" in pages.asked, within=PATIENT)
    mine = chromium_of(browser.pid)
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in mine]
    assert mine and not any(b"--no-sandbox" in line for line in lines)
    renderers = [pid for pid, line in zip(mine, lines) if b"--type=renderer" in line]
    for pid in renderers:
        assert "\nSeccomp:\t2\n" in Path(f"/proc/{pid}/status").read_text()
    assert renderers and not any(b"SWARMOPS_" in Path(f"/proc/{pid}/environ").read_bytes() for pid in mine)
    rt.tasks.cancel(id)


def test_a_crash_costs_a_try_and_too_much_memory_ends_it(
    worker: Callable[..., WorkerProgram], rt: Runtime, pages: Site
) -> None:
    chromium()
    options = LOOPBACK | {"check_every": 0.5, "tasks_per_browser": 3, "memory": 600 << 20}
    one = worker("browser", options, user=USER, queue="other", name="browser-2")
    ask = asking(rt, "other")
    pages.asked.clear()
    id = rt.tasks.submit("fetch", {"url": f"{pages.url}/hang"}, queue="other", retries=3, backoff=0.1).id
    until(lambda: "/hang" in pages.asked, within=PATIENT)
    first = chromium_of(one.pid)
    os.kill(first[0], signal.SIGKILL)
    until(lambda: pages.asked.count("/hang") > 1, within=PATIENT)
    pages.hang.set()
    assert rt.tasks.result(id, 60, queue="other")["title"] == "At last"
    assert rt.tasks.get(id, queue="other").attempt == 2 and not set(first) & set(chromium_of(one.pid))
    with pytest.raises(TaskFailed, match="used more than 600 MiB"):
        ask("fetch", url=f"{pages.url}/spider", timeout=60)
    assert "it is ended" in one.said
    for _ in range(4):  # and it is replaced after so many tasks
        assert ask("fetch", url=f"{pages.url}/shop", retries=2)["status"] == 200
    until(lambda: "swarmops_browser_launches_total 4" in one.ask("/metrics").text, within=PATIENT)
    until(lambda: one.ask("/health").json()["status"] == "ok", within=PATIENT)
    assert one.end() == 0 and not [p for p in first if Path(f"/proc/{p}").exists()]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try it as root")
def test_as_root_there_is_no_browser_and_health_says_so(worker: Callable[..., WorkerProgram]) -> None:
    one = worker("browser", {})
    said = one.ask("/health").json()
    assert said["status"] == "degraded" and said["kinds"] == [] and "as root" in said["lacking"]["chromium"]
    assert "run the worker as another user" in said["why"][0]


def test_mistakes_in_options_are_said_at_once(worker: Callable[..., WorkerProgram]) -> None:
    bad = {"allow": ["http://x"], "allow_private": ["10.0.0.0/99"], "memroy": 1, "pages": 0}
    one = worker("browser", bad, healthy=False)
    assert one.process and one.process.wait(30) == 2
    for part in ("options.allow[0]: ", "options.allow_private[0]: ", "options.memroy: is not known", "options.pages: "):
        assert any(part in line for line in one.said.splitlines()), one.said
