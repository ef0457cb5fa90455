"""The host's end of the wire: frames in from the controller, events out to it. See `wire` for the contract."""

import json
import os
import sys
import threading
import time
import zlib

from swarmops.target.wire import SILENCE

FLUSH_AFTER = 0.1  # seconds an unremarkable event may wait for company in one packet


class Link:
    """Reads frames on a thread of its own, so that a vanished controller is noticed during a long step."""

    def __init__(self, read, write):
        self._read, self._write = read, write
        self._out, self._flushed = [], time.monotonic()
        self._lock = threading.Lock()
        self._news = threading.Condition()
        self._contents, self._words = {}, []
        self._lost = False
        self.heard = time.monotonic()
        self.on_beat = None
        threading.Thread(target=self._listen, daemon=True).start()

    @classmethod
    def stdio(cls, stdin):
        return cls(stdin.read, lambda data: _write_all(1, data))

    def _listen(self):
        while True:
            head = self._read(8)
            payload = self._read(int(head, 16)) if len(head) == 8 else b""
            with self._news:
                self.heard = time.monotonic()
                tag = payload[:1]
                if not tag:
                    self._lost = True
                elif tag == b"c":
                    self._contents[payload[1:65].decode()] = zlib.decompress(payload[65:])
                elif tag == b"w":
                    self._words.append(payload[1:].decode())
                self._news.notify_all()
                beat = self.on_beat
            if not tag:
                return
            if tag == b"h":
                self.emit({"e": "beat"})
            if beat:
                beat()

    @property
    def gone(self):
        """True when the controller has hung up, or has been silent for longer than `SILENCE` seconds."""
        return self._lost or time.monotonic() - self.heard > SILENCE

    def word(self, timeout):
        """Wait for the next word ("go", "stop") from the controller; None after `timeout` seconds or a hang-up."""
        end = time.monotonic() + timeout
        with self._news:
            while not self._words:
                left = end - time.monotonic()
                if self._lost or left <= 0:
                    return None
                self._news.wait(left)
            return self._words.pop(0)

    def content(self, sha):
        """Bytes of a content that was asked for; None when the controller went away before they came."""
        with self._news:
            while sha not in self._contents:
                if self.gone:
                    return None
                self._news.wait(1)
            return self._contents[sha]

    def emit(self, event, now=True):
        """Queue one event. With `now` false it may wait a moment, so that many share a packet."""
        with self._lock:
            self._out.append(json.dumps(event, separators=(",", ":")).encode("ascii") + b"\n")
            if now or time.monotonic() - self._flushed > FLUSH_AFTER:
                self._flush()

    def emit_bytes(self, chunk):
        """Send raw bytes behind a line that says how many there are."""
        with self._lock:
            self._out.append(b'{"e":"bytes","n":%d}\n' % len(chunk))
            self._out.append(chunk)
            self._flush()

    def flush(self):
        with self._lock:
            self._flush()

    def _flush(self):
        data, self._out = b"".join(self._out), []
        self._flushed = time.monotonic()
        if data and not self._lost:
            try:
                self._write(data)
            except OSError:
                self._lost = True


def _write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def warn(text):
    """A last word on standard error, for the cases in which no event can be sent."""
    sys.stderr.write(text + "\n")
