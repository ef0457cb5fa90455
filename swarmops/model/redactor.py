"""The last net: replaces secret values in text that leaves the program, in the forms they take on the way."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

from swarmops.model.secrets import Secret

SHORTEST = 8  # shorter values would be found in innocent words


class Redactor:
    """`clean(text)` puts `<secret NAME>` where a value stands: raw, or as base64 (at any offset), hex, URL, shell,
    JSON, Python or HTML text. Values under 8 characters are left alone.

    `values`: `Secret`s, or a map of name -> raw value.
    """

    def __init__(self, values: Iterable[Secret] | Mapping[str, str] = ()):
        pairs = values.items() if isinstance(values, Mapping) else [(s.name, s.open()) for s in values]
        self._names: dict[str, str] = {}
        for name, value in pairs:
            for form in forms(value):
                self._names.setdefault(form, name)
        longest_first = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def clean(self, text: str) -> str:
        if self._pattern is None or not text:
            return text
        return self._pattern.sub(lambda m: f"<secret {self._names[m[0]]}>", text)


def forms(value: str) -> set[str]:
    """The texts a value may appear as; for one of several lines also its lines."""
    found: set[str] = set()
    parts = {value, value.strip()}
    if len(lines := value.splitlines()) > 1:
        parts |= {line.strip() for line in lines if len(line.strip()) >= 16 and not line.startswith("-----")}
    for part in parts:
        found.update(_forms(part))
    return {f for f in found if len(f) >= SHORTEST}


def _forms(value: str) -> Iterator[str]:
    if len(value) < SHORTEST:
        return
    data = value.encode("utf-8", "surrogatepass")
    yield value
    for safe in ("", "/"):
        yield from _both_cases(quote(data, safe=safe))
    yield from _both_cases(quote_plus(data))
    yield shlex.quote(value)
    yield shlex.quote(value)[1:-1] if shlex.quote(value) != value else value
    yield re.sub(r"([^\w@%+=:,./-])", r"\\\1", value)
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield json.dumps(json.dumps(value)[1:-1])[1:-1]
    yield repr(value)[1:-1]
    yield repr(data)[2:-1]
    yield html.escape(value)
    yield html.escape(value, quote=False)
    yield data.hex()
    yield data.hex().upper()
    yield from _base64(data)


def _both_cases(quoted: str) -> Iterator[str]:
    yield quoted
    yield re.sub(r"%[0-9A-F]{2}", lambda m: m[0].lower(), quoted)


def _base64(data: bytes) -> Iterator[str]:
    """base64 of the value alone, and inside something longer ('user:' + value), where the letters at both ends
    also hold bits of the neighbours and are left out."""
    whole = base64.b64encode(data).decode()
    yield whole
    yield whole.rstrip("=")
    yield base64.urlsafe_b64encode(data).decode()
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + data).decode().rstrip("=")
        start = (0, 2, 3)[offset]
        end = len(encoded) if (len(data) + offset) % 3 == 0 else len(encoded) - 1
        inner = encoded[start:end]
        if len(inner) >= SHORTEST:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")
