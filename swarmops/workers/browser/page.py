"""What is done with one page. What it says is read in a world of ours, where the page's own scripts change nothing."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from swarmops.runtime.worker import Fatal
from swarmops.workers.browser.asked import Asked, Selector, Shot, Step
from swarmops.workers.browser.policy import NotAllowed, place
from swarmops.workers.browser.proxy import TaskProxy

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, CDPSession, Page, Response

TALLEST = 16_384  # pixels of a full page: what Chromium can paint
Keep = Callable[[bytes, str, str], Awaitable[dict[str, Any]]]  # (data, media type, name) -> how a result tells of it
Tell = Callable[[float, str], Awaitable[None]]

READ = """((most) => {
  const cut = (s) => (s || "").slice(0, most);
  const root = document.documentElement, html = root ? root.outerHTML : "";
  const said = document.body ? document.body.innerText : "";
  return {title: (document.title || "").slice(0, 1000), html: cut(html), text: cut(said),
          truncated: html.length > most || said.length > most};
})(%d)"""
EXTRACT = """((wanted, most) => {
  const say = (e, attr) => ((attr ? e.getAttribute(attr) : e.innerText ?? e.textContent) ?? "").slice(0, most);
  const found = {};
  for (const [name, one] of Object.entries(wanted)) {
    let all;
    try { all = [...document.querySelectorAll(one.css)]; } catch (e) { return {fault: name}; }
    found[name] = one.all ? all.slice(0, 1000).map((e) => say(e, one.attr)) : all.length ? say(all[0], one.attr) : null;
  }
  return {found};
})(%s, %d)"""


class Refused(Fatal):
    """The page may not go there, or is not one."""


class Work:
    """One task's page."""

    def __init__(self, asked: Asked, context: BrowserContext, proxy: TaskProxy, keep: Keep, tell: Tell):
        self.asked, self.context, self.proxy, self.keep, self.tell = asked, context, proxy, keep, tell
        self.page: Page = None  # type: ignore[assignment]
        self.response: Response | None = None
        self._cdp: CDPSession | None = None

    async def __call__(self) -> dict[str, Any]:
        """The result. Raises Refused, playwright's Error."""
        self.page = await self.context.new_page()
        result: dict[str, Any] = await getattr(self, self.asked.kind)()
        result |= self._about()
        if self.proxy.refused:
            result["refused"] = list(self.proxy.refused.values())[:20]
        return result

    def _about(self) -> dict[str, Any]:
        if self.response is None:
            return {"url": self.page.url[:2000]}
        kind = self.response.headers.get("content-type", "")
        return {"url": self.page.url[:2000], "status": self.response.status, "content_type": kind[:200]}

    # -- kinds of tasks

    async def fetch(self) -> dict[str, Any]:
        await self._open()
        return _bounded(await self._evaluate(READ % self.asked.text), self.asked.text)

    async def screenshot(self) -> dict[str, Any]:
        await self._open()
        return await self._shot(self.asked.shot) | await self._title()

    async def pdf(self) -> dict[str, Any]:
        await self._open()
        data = await self.page.pdf(**self.asked.paper)
        return await self.keep(data, "application/pdf", "page.pdf") | await self._title()

    async def extract(self) -> dict[str, Any]:
        await self._open()
        return {"data": await self._extract(self.asked.selectors)} | await self._title()

    async def script(self) -> dict[str, Any]:
        """Step by step; a step that fails is named."""
        data: dict[str, Any] = {}
        shots: list[dict[str, Any]] = []
        for i, step in enumerate(self.asked.steps):
            try:
                await self._step(step, data, shots)
            except Refused as e:
                raise Refused(f"step {i} ({step.do}): {e}") from None
            await self.tell((i + 1) / len(self.asked.steps), f"{step.do} done ({i + 1} of {len(self.asked.steps)})")
        return {"steps": len(self.asked.steps), "data": data, "screenshots": shots} | await self._title()

    async def _step(self, step: Step, data: dict[str, Any], shots: list[dict[str, Any]]) -> None:
        page, value = self.page, step.value
        match step.do:
            case "goto":
                await self._goto(value)
            case "click":
                await page.click(f"css={value}")
            case "check":
                await page.check(f"css={value}")
            case "fill":
                await page.fill(f"css={value[0]}", value[1])
            case "press":
                await page.press(f"css={value[0]}", value[1])
            case "select":
                await page.select_option(f"css={value[0]}", value[1])
            case "wait_for":
                await page.wait_for_selector(f"css={value[0]}", state=value[1])
            case "wait":
                await page.wait_for_timeout(value)
            case "extract":
                data |= await self._extract(value)
            case "screenshot":
                shots.append(({"name": value.name} if value.name else {}) | await self._shot(value))
        self._look()

    # -- what they are made of

    async def _open(self) -> None:
        if self.asked.html:
            await self.page.set_content(self.asked.html, wait_until=self.asked.wait)  # type: ignore[arg-type]
        else:
            await self._goto(self.asked.url)
        if self.asked.wait_for:
            await self.page.wait_for_selector(f"css={self.asked.wait_for}", state="attached")

    async def _goto(self, url: str) -> None:
        try:
            await self.proxy.resolved.addresses(*place(url))
        except NotAllowed as e:
            raise Refused(str(e)) from None
        try:
            self.response = await self.page.goto(url, wait_until=self.asked.wait)  # type: ignore[arg-type]
        except Exception as e:
            if "Download is starting" in str(e):
                raise Refused(f"{url[:200]} is a download, and those are refused") from None
            if self.proxy.refused and "ERR_TUNNEL_CONNECTION_FAILED" in str(e):
                raise Refused(list(self.proxy.refused.values())[-1]) from None
            raise
        self._look()

    def _look(self) -> None:
        """Raises Refused when the page itself (and not only something in it) was led to where it may not be."""
        at = self.page.url
        if at.startswith("http") and (why := self.proxy.refused.get(place(at))):
            raise Refused(f"it was led elsewhere: {why}")

    async def _evaluate(self, expression: str) -> Any:
        """In a world of our own in the page's main frame. Raises playwright's Error."""
        if self._cdp is None:
            self._cdp = await self.context.new_cdp_session(self.page)
        frame = (await self._cdp.send("Page.getFrameTree"))["frameTree"]["frame"]["id"]
        world = await self._cdp.send("Page.createIsolatedWorld", {"frameId": frame, "worldName": "swarmops"})
        how = {"expression": expression, "contextId": world["executionContextId"], "returnByValue": True}
        said = await self._cdp.send("Runtime.evaluate", how)
        return said["result"].get("value")

    async def _title(self) -> dict[str, Any]:
        return {"title": await self._evaluate('(document.title || "").slice(0, 1000)')}

    async def _extract(self, selectors: Mapping[str, Selector]) -> dict[str, Any]:
        wanted = {name: {"css": one.css, "attr": one.attr, "all": one.all} for name, one in selectors.items()}
        most = max(100, self.asked.text // max(1, len(selectors)))
        said = await self._evaluate(EXTRACT % (json.dumps(wanted), most))
        if "fault" in said:
            raise Refused(f"{selectors[said['fault']].css!r} is not a CSS selector")
        found: dict[str, Any] = said["found"]
        if len(json.dumps(found)) > 3 * self.asked.text:
            raise Refused(f"what was extracted is more than {3 * self.asked.text:,} bytes")
        return found

    async def _shot(self, shot: Shot) -> dict[str, Any]:
        how: dict[str, Any] = {"type": shot.kind, "full_page": shot.full_page, "animations": "disabled"}
        cut = False
        if shot.full_page:
            width, height = await self._evaluate(
                "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
            )
            cut = height > TALLEST or width > TALLEST
            if cut:
                how |= {"clip": {"x": 0, "y": 0, "width": min(width, TALLEST), "height": min(height, TALLEST)}}
        data = await self.page.screenshot(**how)
        return await self.keep(data, f"image/{shot.kind}", f"page.{shot.kind}") | ({"truncated": True} if cut else {})


def _bounded(said: dict[str, Any], most: int) -> dict[str, Any]:
    """Characters may be several bytes: html and text have at most `most` bytes each."""
    for key in ("html", "text"):
        raw = said[key].encode("utf-8", "replace")
        if len(raw) > most:
            said["truncated"] = True
        said[key] = raw[:most].decode("utf-8", "ignore")
    return said
