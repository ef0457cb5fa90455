"""The root file system that all hosts of a lab share: Debian, built once per release and recipe."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from swarmops.lab.machine import STATE, LabError, locked, run

RELEASES = ("trixie", "bookworm")
# Without libpam-systemd: it would start a systemd of the user's own at each login.
INCLUDE = (
    "systemd systemd-sysv dbus openssh-server sudo python3 iproute2 nftables procps "
    "wireguard-tools wireguard-go iputils-ping ca-certificates"
)
MASKED = (
    "ldconfig.service systemd-journal-catalog-update.service systemd-update-done.service "
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service "
    "fstrim.timer systemd-tmpfiles-clean.timer systemd-networkd-wait-online.service "
    "systemd-resolved.service getty@.service console-getty.service getty.target"
)
DROP = "usr/share/doc usr/share/man usr/share/locale usr/share/info var/cache/apt var/lib/apt/lists"
FILES = {
    "etc/apt/sources.list.d/lab.list": "deb [trusted=yes] file:/srv/apt ./\n",
    "etc/apt/apt.conf.d/90lab": 'Acquire::Languages "none";\nAPT::Install-Recommends "false";\n'
    'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n',
    "etc/dpkg/dpkg.cfg.d/lab": "path-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\n"
    "path-exclude=/usr/share/locale/*\nforce-unsafe-io\n",
    # The address is the inventory's, so there is nothing to ask a DHCP server for. arp_notify tells the
    # bridge at once that the host is back, instead of after the next ARP retry.
    "etc/systemd/system/lab-network.service": "[Unit]\nDescription=Address of this lab host\n"
    "DefaultDependencies=no\nAfter=systemd-sysctl.service\nBefore=network-pre.target network.target\n"
    "Wants=network-pre.target network.target\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\n"
    "EnvironmentFile=/etc/lab-network\n"
    "ExecStart=/bin/sh -ec 'echo 1 > /proc/sys/net/ipv4/conf/host0/arp_notify; "
    "ip address replace $ADDRESS dev host0; ip link set host0 up; ip route replace default via $GATEWAY'\n\n"
    "[Install]\nWantedBy=sysinit.target\n",
    "etc/hostname": "lab\n",
    "etc/resolv.conf": "",
    "etc/machine-id": "",
    "etc/fstab": "",
}


# If we are killed, so is debootstrap with all its children, and its mounts go with it.
ALONE = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


def _recipe(release: str) -> str:
    parts = [release, *INCLUDE.split(), *MASKED.split(), *DROP.split(), *(f"{k}={v}" for k, v in sorted(FILES.items()))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]


def mirror(release: str, sources: Path = Path("/etc/apt")) -> str | None:
    """The Debian mirror this machine's apt uses; None lets debootstrap take its own default."""
    if given := os.environ.get("SWARMOPS_LAB_MIRROR"):
        return given
    for file in sorted([*sources.glob("sources.list"), *sources.glob("sources.list.d/*")]):
        for uri, suites in _entries(file):
            if re.search(r"/debian/?$", uri) and suites & {"bookworm", "trixie", "stable", release}:
                return uri
    return None


def _entries(file: Path) -> Iterator[tuple[str, set[str]]]:
    """Pairs of (URI, suites) in one apt source file, of either format."""
    text = file.read_text(errors="replace")
    if file.suffix == ".sources":
        for stanza in re.split(r"\n\s*\n", text):
            field = dict(re.findall(r"^(URIs|Suites):[ \t]*(.+)$", stanza, re.M))
            for uri in field.get("URIs", "").split():
                yield uri, set(field.get("Suites", "").split())
    elif file.name == "sources.list" or file.suffix == ".list":
        for uri, suite in re.findall(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)", text, re.M):
            yield uri, {suite}


