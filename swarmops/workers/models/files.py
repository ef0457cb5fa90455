"""Models by content hash: taken from the shared context store once, kept on disk, checked whenever they are loaded."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from swarmops.runtime.client.aio import AsyncRuntime
from swarmops.runtime.context.contexts import sha_of

BOUND = 2 << 30  # bytes of all kept models


class Files:
    """`read("ctx:<sha>")`. folder: where they are kept; bound: bytes, beyond which the least lately used go."""

    def __init__(self, runtime: AsyncRuntime, folder: Path, bound: int = BOUND):
        self.runtime, self.folder, self.bound = runtime, folder, bound
        self.fetched = 0

    async def read(self, ref: str, path: str = "model") -> bytes:
        """The content. Raises Invalid (no reference), NotFound, Corrupt, TooLarge."""
        sha = sha_of(ref, path)
        if (kept := await asyncio.to_thread(self._kept, sha)) is not None:
            return kept
        data = await self.runtime.contexts.read(f"ctx:{sha}")  # checks the hash itself
        self.fetched += 1
        await asyncio.to_thread(self._keep, sha, data)
        return data

    def _kept(self, sha: str) -> bytes | None:
        """What is kept under this hash; None if there is nothing, or something else by now."""
        file = self.folder / sha
        try:
            data = file.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(data).hexdigest() != sha:
            file.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(file)
        return data

    def _keep(self, sha: str, data: bytes) -> None:
        """A full disk only costs the next start a fetch."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, prefix=".new-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                Path(name).replace(self.folder / sha)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            self._tidy(sha)

    def _tidy(self, newest: str) -> None:
        kept = [(f.stat().st_mtime, f.stat().st_size, f) for f in self.folder.iterdir() if len(f.name) == 64]
        size = sum(s for _, s, _ in kept)
        for _, s, file in sorted(kept):
            if size <= self.bound:
                return
            if file.name != newest:
                file.unlink(missing_ok=True)
                size -= s
