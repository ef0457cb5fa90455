"""The background process of a lab: owns its namespaces, mounts and hosts. When it dies, they all die with it.

Started by `Lab.up` with the lab's folder as argument. It says on stdout how the boot goes and reads stdin to
learn whether `up` is still there; later requests come as one JSON line each over a unix socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from swarmops.lab import cleaner, delay, faults, machine, network
from swarmops.lab.files import Files, Lock
from swarmops.lab.guest import Guest
from swarmops.lab.host import Host
from swarmops.lab.machine import LabError

Event = dict[str, Any]


class Supervisor:
    """All hosts of one lab, and what may be asked of them."""

    def __init__(self, files: Files) -> None:
        self.files = files
        spec = files.read_spec()
        self.began = time.time()
        self.release: str = spec["release"]
        guests = [Guest.of(g) for g in spec["guests"]]
        layers = (Path(spec["image"]), Path(spec["apt"]))
        self.hosts = {g.name: Host(files, g, i, guests, layers) for i, g in enumerate(guests)}
        self.lines = delay.Lines()
        self.ended = asyncio.Event()
        self.busy = asyncio.Lock()

    def pick(self, names: Iterable[str] | None) -> list[Host]:
        names = list(names or self.hosts)
        if unknown := [n for n in names if n not in self.hosts]:
            raise LabError(f"no host {', '.join(unknown)} in this lab (it has {', '.join(self.hosts)})")
        return [self.hosts[n] for n in names]

    async def boot(self, hosts: list[Host]) -> AsyncIterator[Event]:
        """Boots hosts together and tells of each as its SSH answers."""
        began = time.monotonic()

        async def one(host: Host) -> Event:
            try:
                await host.boot()
            except LabError as e:
                return {"e": "failed", "host": host.guest.name, "why": str(e)}
            return {"e": "up", "host": host.guest.name, "after": round(time.monotonic() - began, 3)}

        for done in asyncio.as_completed([one(h) for h in hosts]):
            yield await done

    async def up(self) -> AsyncIterator[Event]:
        for host in self.hosts.values():
            host.prepare()
        async for event in self.boot(list(self.hosts.values())):
            yield event

    async def reset(self, hosts: list[Host]) -> AsyncIterator[Event]:
        """Fresh disks, no faults; keys and addresses stay. A whole lab also forgets what deploys recorded."""
        await self.heal(hosts)
        await asyncio.gather(*(h.kill() for h in hosts))
        if len(hosts) == len(self.hosts):
            self.files.forget_records()
        for host in hosts:
            host.discard()
            host.prepare()
        async for event in self.boot(hosts):
            yield event

    async def down(self, now: bool) -> None:
        await asyncio.gather(*((h.kill() if now else h.stop()) for h in self.hosts.values()))
        self.lines.stop()
        self.ended.set()

    def status(self) -> Event:
        rows = [
            {
                "host": h.guest.name,
                "address": h.guest.address,
                "user": h.guest.user,
                "port": h.guest.port,
                "state": h.state,
                "pid": h.leader(),
                "boots": h.boots,
                "ready_after": round(h.ready_after, 3),
                "faults": h.faults.names(),
            }
            for h in self.hosts.values()
        ]
        return {
            "lab": self.files.name,
            "release": self.release,
            "namespace": network.namespace(self.files.name),
            "up_for": round(time.time() - self.began, 1),
            "pid": os.getpid(),
            "hosts": rows,
        }

    def _load(self) -> None:
        by_name = self.hosts.items()
        faults.apply(
            {n: h.faults for n, h in by_name},
            {n: h.port for n, h in by_name},
            {n: h.guest.address for n, h in by_name},
        )

    async def fault(self, kind: str, hosts: list[Host], value: float | None, other: str | None, off: bool) -> None:
        """Makes one kind of fault happen to hosts, or takes it away again."""
        self.pick([other] if other else None)
        for host in hosts:
            if kind == "cut" and other:
                (host.faults.cut_from.discard if off else host.faults.cut_from.add)(other)
            elif kind == "cut":
                host.faults.cut = not off
            elif kind == "loss":
                host.faults.loss = 0 if off else float(value or 0)
            elif kind == "delay":
                await self._delay(host, 0 if off else float(value or 0))
            elif kind == "pause":
                host.freeze(not off)
            elif kind == "full":
                host.fill(None if off else int(value or 0))
            elif kind == "poweroff":
                await (host.boot() if off else host.kill())
            else:
                raise LabError(f"no fault '{kind}'")
        self._load()

    async def _delay(self, host: Host, ms: float) -> None:
        host.bridge = await self.lines.set(host.port, ms)
        host.faults.delay = ms

    async def heal(self, hosts: list[Host]) -> None:
        """Takes every fault from hosts; one that has no power stays off (start it)."""
        for host in hosts:
            if host.faults.full is not None:
                host.fill(None)
            if host.faults.delay:
                await self._delay(host, 0)
            host.freeze(False)
            host.faults = faults.Faults()
        for host in self.hosts.values():
            host.faults.cut_from -= {h.guest.name for h in hosts}
        self._load()

    async def answer(self, ask: Event) -> AsyncIterator[Event]:
        """Does one request. Raises LabError when it cannot."""
        do = ask.get("do")
        if do == "status":
            yield self.status()
            return
        hosts = self.pick(ask.get("hosts"))
        if do == "wait":
            for host in hosts:
                await host.answers(ask.get("within", 60))
            return
        if do == "down":  # never has to wait for what else is going on
            await self.down(bool(ask.get("now")))
            return
        async with self.busy:
            if do in ("reset", "start"):
                async for event in self.reset(hosts) if do == "reset" else self.boot(hosts):
                    yield event
            elif do == "heal":
                await self.heal(hosts)
            elif do in ("stop", "reboot"):
                await _all((h.stop() if do == "stop" else h.reboot()) for h in hosts)
            elif do == "fault":
                await self.fault(ask["kind"], hosts, ask.get("value"), ask.get("other"), bool(ask.get("off")))
            else:
                raise LabError(f"the lab cannot '{do}'")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request; the answer is events and then `done` or `error`."""
        last: Event = {"e": "done"}
        with contextlib.suppress(ConnectionError):
            try:
                async for event in self.answer(json.loads(await reader.readline())):
                    await _tell(writer, event)
            except LabError as e:
                last = {"e": "error", "why": str(e)}
            except ConnectionError:
                raise
            except (OSError, ValueError, KeyError, RuntimeError) as e:
                traceback.print_exc()  # into supervisor.log
                last = {"e": "error", "why": f"{type(e).__name__}: {e}"}
            await _tell(writer, last)
        writer.close()