def image(release: str, say: Callable[[str], None] = lambda line: None) -> Path:
    """Path of the root of `release`, built first if it is not there (about a minute). Raises LabError."""
    if release not in RELEASES:
        raise LabError(f"no release '{release}' in the lab (there are {', '.join(RELEASES)})")
    images = STATE / "images"
    ready = images / f"{release}-{_recipe(release)}"

    def build() -> None:
        began = time.monotonic()
        say(f"building the {release} image once (debootstrap)")
        _build(release, images, ready)
        say(f"image {ready.name} built in {time.monotonic() - began:.0f} s")

    return made_once(release, ready, build)


def made_once(release: str, ready: Path, make: Callable[[], None]) -> Path:
    """The folder `ready`, made first if it is not there, by one process at a time; those of older recipes go."""
    if not ready.is_dir():
        with locked(ready.parent / f".{release}.lock"):
            if not ready.is_dir():
                make()
                forget_older(ready)
    return ready


def forget_older(ready: Path) -> None:
    """Removes the images (or repositories) of a release's earlier recipes that no lab stands on."""
    used = "".join(spec.read_text() for spec in STATE.glob("*/lab.json"))
    for old in ready.parent.glob(f"{ready.name.split('-')[0]}-*"):
        if old != ready and old.name not in used:
            shutil.rmtree(old, ignore_errors=True)


def _build(release: str, images: Path, ready: Path) -> None:
    with scratch(images, f".build-{release}-") as made:
        wanted = f"--include={','.join(INCLUDE.split())}"
        argv = ["--variant=minbase", wanted, release, str(made / "root")]
        keyring = f"/usr/share/keyrings/debian-archive-{release}-stable.gpg"
        if Path(keyring).exists():
            argv.insert(0, f"--keyring={keyring}")
        if source := mirror(release):
            argv.append(source)
        try:
            run([*ALONE, "debootstrap", *argv], timeout=1800)
        except LabError as e:
            log = made / "root" / "debootstrap" / "debootstrap.log"
            more = log.read_text(errors="replace").strip().splitlines()[-3:] if log.exists() else []
            raise LabError("\n".join([str(e), *more])) from None
        _settle(made / "root")
        (made / "root").rename(ready)


@contextlib.contextmanager
def scratch(parent: Path, prefix: str) -> Iterator[Path]:
    """A folder to build in, gone afterwards; also removes what a killed build left (call it locked)."""
    for old in parent.glob(f"{prefix}*"):
        shutil.rmtree(old, ignore_errors=True)
    made = parent / f"{prefix}{os.getpid()}"
    made.mkdir(parents=True)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def tidy() -> None:
    """Removes what killed builds left; never what a build is at."""
    for lock in STATE.glob("*/.*.lock"):
        with open(lock) as f, contextlib.suppress(BlockingIOError):
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for old in lock.parent.glob(f".build-{lock.name[1:].removesuffix('.lock')}-*"):
                shutil.rmtree(old, ignore_errors=True)


def _settle(root: Path) -> None:
    """Turns a fresh debootstrap tree into an image: quiet, quick to boot, no identity of its own."""
    for gone in DROP.split():
        shutil.rmtree(root / gone, ignore_errors=True)
    for needed in ("var/cache/apt/archives/partial", "var/lib/apt/lists/partial", "srv/apt"):
        (root / needed).mkdir(parents=True, exist_ok=True)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/apt/sources.list").unlink(missing_ok=True)
    for name, text in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_text(text)
    units = root / "etc/systemd/system"
    for unit in MASKED.split():
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    wanted = units / "sysinit.target.wants"
    wanted.mkdir(exist_ok=True)
    (wanted / "lab-network.service").symlink_to("../lab-network.service")
    run(["systemctl", f"--root={root}", "enable", "ssh.service"])
    run(["systemctl", f"--root={root}", "set-default", "multi-user.target"])
    # Both stamps newer than /usr: otherwise each boot runs the "needs update" services first.
    now = time.time() + 1
    for stamp in ("etc/.updated", "var/.updated"):
        (root / stamp).write_text(f"# stamped by the lab\nTIMESTAMP_NSEC={int(now * 1e9)}\n")
        os.utime(root / stamp, (now, now))
