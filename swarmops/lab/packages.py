"""The apt repository of a lab: packages downloaded once, so that hosts without a network really install."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from swarmops.lab.image import made_once, mirror, scratch
from swarmops.lab.machine import STATE, LabError, run

# What `apt-get install` can find on a lab host; their dependencies come along.
PACKAGES = (
    "redis-server redis-tools redis-sentinel chrony ufw cron logrotate nginx-light mosquitto "
    "curl rsync openssl acl xz-utils zstd unzip less tree jq bc file python3-apt "
    "chromium fonts-dejavu-core systemd-journal-remote "
    "novnc websockify tigervnc-standalone-server tigervnc-tools openbox"
)
CONFIG = """\
Dir::State "{work}/state";
Dir::State::status "{root}/var/lib/dpkg/status";
Dir::State::extended_states "{work}/state/extended_states";
Dir::Cache "{work}/cache";
Dir::Etc::sourcelist "{work}/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
Dir::Etc::trusted "-";
Dir::Etc::trustedparts "-";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
"""
KEYS = "/usr/share/keyrings/debian-archive-{release}-{kind}.gpg"


def repository(root: Path, release: str, say: Callable[[str], None] = lambda line: None) -> Path:
    """Path of the repository made for the image at `root`, downloaded first if it is not there."""
    key = hashlib.sha256(" ".join([root.name, *PACKAGES.split()]).encode()).hexdigest()[:10]
    stores = STATE / "apt"
    ready = stores / f"{release}-{key}"

    def download() -> None:
        say(f"downloading {len(PACKAGES.split())} packages and what they need for the hosts' apt")
        _download(root, release, stores, ready)

    return made_once(release, ready, download)


def _download(root: Path, release: str, stores: Path, ready: Path) -> None:
    source = mirror(release)
    if not source:
        raise LabError("no Debian mirror in this machine's apt sources (name one in SWARMOPS_LAB_MIRROR)")
    keys = [KEYS.format(release=release, kind=kind) for kind in ("automatic", "stable")]
    signed = next((key for key in keys if Path(key).exists()), "")
    option = f"[signed-by={signed}] " if signed else ""
    with scratch(stores, f".build-{release}-") as made:
        for folder in ("state/lists/partial", "cache/archives/partial", "repository"):
            (made / folder).mkdir(parents=True)
        (made / "sources.list").write_text(f"deb {option}{source} {release} main\n")
        (made / "apt.conf").write_text(CONFIG.format(work=made, root=root))
        apt = ["env", f"APT_CONFIG={made / 'apt.conf'}", "apt-get", "-q", "-y"]
        run([*apt, "update"], timeout=300)
        run([*apt, "--download-only", "install", *PACKAGES.split()], timeout=900)
        for deb in (made / "cache/archives").glob("*.deb"):
            deb.rename(made / "repository" / deb.name)
        _index(made / "repository")
        (made / "repository").rename(ready)


def _index(folder: Path) -> None:
    listing = run(["env", "-C", str(folder), "dpkg-scanpackages", "--multiversion", "."], timeout=300)
    (folder / "Packages").write_text(listing)
    for file in (folder, *folder.iterdir()):
        shutil.chown(file, 0, 0)
        file.chmod(0o755 if file.is_dir() else 0o644)
