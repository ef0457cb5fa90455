"""Running one command: bounded in time and in memory, whatever it says and whatever it leaves behind."""

import os
import subprocess
import time
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UMASK = 0o022  # what commands expect; our own files are closed by mode
LINGER = 0.2  # seconds for which the output is still read after the command itself has ended


class TooLong(Exception):
    """It was stopped at its time limit. `.stdout` is what it had said."""

    def __init__(self, stdout):
        self.stdout = stdout
        Exception.__init__(self, "took too long")


def run(argv, data, timeout, most, env, cwd, extra):
    """(exit code, stdout, stderr) of a command, the last `most` bytes of each.

    A daemon that the command leaves behind may keep the pipes open; it is not waited for. Raises TooLong after
    `timeout` seconds, when the command and what it started are killed; OSError when it cannot be started.
    """
    child = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ, **dict({"LC_ALL": "C.UTF-8", "PATH": PATH}, **env)),
        cwd=cwd,
        umask=UMASK,
        start_new_session=True,
        **extra,
    )
    said = {child.stdout: bytearray(), child.stderr: bytearray()}
    try:
        _talk(child, data, said, time.monotonic() + timeout, most)
        code = child.wait()
    except subprocess.TimeoutExpired:
        _kill(child)
        raise TooLong(bytes(said[child.stdout][-most:]))
    finally:
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe:
                _close(pipe)
    return code, bytes(said[child.stdout][-most:]), bytes(said[child.stderr][-most:])


def _talk(child, data, said, end, most):
    """Feed it and listen until both its outputs are closed, or it has ended and all is quiet."""
    left = memoryview(data or b"")
    with DefaultSelector() as ready:
        for pipe in said:
            ready.register(pipe, EVENT_READ)
        if child.stdin:
            os.set_blocking(child.stdin.fileno(), False)
            ready.register(child.stdin, EVENT_WRITE)
        ended = False
        while any(pipe in said for pipe in (key.fileobj for key in ready.get_map().values())):
            found = ready.select(LINGER if ended else max(0.0, min(1.0, end - time.monotonic())))
            for key, _ in found:
                if key.fileobj is child.stdin:
                    left = _feed(child.stdin, left, ready)
                else:
                    _hear(key.fileobj, said[key.fileobj], ready, most)
            if not found and ended:
                return
            ended = ended or child.poll() is not None
            if time.monotonic() > end:
                if ended:
                    return
                raise subprocess.TimeoutExpired(child.args, 0)
    child.wait(max(0.01, end - time.monotonic()))


def _feed(stdin, left, ready):
    try:
        left = left[os.write(stdin.fileno(), left[:65536]) :]
    except BlockingIOError:
        return left
    except OSError:  # it does not want to hear more
        left = left[len(left) :]
    if not left:
        ready.unregister(stdin)
        _close(stdin)
    return left


def _hear(pipe, said, ready, most):
    data = os.read(pipe.fileno(), 65536)
    if not data:
        ready.unregister(pipe)
    said += data
    if len(said) > 2 * most:
        del said[:-most]


def _kill(child):
    import signal

    try:
        os.killpg(child.pid, signal.SIGKILL)
    except OSError:
        child.kill()
    child.wait()


def _close(pipe):
    try:
        pipe.close()
    except OSError:
        pass