async def _all(things: Iterable[Awaitable[None]]) -> None:
    """Does them together, all to their ends. Raises one LabError with what went wrong."""
    ends = await asyncio.gather(*things, return_exceptions=True)
    if wrong := [str(end) for end in ends if isinstance(end, BaseException)]:
        raise LabError("\n".join(wrong))


async def _tell(writer: asyncio.StreamWriter, event: Event) -> None:
    writer.write(json.dumps(event).encode() + b"\n")
    await writer.drain()


async def _first_boot(lab: Supervisor, say: Callable[[Event], None]) -> bool:
    """Boots everything while `up` is there to see it. False when a host failed or `up` went away."""
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)

    async def boots() -> bool:
        well = True
        async for event in lab.up():
            well = well and event["e"] == "up"
            say(event)
        return well

    async def committed() -> bool:
        return await stdin.readline() == b"keep\n"

    booting, keeping = asyncio.create_task(boots()), asyncio.create_task(committed())
    await asyncio.wait([booting, keeping], return_when=asyncio.FIRST_COMPLETED)
    if not booting.done() or not booting.result():
        booting.cancel()
        return False
    say({"e": "ready"})
    return await keeping


async def _main(files: Files, say: Callable[[Event], None]) -> None:
    lab = Supervisor(files)
    loop = asyncio.get_running_loop()
    stop: Callable[[], Awaitable[None]] = lambda: lab.down(True)  # noqa: E731
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: asyncio.ensure_future(stop()))
    server = await asyncio.start_unix_server(lab.serve, files.socket)
    files.socket.chmod(0o600)
    if not await _first_boot(lab, say):
        await lab.down(True)
    await lab.ended.wait()
    server.close()


def main(home: Path) -> None:
    files = Files(home)
    lock = Lock(files.lock)
    out = os.fdopen(os.dup(1), "w", buffering=1)

    def say(event: Event) -> None:
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(event), file=out)

    if not lock.take():
        say({"e": "error", "why": f"lab {files.name} is up already"})
        return
    handle = cleaner.watch_over(files, lock)
    try:
        cleaner.raise_inotify()
        network.create(files.name, [Guest.of(g) for g in files.read_spec()["guests"]])
        machine.own_mounts()
        machine.enter_network(network.namespace(files.name))
        network.tune()
        asyncio.run(_main(files, say))
    except (LabError, OSError) as e:
        say({"e": "error", "why": str(e)})
    finally:
        os.close(handle)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
