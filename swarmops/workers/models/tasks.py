"""Manners of handlers: what can never work fails at once with its sentence, what is too much comes back later."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from swarmops.runtime.errors import Corrupt, Full, Invalid, NotFound
from swarmops.runtime.worker import Fatal, Retry

LATER = 1.0  # seconds until what found no room comes back


def plain(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """`function` as a handler. Mistakes in the arguments are Fatal, without a traceback; so is what is not there."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    async def handler(*args: Any, **kwargs: Any) -> Any:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as e:
            raise Fatal(f"args: {e}") from None
        try:
            return await function(*args, **kwargs)
        except (Invalid, NotFound, Corrupt) as e:
            raise Fatal(str(e)) from None
        except Full as e:
            raise Retry(LATER, str(e)) from None

    return handler
