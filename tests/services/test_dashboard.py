"""The dashboard in a real Chromium, against a real coordinator, Redis and worker (S4-02, S4-44)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from swarmops.runtime import Runtime
from swarmops.runtime.access import issue
from tests.conftest import lacking
from tests.runtime.server import PROGRAM, Server
from tests.services.dashboard import DESK, PATIENCE, Site, Visit, chromium

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if PROGRAM is None:
        lacking("no redis-server on PATH (apt install redis-server)")
    with Server(tmp_path_factory.mktemp("redis")) as server:
        found = Site(tmp_path_factory.mktemp("site"), server)
        try:
            found.start_worker()
            yield found
        finally:
            found.close()


@pytest.fixture
def runtime(site: Site) -> Iterator[Runtime]:
    with Runtime(site.server.settings) as rt:
        yield rt


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Callable[..., Visit]]:
    """Makes visits: visit(color_scheme="dark"). After the test none may have complained or spoken to strangers."""
    made: list[Visit] = []

    def start(**more: Any) -> Visit:
        made.append(Visit(browser.new_context(**{"viewport": DESK, "reduced_motion": "reduce", **more}), site))
        return made[-1]

    yield start
    complaints = [complaint for one in made for complaint in one.complaints]
    hosts = {host for one in made for host in one.hosts}
    for one in made:
        one.context.close()
    assert not complaints, f"the browser complained: {complaints}"
    assert hosts <= {site.url, site.api_url}, f"the page spoke to {hosts}"


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE / 1000
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def test_a_wrong_token_is_told_and_forgotten(visit: Callable[..., Visit], site: Site) -> None:
    one = visit()
    page = one.page
    page.goto(site.url)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("The token is missing")
    page.get_by_label("Token").fill("admin.wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("does not know this token")
    assert page.evaluate("sessionStorage.length") == 0
    one.expect_complaint("401")


def test_a_session_is_of_one_tab_and_ends_with_logout(visit: Callable[..., Visit], site: Site) -> None:
    one = visit()
    page = one.login()
    page.reload()
    one.until("live")
    assert page.evaluate("document.cookie + JSON.stringify(localStorage)").find(site.tokens["read"]) < 0
    other = one.context.new_page()
    other.goto(site.url)
    expect(other.get_by_label("Token")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_token_that_is_revoked_ends_the_session_with_the_reason(
    visit: Callable[..., Visit], site: Site, runtime: Runtime
) -> None:
    text, digest = issue("passing")
    runtime.access.create("passing", digest, ("read",))
    one = visit()
    site.tokens["passing"] = text
    page = one.login("passing")
    runtime.access.revoke("passing")
    asking = {"Authorization": f"Bearer {text}"}
    until(lambda: httpx.get(f"{site.api_url}/api/status", headers=asking, trust_env=False).status_code == 401)
    page.goto(f"{site.url}/#/agents")  # which it has to ask for
    expect(page.get_by_role("alert")).to_contain_text("does not know this token, or it has expired")
    one.expect_complaint("401")


def test_a_new_task_shows_itself_and_its_result(visit: Callable[..., Visit], runtime: Runtime) -> None:
    one = visit()
    one.login()
    page = one.go("tasks")
    task = runtime.tasks.submit("echo", {"text": "<img src=x onerror=alert(1)>"}, meta={"from": "a test"})
    row = page.get_by_role("row").filter(has_text=task.id)
    expect(row).to_contain_text("done")
    row.get_by_role("button", name="echo").click()
    panel = page.get_by_role("dialog")
    expect(panel.get_by_label("Result")).to_have_text("<img src=x onerror=alert(1)>")  # text, never HTML
    page.keyboard.press("Escape")
    page.get_by_label("Search").fill(task.id)
    page.get_by_label("Status").select_option("dead")
    expect(page.get_by_text("No task is like that")).to_be_visible()
    page.get_by_label("Status").select_option("done")
    expect(row).to_be_visible()
    one.go("events")
    expect(page.get_by_text(task.id).first).to_be_visible()


def test_nothing_can_be_changed_until_it_is_allowed(visit: Callable[..., Visit], runtime: Runtime) -> None:
    task = runtime.tasks.submit("nobody-does-this", needs=["nothing-has-this"])
    one = visit()
    one.login("admin")
    page = one.go("tasks")
    row = page.get_by_role("row").filter(has_text=task.id)
    expect(row).to_be_visible()
    expect(row.get_by_role("button", name="Cancel")).to_have_count(0)
    page.get_by_role("switch", name="Allow changes").check()
    expect(row.get_by_role("button", name="Cancel")).to_be_visible()
    page.reload()
    expect(row).to_be_visible()
    expect(row.get_by_role("button", name="Cancel")).to_have_count(0)
    runtime.tasks.cancel(task.id)


def test_cancelling_asks_first(visit: Callable[..., Visit], runtime: Runtime) -> None:
    task = runtime.tasks.submit("hold")
    one = visit()
    one.login("admin")
    page = one.go("tasks")
    page.get_by_role("switch", name="Allow changes").check()
    row = page.get_by_role("row").filter(has_text=task.id)
    expect(row.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "50")
    cancel = row.get_by_role("button", name="Cancel")
    cancel.click()
    question = page.get_by_role("dialog", name="Cancel this task?")
    expect(question.get_by_role("button", name="Leave it")).to_be_focused()
    one.picture("confirm", whole=False)
    page.keyboard.press("Escape")
    expect(question).to_have_count(0)
    expect(cancel).to_be_focused()
    assert runtime.tasks.get(task.id).status == "running"
    cancel.click()
    question.get_by_role("button", name="Cancel the task").click()
    expect(row).to_contain_text("cancelled")
    expect(page.get_by_text(f"Cancelled {task.id}.")).to_be_visible()
    assert runtime.tasks.get(task.id).status == "cancelled"


def test_dead_letters_are_requeued_after_a_question(visit: Callable[..., Visit], runtime: Runtime) -> None:
    tasks = [runtime.tasks.submit("fail", {"why": f"trouble {i}"}, retries=0).id for i in range(3)]
    until(lambda: all(runtime.tasks.get(task).status == "dead" for task in tasks))
    one = visit()
    one.login("admin")
    page = one.go("dead")
    page.get_by_role("switch", name="Allow changes").check()
    page.get_by_role("checkbox", name=f"Mark {tasks[0]}").check()
    page.get_by_role("checkbox", name=f"Mark {tasks[1]}").check()
    page.get_by_role("button", name="Requeue 2 marked tasks").click()
    page.get_by_role("dialog").get_by_role("button", name="Requeue").click()
    expect(page.get_by_text("Requeued 2 tasks.")).to_be_visible()
    again = [e.id for e in runtime.events.newest("default") if e.what == "task.requeued"]
    assert sorted(" ".join(again).split()) == sorted(tasks[:2])
    until(lambda: all(runtime.tasks.get(task).status == "dead" for task in tasks))


def test_a_token_that_may_only_look_changes_nothing(visit: Callable[..., Visit], runtime: Runtime) -> None:
    task = runtime.tasks.submit("nobody-does-this", needs=["nothing-has-this"])
    one = visit()
    page = one.login("read")
    one.go("tasks")
    expect(page.get_by_text("This token may look, and change nothing.")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text=task.id)).to_be_visible()
    expect(page.get_by_role("switch", name="Allow changes")).to_have_count(0)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    assert runtime.tasks.get(task.id).status == "ready"
    runtime.tasks.cancel(task.id)


def test_a_refusal_stands_in_the_question(visit: Callable[..., Visit], runtime: Runtime) -> None:
    """What the coordinator says is shown where it was asked for; here the task was purged while the question stood."""
    task = runtime.tasks.submit("fail", {"why": "a question"}, retries=0)
    until(lambda: runtime.tasks.get(task.id).status == "dead")
    one = visit()
    one.login("admin")
    page = one.go("dead")
    page.get_by_role("switch", name="Allow changes").check()
    page.get_by_role("row").filter(has_text=task.id).get_by_role("button", name="Requeue").click()
    runtime.tasks.purge("dead")
    question = page.get_by_role("dialog", name="Requeue this task?")
    question.get_by_role("button", name="Requeue").click()
    expect(question.get_by_role("alert")).to_contain_text(task.id)
    one.expect_complaint("404")
    page.keyboard.press("Escape")
    expect(page.get_by_text("No task was given up")).to_be_visible()


def test_without_a_stream_it_asks_again_and_again(visit: Callable[..., Visit], runtime: Runtime) -> None:
    """The stream alone is cut (a proxy that buffers does that); everything else is the real coordinator's answer."""
    one = visit()
    stream = re.compile(r"/api/events$")
    one.page.route(stream, lambda route: route.abort())
    page = one.login(until="polling")
    one.go("tasks")
    task = runtime.tasks.submit("echo", {"text": "told by asking"})
    expect(page.get_by_role("row").filter(has_text=task.id)).to_contain_text("done")
    expect(page.get_by_role("status").first).to_contain_text("as of")
    page.unroute(stream)
    one.until("live")
    one.expect_complaint("ERR_FAILED")


def test_a_coordinator_that_dies_and_comes_back(visit: Callable[..., Visit], site: Site, runtime: Runtime) -> None:
    one = visit()
    one.login()
    page = one.go("tasks")
    site.api.process.kill()  # type: ignore[union-attr]
    site.api.process.wait()  # type: ignore[union-attr]
    one.until("offline")
    expect(page.get_by_role("status").first).to_contain_text("as of")
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    one.picture("offline", whole=False)
    task = runtime.tasks.submit("echo", {"text": "meanwhile"})
    site.start_api()
    one.until("live")
    expect(page.get_by_role("row").filter(has_text=task.id)).to_contain_text("done")
    expect(page.get_by_role("alert")).to_have_count(0)
    one.complaints = [c for c in one.complaints if "ERR_" not in c]  # Chromium's own words on a server that is away
