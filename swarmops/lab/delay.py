"""A slow cable: two TAP devices and a process between that holds every frame for a while.

It is there because `tc netem` is a kernel module that many machines lack.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import heapq
import os
import select
import struct
import sys
import time

from swarmops.lab.machine import run
from swarmops.lab.network import BRIDGE

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
AT_ONCE = 256  # frames read from one side before the other gets its turn


class Lines:
    """The slow cables of a lab, one a port at most."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def set(self, port: str, ms: float) -> str:
        """Delays what passes `port` by `ms` each way (0: no more). Returns the bridge it belongs to now."""
        tail = port.removeprefix("vb-")
        side = f"bd-{tail}"
        if old := self._running.pop(port, None):
            _attach(port, BRIDGE)
            old.terminate()
            await old.wait()
            run(["ip", "link", "delete", side])
        if not ms:
            return BRIDGE
        taps = (f"ta-{tail}", f"tb-{tail}")
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "swarmops.lab.delay", *taps, str(ms)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout
        await process.stdout.readline()  # it has made its TAP devices
        self._running[port] = process
        batch = f"link add {side} type bridge\nlink set {side} up\n"
        batch += f"link set {taps[0]} master {BRIDGE} up\nlink set {taps[1]} master {side} up\n"
        run(["ip", "-batch", "-"], text=batch)
        _attach(port, side)
        return side

    def stop(self) -> None:
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def _attach(port: str, bridge: str) -> None:
    """Moves a host's cable. That of a host that is off is not there: it joins the bridge at the next boot."""
    if port in run(["ip", "-o", "link", "show"]):
        run(["ip", "link", "set", port, "master", bridge])


def _tap(name: str) -> int:
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(handle, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    return handle


def carry(one: int, two: int, delay: float) -> None:
    """Gives each frame from either handle to the other `delay` seconds later, in order. Never returns."""
    other = {one: two, two: one}
    held: list[tuple[float, int, int, bytes]] = []
    count = 0
    poll = select.poll()
    for handle in other:
        poll.register(handle, select.POLLIN)
    while True:
        # poll() counts in milliseconds; rounding up by at most one is within what a delay line may do.
        wait = None if not held else max(0.0, (held[0][0] - time.monotonic()) * 1000)
        for handle, _ in poll.poll(wait):
            for _ in range(AT_ONCE):
                try:
                    frame = os.read(handle, 65536)
                except OSError:
                    break
                count += 1
                heapq.heappush(held, (time.monotonic() + delay, count, other[handle], frame))
        now = time.monotonic()
        while held and held[0][0] <= now:
            _, _, handle, frame = heapq.heappop(held)
            with contextlib.suppress(OSError):  # a full queue, a TAP that is down: lost, as on a cable
                os.write(handle, frame)


if __name__ == "__main__":
    taps = (_tap(sys.argv[1]), _tap(sys.argv[2]))
    print("ready", flush=True)
    carry(*taps, float(sys.argv[3]) / 1000)
