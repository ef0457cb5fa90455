"""What the verbs of the registry share: staying until a signal, and one thing shown line by line."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def held() -> Iterator[Callable[[], object]]:
    """From here on SIGTERM and Ctrl-C end nothing but the waiting: what is yielded returns when one has come.

    Whichever thread the system hands the signal to, and also if it came before the waiting began.
    """
    ours, system = socket.socketpair()
    system.setblocking(False)
    with ours, system:
        for which in (signal.SIGTERM, signal.SIGINT):
            signal.signal(which, _nothing)
        signal.set_wakeup_fd(system.fileno())
        try:
            yield lambda: ours.recv(1)
        finally:
            signal.set_wakeup_fd(-1)


def pairs(it: dict[str, Any]) -> str:
    """`name  value`, a line each, JSON where the value has parts."""
    wide = max(len(name) for name in it)
    return "\n".join(f"{name.ljust(wide)}  {_shown(value)}".rstrip() for name, value in it.items())


def _shown(value: Any) -> str:
    from swarmops.cli._output import one_line

    if value is None:
        return ""
    return one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _nothing(*_: object) -> None:
    pass
