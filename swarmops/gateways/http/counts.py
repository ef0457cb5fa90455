"""Requests counted, for /metrics: by method, route (its template, so that series stay few) and kind of answer."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from swarmops.runtime.observe.prometheus import Page

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
OTHER = "other"


class Counts:
    """What was asked and how long it took. Nothing is kept of who asked."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, str, str]] = Counter()
        self.seconds: dict[str, list[float]] = {}
        self.under_way = self.sockets = 0

    def counting(self, app: Any) -> Any:
        """`app` with every request counted."""

        async def counted(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] == "websocket":
                self.sockets += 1
                try:
                    await app(scope, receive, send)
                finally:
                    self.sockets -= 1
                return
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status = 0

            async def sending(message: Any) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    self._count(scope, status, time.perf_counter() - began)
                await send(message)

            began = time.perf_counter()
            self.under_way += 1
            try:
                await app(scope, receive, sending)
            finally:
                self.under_way -= 1

        return counted

    def _count(self, scope: dict[str, Any], status: int, took: float) -> None:
        route = getattr(scope.get("route"), "path", OTHER)
        method = scope["method"] if scope["method"] in METHODS else OTHER
        self.answers[method, route, f"{status // 100}xx"] += 1
        buckets = self.seconds.setdefault(route, [0.0] * (len(BOUNDS) + 2))  # ..., count, sum
        for i, bound in enumerate(BOUNDS):
            if took <= bound:
                buckets[i] += 1
        buckets[-2] += 1
        buckets[-1] += took

    def text(self) -> str:
        """All of it, as Prometheus reads it."""
        page = Page("swarmops")
        page.gauge("http_requests_under_way", self.under_way)
        page.gauge("http_websockets", self.sockets)
        for (method, route, kind), many in sorted(self.answers.items()):
            page.counter("http_requests", many, method=method, route=route, status=kind)
        return page.text() + self._histogram("swarmops_http_answer_seconds")

    def _histogram(self, name: str) -> str:
        lines = [f"# TYPE {name} histogram"] if self.seconds else []
        for route, (*buckets, many, total) in sorted(self.seconds.items()):
            for bound, n in zip((*map(str, BOUNDS), "+Inf"), (*buckets, many)):
                lines.append(f'{name}_bucket{{route="{route}",le="{bound}"}} {n:.15g}')
            lines.append(f'{name}_sum{{route="{route}"}} {total:.9g}')
            lines.append(f'{name}_count{{route="{route}"}} {many:.15g}')
        return "".join(line + "\n" for line in lines)
