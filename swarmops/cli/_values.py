"""Arguments that hold data: JSON or text from the command line, a file or stdin."""

from __future__ import annotations

from typing import Any

from swarmops.runtime import wire


def read_bytes(path: str, limit: int) -> bytes:
    """A file, or stdin for `-`. Raises Invalid, TooLarge."""
    import sys
    from pathlib import Path

    from swarmops.runtime.errors import Invalid, TooLarge

    try:
        if path == "-":
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(limit + 1)
    except OSError as e:
        raise Invalid(path, e.strerror or str(e)) from None
    if len(data) > limit:
        raise TooLarge(path, f"has more than {limit:,} bytes")
    return data


def json_or_text(text: str) -> Any:
    """JSON if it looks like it (an object, list, number, ...), else the text as it is; `-` reads stdin."""
    from swarmops.runtime.errors import Invalid

    if text == "-":
        text = read_bytes("-", wire.LIMIT).decode("utf-8", "surrogateescape")
    try:
        return wire.loads(text, "DATA")
    except Invalid:
        if text.lstrip()[:1] in ("{", "["):
            raise
        return text


def when(ms: int) -> str:
    """A moment for people."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if ms else "-"
