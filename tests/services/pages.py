"""A small web of a test's own, on loopback: pages that are good, huge, hanging, and that lead elsewhere."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SHOP = b"""<!doctype html><title>A shop</title><h1>Shop</h1><ul><li class=item data-n=1>tea</li>
<li class=item data-n=2>rice</li></ul><form action=/found><input id=q name=q><button id=go>go</button></form>
<script>document.body.dataset.ran = "yes"; String.prototype.slice = () => "spoilt"</script>"""


class Site:
    """`url` + path. elsewhere: where /led goes to, and what /loads loads. asked: the paths it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.elsewhere = ""
        self.hang = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.asked.append(self.path)
                site.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        path = to.path.partition("?")[0]
        if path == "/shop":
            self.say(to, SHOP)
        elif path == "/found":
            self.say(to, f"<title>Found</title><p id=found>{to.path.partition('q=')[2]}</p>".encode())
        elif path == "/led":
            self.say(to, b"", 302, location=self.elsewhere)
        elif path == "/loads":
            self.say(to, f'<title>Loads</title><img src="{self.elsewhere}/picture">'.encode())
        elif path == "/download":
            self.say(to, b"x" * 1000, kind="application/octet-stream", content_disposition="attachment; filename=a.bin")
        elif path == "/huge":
            self.say(to, b"<p>" + b"x" * 3_000_000)
        elif path == "/long":
            self.say(to, b"<title>Long</title><p>" + b"word " * 20_000)
        elif path == "/tall":
            self.say(to, b"<body style='margin:0'><div style='height:40000px;background:linear-gradient(red,blue)'>")
        elif path == "/loop":
            self.say(to, b"<script>for (;;) {}</script>")
        elif path == "/hang":
            self.hang.wait(30)
            self.say(to, b"<title>At last</title>")
        elif path == "/spider":
            self.say(to, b"<script>const a = []; for (;;) a.push(new Array(1e6).fill(Math.random()))</script>")
        else:
            self.say(to, b"there is nothing", 404)

    def say(
        self, to: BaseHTTPRequestHandler, body: bytes, status: int = 200, kind: str = "text/html", **more: str
    ) -> None:
        with contextlib.suppress(ConnectionError):
            to.send_response(status)
            to.send_header("Content-Type", kind)
            to.send_header("Content-Length", str(len(body)))
            for name, value in more.items():
                to.send_header(name.replace("_", "-"), value)
            to.end_headers()
            to.wfile.write(body)


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """It serves meanwhile."""
    one = Site()
    thread = threading.Thread(target=one.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield one
    finally:
        one.hang.set()
        one.server.shutdown()
        one.server.server_close()
        thread.join(10)
