"""Contexts of megabytes, stored by the SHA-256 of their content (S0-19 to S0-21).

A context is cut into chunks of 256 KiB, each compressed where that pays. The manifest is written last, and only when
all chunks are there, so that half an upload is never seen; its chunks go away by themselves. Chunks and manifest live
equally long. Whoever uses a context (reads it, or beats as a shard that has it loaded) renews that: a lease, not a
count of references, because those who refer may die without saying so.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from swarmops.runtime.errors import Conflict, Corrupt, Invalid, NotFound, TooLarge
from swarmops.runtime.flow import Steps, flow
from swarmops.runtime.ids import number
from swarmops.runtime.op import Executor, Mode, Op, Room

CHUNK = 1 << 18  # bytes of content in a chunk; part of the format
FLUSH = 4  # chunks in one flush: a slow line must carry them within the timeout
SLOWEST = 100_000  # bytes a second of the slowest line that is given time enough
PAYS = 0.9  # a chunk stays compressed if it is smaller than this part of itself
LIMIT = 64 << 20
TTL = 86400.0
STAGE = 3600.0  # seconds that chunks without a manifest live
_SHA = re.compile(r"(?:ctx:)?([0-9a-f]{64})")
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]{0,500}")


@dataclass(frozen=True, slots=True)
class Context:
    """What is stored. size and stored in bytes, times in milliseconds; new: this call has stored it."""

    id: str
    size: int
    stored: int
    chunks: int
    codec: str
    source: str
    created: int
    expires: int
    new: bool = False
    sums: str = ""

    @property
    def ref(self) -> str:
        """What a task's arguments carry."""
        return f"ctx:{self.id}"

    @property
    def ratio(self) -> float:
        """How many times smaller it became."""
        return round(self.size / self.stored, 2) if self.stored else 1.0

    def as_dict(self) -> dict[str, Any]:
        shown = {k: v for k, v in asdict(self).items() if k != "sums"}
        return {"ref": self.ref, **shown, "ratio": self.ratio}


def sha_of(reference: object, path: str = "ref") -> str:
    """The hash in `ctx:<sha>`, a bare hash, or a mapping whose `id` or `ref` is one. Raises Invalid."""
    if isinstance(reference, Mapping):
        reference = reference.get("id", reference.get("ref"))
    found = _SHA.fullmatch(reference) if isinstance(reference, str) else None
    if not found:
        raise Invalid(path, f"{str(reference)[:80]!r} is no reference to a context (ctx:<64 hexadecimal digits>)")
    return found[1]


def label(value: object, path: str) -> str:
    """A line of text for people: a source, a pass. Raises Invalid for control characters and over 500 characters."""
    if isinstance(value, str) and _PRINTABLE.fullmatch(value):
        return value
    raise Invalid(path, f"{str(value)[:80]!r} is not one line of at most 500 characters")


