"""One host of a running lab: boots it, notices when it ends, boots it again when it asked for a reboot."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

from swarmops.lab import network, root
from swarmops.lab.faults import Faults
from swarmops.lab.files import Files
from swarmops.lab.guest import Guest
from swarmops.lab.machine import LabError

REBOOT = 133  # what nspawn exits with when the host wants to boot again
SSH_WITHIN = 60.0  # seconds from boot to SSH banner; some 24 hosts on two cores take 7
STOP_WITHIN = 15.0


class Host:
    """States: `off`, `booting`, `up` (SSH answers), `failed` (ended unasked; see its console.log)."""

    def __init__(self, files: Files, guest: Guest, index: int, guests: list[Guest], layers: tuple[Path, Path]) -> None:
        self.files, self.guest, self.guests = files, guest, guests
        self.image, self.apt = layers
        self.machine = network.machine_name(files.name, index)
        self.port = network.veth(files.name, index)
        self.bridge = network.BRIDGE
        self.cgroups = files.cgroups(guest.name)
        self.faults = Faults()
        self.state = "off"
        self.boots = 0
        self.ready_after = 0.0
        self._wanted = False
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._disk = False
        self._booted = asyncio.Event()

    def prepare(self) -> None:
        """Gives the host a fresh disk with its identity on it."""
        tree = root.mount(self.files.disk(self.guest.name), self.image)
        self._disk = True
        keys = self.files.host_keys(self.guest.name)
        admin = self.files.key.with_suffix(".pub").read_text().strip()
        root.identify(tree, self.guest, self.guests, keys, admin)

    def discard(self) -> None:
        if self._disk:
            root.unmount(self.files.disk(self.guest.name))
            self._disk = False

    def _argv(self) -> list[str]:
        groups = " ".join(f"'{g}/cgroup.procs'" for g in self.cgroups)
        join = f'for g in {groups}; do echo $$ > "$g"; done; exec "$@"'
        tree = self.files.disk(self.guest.name) / "root"
        return [
            *("sh", "-ec", join, "sh", "setpriv", "--pdeathsig", "KILL", "systemd-nspawn"),
            *("--register=no", "--keep-unit", "--quiet", "--settings=no", "--link-journal=no"),
            *("--resolv-conf=off", "--timezone=off", "--console=pipe", "--boot", f"--directory={tree}"),
            *(f"--machine={self.machine}", f"--hostname={self.guest.name}"),
            *(
                f"--network-bridge={self.bridge}",
                "--bind=/dev/net/tun",
                "--capability=CAP_NET_ADMIN",
                # As on a machine of its own; nspawn of systemd 252 lets nobody ask for Landlock.
                "--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self",
                f"--bind-ro={self.apt}:/srv/apt",
            ),
        ]

    async def boot(self) -> None:
        """Starts the host; returns when its SSH answers, or raises LabError with the end of its console."""
        if self._keeper and not self._keeper.done():
            return
        self._wanted, self.state = True, "booting"
        for group in self.cgroups:
            group.mkdir(parents=True, exist_ok=True)
        self._keeper = asyncio.create_task(self._keep())
        await self.answers()

    async def _keep(self) -> None:
        environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_LOG_TARGET": "console"}
        while True:
            with open(self.files.console(self.guest.name), "ab") as console:
                self._process = await asyncio.create_subprocess_exec(
                    *self._argv(),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    env=environment,
                )
            self.boots += 1
            self._booted.set()
            code = await self._process.wait()
            if code != REBOOT or not self._wanted:
                break
            self.state = "booting"
            self._watcher = asyncio.create_task(self._settle())
        self.state = "off" if code == 0 or not self._wanted else "failed"
        self._process = None

    async def _settle(self) -> None:
        with contextlib.suppress(LabError):
            await self.answers()

    async def answers(self, within: float = SSH_WITHIN) -> None:
        """Waits for the SSH banner. Nothing across the bridge tells of it, so it asks, 20 times a second."""
        began = time.monotonic()
        while time.monotonic() - began < within:
            if self._keeper is None or self._keeper.done():
                raise LabError(f"{self.guest.name} is {self.state}; {self._last_words()}")
            if await _banner(self.guest.address, self.guest.port):
                if self.state == "booting":
                    self.state, self.ready_after = "up", time.monotonic() - began
                return
            await asyncio.sleep(0.05)
        raise LabError(f"{self.guest.name}: no SSH within {within:g} s; {self._last_words()}")

    def _last_words(self) -> str:
        console = self.files.console(self.guest.name)
        lines = console.read_text(errors="replace").strip().splitlines() if console.exists() else []
        return "console ends with: " + " / ".join(lines[-3:]) if lines else "its console is empty"

    def leader(self) -> int | None:
        """Process id, on this machine, of the host's init."""
        if self._process is None:
            return None
        with contextlib.suppress(OSError):
            task = Path(f"/proc/{self._process.pid}/task/{self._process.pid}")
            for child in (task / "children").read_text().split():
                status = Path(f"/proc/{child}/status").read_text()
                if any(ln.startswith("NSpid:") and ln.split()[-1] == "1" for ln in status.splitlines()):
                    return int(child)
        return None

    async def stop(self) -> None:
        """A clean shutdown, as by `systemctl poweroff`; one that does not end within 15 s loses its power."""
        self._wanted = False
        self.freeze(False)
        if self._process and self._keeper:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._keeper), STOP_WITHIN)
        await self.kill()

    async def reboot(self) -> None:
        """A clean reboot; returns when SSH answers again."""
        leader, before = self.leader(), self.boots
        if not leader or not self._wanted:
            raise LabError(f"{self.guest.name} is {self.state}: nothing to reboot (swarmops lab start)")
        self.freeze(False)
        self._booted.clear()
        os.kill(leader, signal.SIGINT)  # init takes it for Ctrl-Alt-Del
        while self.boots == before and self._keeper and not self._keeper.done():
            booted = asyncio.ensure_future(self._booted.wait())
            await asyncio.wait([booted, self._keeper], return_when=asyncio.FIRST_COMPLETED)
            booted.cancel()
        await self.answers()

    async def kill(self) -> None:
        """Power loss: init dies, and with it every process of the host."""
        self._wanted = False
        if self._keeper and not self._keeper.done():
            while not self._keeper.done():
                pid = self.leader() or (self._process.pid if self._process else None)
                if pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                await asyncio.wait([self._keeper], timeout=0.5)
        self.freeze(False)
        self.state = "off"

    def freeze(self, on: bool) -> None:
        """Pauses every process of the host, or lets them go on. nspawn itself, beside them, keeps running."""
        inner = self.cgroups[0] / "payload"
        with contextlib.suppress(FileNotFoundError):
            ((inner if inner.is_dir() else self.cgroups[0]) / "cgroup.freeze").write_text("1" if on else "0")
        self.faults.paused = on

    def fill(self, free: int | None) -> None:
        root.limit(self.files.disk(self.guest.name), free)
        self.faults.full = free


async def _banner(address: str, port: int) -> bool:
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 0.2)
    except (OSError, TimeoutError):
        return False
    try:
        return (await asyncio.wait_for(reader.readline(), 2)).startswith(b"SSH-")
    except (OSError, TimeoutError, ValueError):
        return False
    finally:
        writer.close()
