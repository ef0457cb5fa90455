"""The host's end of the wire: frames in from the controller, events out to it. See `wire` for the contract."""

import json
import os
import sys
import threading
import time
import zlib

from swarmops.target.wire import SILENCE

PIECE = 1 << 16  # bytes read at once
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
        self.pieces = None  # what takes pieces of large contents, see `incoming`
        threading.Thread(target=self._listen, daemon=True).start()

    @classmethod
    def stdio(cls, stdin):
        return cls(stdin.read, lambda data: _write_all(1, data))

    def _listen(self):
        try:
            while self._take(self._frame()):
                pass
        except (OSError, ValueError):  # no frame of ours
            pass
        finally:  # whatever ended it, nothing more will be heard
            with self._news:
                self._lost = True
                self._news.notify_all()

    def _frame(self):
        """The next frame's payload, b"" at the end. Every piece of a large one is a sign of life."""
        head = self._read(8)
        left = int(head, 16) if len(head) == 8 else 0
        pieces = []
        while left:
            piece = self._read(min(left, PIECE))
            if not piece:
                return b""
            pieces.append(piece)
            left -= len(piece)
            self.heard = time.monotonic()
        return b"".join(pieces)

    def _take(self, payload):
        tag = payload[:1]
        if tag == b"p" and self.pieces:
            self.pieces(payload[1:65].decode(), payload[65:])
        with self._news:
            if tag == b"c":
                self._contents[payload[1:65].decode()] = payload[65:]  # unpacked by who needs it
            elif tag == b"w":
                self._words.append(payload[1:].decode())
            self._news.notify_all()
        if tag == b"h" and self._lock.acquire(False):
            # Where another thread is just sending, that is sign of life enough; waiting for it would leave us deaf.
            try:
                self._out.append(b'{"e":"beat"}\n')
                self._flush()
            finally:
                self._lock.release()
        if tag and self.on_beat:
            self.on_beat()
        return tag

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
        """Bytes of a content that was asked for; None when the controller went away before they came.

        They are handed over once: who needs them again asks again.
        """
        with self._news:
            while sha not in self._contents:
                if self.gone:
                    return None
                self._news.wait(1)
            packed = self._contents.pop(sha)
        return zlib.decompress(packed)

    def emit(self, event, now=True):
        """Queue one event. With `now` false it may wait a moment, so that many share a packet."""
        with self._lock:
            self._out.append(json.dumps(event, separators=(",", ":"), default=str).encode("ascii") + b"\n")
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
    """Write all of `data`. Raises OSError when nobody takes it for longer than a controller may be silent."""
    import select

    view, ready = memoryview(data), select.poll()
    ready.register(fd, select.POLLOUT)
    while view:
        if not ready.poll(SILENCE * 1000):
            raise OSError("nobody reads what we say")
        view = view[os.write(fd, view[: select.PIPE_BUF]) :]  # what a ready pipe takes without blocking


def warn(text):
    """A last word on standard error, for the cases in which no event can be sent."""
    sys.stderr.write(text + "\n")