class Contexts(Room[Mode]):
    """`store` and `read`. `limit` (bytes of one context) may be set; so may `stage`, see STAGE."""

    def __init__(self, runtime: Executor):
        super().__init__(runtime)
        self.limit, self.stage = LIMIT, STAGE

    @flow
    def store(self, data: str | bytes, source: str = "", ttl: float = TTL) -> Steps[Context]:
        """Keep `data` for `ttl` seconds after its last use. The same content is stored once, and sent once.

        Raises Invalid, TooLarge, Unavailable (out of memory: nothing is seen of it).
        """
        label(source, "source")
        number(ttl, "ttl", 0.001, 10 * 365 * 86400)
        raw = _bytes(data)
        if len(raw) > self.limit:
            raise TooLarge("context", f"has {len(raw):,} bytes, the most is {self.limit:,}")
        sha = yield partial(_sha, raw)
        for _ in range(3):
            found, missing = (yield [self.touch_op(sha, ttl)])[0]
            if found and not missing:
                return found
            yield from self._upload(sha, raw, missing if found else range(_count(len(raw))))
            sums = yield partial(_sums, raw)
            try:
                yield [self._seal(sha, len(raw), sums, source, ttl)]
            except Conflict:  # a chunk left by an earlier upload has expired since
                continue
            found = (yield [self.touch_op(sha, ttl)])[0][0]
            if found:
                return Context(**{**asdict(found), "new": True})
        raise Corrupt(f"ctx:{sha}: chunks vanish as soon as they are written")

    @flow
    def read(self, ref: str | Mapping[str, Any]) -> Steps[bytes]:
        """All of it, exactly as it was stored; renews it.

        Raises NotFound (never stored, or expired), Corrupt (says which chunk is damaged or missing).
        """
        sha = sha_of(ref)
        about = yield from self.about.steps(ref)
        if about.size > self.limit:
            raise TooLarge("context", f"has {about.size:,} bytes, the most is {self.limit:,}")
        parts: list[bytes] = []
        for first in range(0, about.chunks, FLUSH):
            which = range(first, min(first + FLUSH, about.chunks))
            replies = yield [self._get(sha, n) for n in which]
            parts += yield partial(_unpack_all, about, which, replies)
        whole = b"".join(parts)
        if (yield partial(_sha, whole)) != sha:
            raise Corrupt(f"ctx:{sha}: all chunks are there, but together they are not what was stored")
        return whole

    @flow
    def resolve(self, ref: str | Mapping[str, Any]) -> Steps[bytes]:
        """What a task's reference stands for, `ctx:<sha>` or {"id": "ctx:<sha>", "version": 3, "size": ...}: `read`."""
        if isinstance(ref, Mapping) and "size" in ref:
            about = yield from self.about.steps(ref)
            if about.size != ref["size"]:
                raise Conflict(f"{about.ref} has {about.size:,} bytes, the reference says {ref['size']}")
        return (yield from self.read.steps(ref))

    @flow
    def about(self, ref: str | Mapping[str, Any], ttl: float = 0.0) -> Steps[Context]:
        """Size, ratio, source; renews it, for `ttl` seconds if that is longer. Raises NotFound, Corrupt."""
        sha = sha_of(ref)
        found, missing = (yield [self.touch_op(sha, ttl)])[0]
        if not found:
            raise NotFound(f"ctx:{sha} is not here: it was never stored, or nobody has used it for too long")
        if missing:
            raise Corrupt(f"ctx:{sha}: chunk {missing[0] + 1} of {found.chunks} is missing; store it again")
        return found

    @flow
    def preview(self, ref: str | Mapping[str, Any], characters: int = 5000) -> Steps[str]:
        """Its first characters. Only the first chunk is read. Raises NotFound, Corrupt."""
        about = yield from self.about.steps(ref)
        if not about.chunks:
            return ""
        reply = (yield [self._get(about.id, 0)])[0]
        first: bytes = (yield partial(_unpack_all, about, range(1), [reply]))[0]
        return first[: min(characters * 4, CHUNK)].decode("utf-8", "ignore")[:characters]

    @flow
    def remove(self, ref: str | Mapping[str, Any]) -> Steps[bool]:
        """Forget it now. False: it was not there."""
        sha = sha_of(ref)
        chunks = -(-self.limit // CHUNK)
        return bool((yield [Op("context_remove", (self._manifest(sha),), (chunks,), safe=True)])[0])

    # -- single operations

    def _upload(self, sha: str, raw: bytes, which: Sequence[int]) -> Steps[None]:
        for first in range(0, len(which), FLUSH):
            group = which[first : first + FLUSH]
            packed = yield partial(_pack_all, raw, group)
            yield [self._put(sha, n, data) for n, data in zip(group, packed)]

    def _manifest(self, sha: str) -> str:
        return self.keys.tagged("ctx", sha, "manifest")

    def touch_op(self, sha: str, ttl: float = 0.0) -> Op[tuple[Context | None, list[int]]]:
        """Renews it if it is there and whole. What is there, and which chunks are missing."""
        return Op("context_touch", (self._manifest(sha),), (int(ttl * 1000),), partial(_read_touch, sha), safe=True)

    def _put(self, sha: str, n: int, data: bytes) -> Op[Any]:
        key = self.keys.tagged("ctx", sha, "chunk", str(n))
        args = ("SET", key, data, "PX", int(self.stage * 1000), "NX")
        return Op("", (key,), args, safe=True, block=len(data) / SLOWEST)

    def _get(self, sha: str, n: int) -> Op[bytes | None]:
        key = self.keys.tagged("ctx", sha, "chunk", str(n))
        return Op("", (key,), ("GET", key), safe=True, block=CHUNK / SLOWEST)

    def _seal(self, sha: str, size: int, sums: str, source: str, ttl: float) -> Op[Any]:
        args = (_count(size), int(ttl * 1000), size, sums, source)
        return Op("context_seal", (self._manifest(sha),), args, safe=True, durable=True)


def _bytes(data: object) -> bytes:
    if isinstance(data, str):
        try:
            return data.encode()
        except UnicodeEncodeError:
            raise Invalid("context", "holds a lone surrogate, which is no text") from None
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise Invalid("context", f"is a {type(data).__name__}, not text or bytes")


def _count(size: int) -> int:
    return -(-size // CHUNK)


def _sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _sums(raw: bytes) -> str:
    """CRC-32 of each chunk's content, 8 hexadecimal digits each: the hash of the whole tells only that, not where."""
    return "".join(f"{zlib.crc32(raw[n * CHUNK : (n + 1) * CHUNK]):08x}" for n in range(_count(len(raw))))


def _pack_all(raw: bytes, which: Sequence[int]) -> list[bytes]:
    found = []
    for n in which:
        part = raw[n * CHUNK : (n + 1) * CHUNK]
        small = zlib.compress(part, 6)
        found.append(b"z" + small if len(small) < PAYS * len(part) else b"-" + part)
    return found


def _unpack_all(about: Context, which: Sequence[int], replies: Sequence[bytes | None]) -> list[bytes]:
    return [_unpack(about, n, reply) for n, reply in zip(which, replies)]


def _unpack(about: Context, n: int, data: bytes | None) -> bytes:
    def broken(why: str) -> Corrupt:
        return Corrupt(f"{about.ref}: chunk {n + 1} of {about.chunks} {why}; remove it and store it again")

    if data is None:
        raise broken("is missing")
    size = min(CHUNK, about.size - n * CHUNK)
    part = data[1:]
    if data[:1] == b"z":
        opened = zlib.decompressobj()
        try:
            part = opened.decompress(part, size + 1)  # never more, whatever it claims to hold
        except zlib.error:
            raise broken("is damaged") from None
    elif data[:1] != b"-":
        raise broken("is packed in a way we do not know")
    if len(part) != size or f"{zlib.crc32(part):08x}" != about.sums[n * 8 : n * 8 + 8]:
        raise broken("is damaged")
    return part


def _read_touch(sha: str, reply: list[Any]) -> tuple[Context | None, list[int]]:
    flat, missing, expires = reply
    if not flat:
        return None, []
    said = {k.decode(): v.decode() for k, v in zip(flat[::2], flat[1::2])}
    try:
        size, chunks = int(said["size"]), int(said["chunks"])
        if chunks != _count(size) or len(said["sums"]) != 8 * chunks:
            raise ValueError
        found = Context(
            id=sha,
            size=size,
            stored=int(said["stored"]),
            chunks=chunks,
            codec=said["codec"],
            source=said["source"],
            created=int(said["created"]),
            expires=expires,
            sums=said["sums"],
        )
    except (KeyError, ValueError):
        raise Corrupt(f"ctx:{sha}: its manifest is damaged; remove it and store it again") from None
    return found, list(missing)
