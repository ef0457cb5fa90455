"""How the dashboard looks: every view wide and narrow, light and dark, with contrast; and the keyboard alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import expect

from swarmops.runtime import Runtime
from swarmops.runtime.tasks.workflows import Step
from tests.services.dashboard import DESK, PHONE, Site, Visit
from tests.services.dashboard_eyes import CONTRAST, FOCUSED
from tests.services.test_dashboard import browser, runtime, site, until, visit  # noqa: F401 - fixtures

VIEWS = ("overview", "network", "agents", "tasks", "dead", "workflows", "swarms", "backups", "events", "links")


@pytest.fixture(scope="module")
def story(site: Site) -> Iterator[Site]:  # noqa: F811
    """A swarm at work: something of everything that the page shows."""
    with Runtime(site.server.settings) as rt:
        rt.agents.register("npu-1", ["embed", "infer"], {"role": "npu"}, facts={"cpu_cores": 22, "memory_gb": 31.2})
        rt.agents.register("ai-1", ["chat", "chunk", "embed", "index", "search"], status="busy", load=3)
        for i in range(12):
            rt.tasks.submit("echo", {"text": f"hello {i}"})
        dead = [
            rt.tasks.submit("fail", {"why": w}, retries=0).id for w in ("no such file: /srv/a.pdf", "502 Bad Gateway")
        ]
        rt.tasks.submit("embed", {"texts": ["a"]}, needs=["gpu"], priority=8)
        held = rt.tasks.submit("hold").id
        rt.swarms.create("Find the slow queries of the last week", id="slow-queries")
        rt.swarms.status("slow-queries", "active", "all agents are here")
        text = {"text": "x"}
        steps = [
            Step("fetch", "echo", text),
            Step("parse", "echo", text, after=["fetch"]),
            Step("thumbs", "fail", {"why": "no space left"}, after=["fetch"], retries=0),
            Step("embed", "hold", after=["parse"]),
            Step("index", "echo", text, after=["embed", "parse"]),
            Step("gallery", "echo", text, after=["thumbs"]),
        ]
        rt.workflows.submit("nightly-index", steps, id="nightly")
        hour = 3_600_000
        now = round(time.time() * 1000)
        sets = [
            {
                "host": "redis-1",
                "backup": "redis/redis dump",
                "at_ms": now - 3 * hour,
                "bytes": 48_200_000,
                "verified": True,
            },
            {"host": "npu-1", "backup": "base/files", "at_ms": now - 75 * hour, "bytes": 170_000, "verified": False},
        ]
        admin = {"Authorization": f"Bearer {site.tokens['admin']}"}
        assert httpx.post(f"{site.api_url}/api/backups", json={"sets": sets}, headers=admin).status_code == 200
        until(lambda: all(rt.tasks.get(task).status == "dead" for task in dead))
        until(lambda: rt.workflows.show("nightly").step("embed").status == "running")
        yield site
        rt.workflows.cancel("nightly")
        rt.tasks.cancel(held)


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", ["desk", "phone"])
def test_every_view(visit: Callable[..., Visit], story: Site, size: str, colours: str) -> None:  # noqa: F811
    viewport = DESK if size == "desk" else PHONE
    one = visit(viewport=viewport, color_scheme=colours, has_touch=size == "phone")
    one.page.goto(story.url)
    one.page.get_by_label("Token").wait_for()
    one.picture(f"{size}-{colours}-login")
    page = one.login("admin")
    faults: list[str] = []
    for view in VIEWS:
        one.go(view)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], f"{view} scrolls sideways"
        faults += [f"{view}: {fault}" for fault in page.evaluate(CONTRAST)]
        one.picture(f"{size}-{colours}-{view}")
    one.go("dead").locator(".table button.name").first.click()
    page.get_by_role("dialog").get_by_label("Error").wait_for()
    faults += [f"task: {fault}" for fault in page.evaluate(CONTRAST)]
    one.picture(f"{size}-{colours}-task", whole=False)
    assert not faults, faults


def test_the_words_say_what_is_wrong(visit: Callable[..., Visit], story: Site) -> None:  # noqa: F811
    one = visit()
    page = one.login()
    expect(page.get_by_role("heading", level=1)).to_have_text("npu-1 needs a look")
    row = page.get_by_role("row").filter(has_text="npu-1")
    expect(row).to_contain_text("nobody listens there")
    expect(page.get_by_role("link", name="Leader")).to_contain_text("coordinator-1")
    one.go("workflows/nightly")
    expect(page.get_by_role("button", name="thumbs, fail, dead, after fetch")).to_be_visible()
    expect(page.get_by_role("button", name="gallery, echo, stopped, after thumbs")).to_be_visible()
    one.go("backups")
    expect(page.get_by_role("row").filter(has_text="npu-1")).to_contain_text("failed")
    one.go("links")
    expect(page.get_by_role("link", name=f"{story.api_url}/docs")).to_be_visible()


def test_the_colours_can_be_chosen(visit: Callable[..., Visit], story: Site) -> None:  # noqa: F811
    one = visit(color_scheme="dark")
    page = one.login()
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("radio", name="Light").check(force=True)
    light = page.evaluate(ground)
    assert dark != light
    page.reload()
    one.until("live")
    assert page.evaluate(ground) == light
    page.get_by_role("radio", name="Auto").check(force=True)
    assert page.evaluate(ground) == dark


def test_the_keyboard_is_enough(visit: Callable[..., Visit], story: Site) -> None:  # noqa: F811
    one = visit()
    page = one.page
    page.goto(story.url)
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.type(story.tokens["admin"])
    page.keyboard.press("Enter")
    one.until("live")

    def tab_to(name: str, most: int = 60) -> None:
        passed = []
        for _ in range(most):
            page.keyboard.press("Tab")
            passed.append(page.evaluate(FOCUSED))
            assert not passed[-1].startswith("unseen"), passed[-1]
            if passed[-1].startswith(name):
                return
        raise AssertionError(f"{name} is not reached: {passed}")

    tab_to("Dead letters")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Dead letters")).to_be_focused()
    tab_to("fail")
    page.keyboard.press("Enter")
    panel = page.get_by_role("dialog")
    expect(panel).to_be_visible()
    for _ in range(12):  # the focus stays inside
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    assert page.evaluate(FOCUSED).startswith("fail")
    page.evaluate("document.querySelector('main h1').focus()")
    page.keyboard.press("Shift+Tab")
    page.goto(f"{story.url}/#/workflows/nightly")
    expect(page.get_by_role("button", name="fetch, echo, done")).to_be_visible()
    tab_to("fetch, echo, done")
    page.keyboard.press("Enter")
    expect(panel).to_be_visible()
    page.keyboard.press("Escape")


def test_the_menu_of_a_phone(visit: Callable[..., Visit], story: Site) -> None:  # noqa: F811
    one = visit(viewport=PHONE, has_touch=True)
    page = one.login("admin")
    page.get_by_role("button", name="Menu").tap()
    one.picture("phone-light-menu", whole=False)
    page.get_by_role("dialog", name="Menu").get_by_role("link", name="Tasks", exact=True).tap()
    expect(page.get_by_role("heading", level=1, name="Tasks")).to_be_focused()
    expect(page.get_by_role("dialog")).to_have_count(0)
