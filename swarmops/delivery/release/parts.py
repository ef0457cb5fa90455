"""What a release is made of, and for whom: wheels, and the Python and platform of a host."""

from __future__ import annotations

import re
from dataclasses import dataclass

from swarmops.model.faults import InputError

GLIBC = (17, 28, *range(31, 41))  # of the platforms that uv knows, 2.x
ARCHES = ("x86_64", "aarch64")
OLDEST = (3, 11)


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
