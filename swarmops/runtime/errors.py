"""What can go wrong, one class each, one sentence each.

SwarmError
├── Unavailable        Redis cannot be used now; `kind` says why    (exit code 3: nobody answered; 1: it said no)
│   └── NotReplicated  written, but too few replicas said so in time
├── Misconfigured      this Redis must not hold coordination data                   (exit code 2)
├── Invalid            what the caller gave is wrong; nothing was sent              (exit code 2)
│   └── TooLarge  Several
└── Refused            Redis looked and said no; nothing was changed                (exit code 1)
    ├── NotFound  Exists  Full  Conflict  Illegal  Stale  LeaseLost  Forbidden  Corrupt  Late
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

# Kinds of Unavailable in which nobody was there to answer. All others were told by somebody, who said no.
SILENT = frozenset({"refused", "timeout", "name", "closed", "loading", "sentinel", "cluster", "moved", "away"})


class SwarmError(Exception):
    """The root of all errors of the runtime. `exit_code` is what a command ends with."""

    exit_code: int = 1

    def lines(self) -> list[str]:
        """For people: one sentence for each thing that is wrong."""
        return [str(self)]


class Unavailable(SwarmError):
    """Redis cannot be used now.

    kind: refused (nobody listens), timeout, name (no such host), certificate, tls, login (wrong user or password),
    permission, loading, readonly, disk, memory, replicas, closed (the connection broke), cluster, protocol.
    unsent: the command certainly did not run. exit_code: 3 where nobody answered, 1 where somebody said no.
    """

    def __init__(self, kind: str, sentence: str, *, unsent: bool = False):
        self.kind, self.unsent = kind, unsent
        self.exit_code = 3 if kind in SILENT else 1
        super().__init__(sentence)


class NotReplicated(Unavailable):
    """Done on the master, but fewer replicas than asked for confirmed it in time: a failover may lose it."""

    def __init__(self, got: int, wanted: int):
        super().__init__("replicas", f"{got} of {wanted} replicas confirmed the write in time")


class Misconfigured(SwarmError):
    """This Redis must not hold coordination data, for instance because it evicts keys (X-04)."""

    exit_code = 2


class Invalid(SwarmError):
    """What the caller gave is wrong. `path` names the field. Nothing was sent."""

    exit_code = 2

    def __init__(self, path: str, sentence: str):
        self.path = path
        super().__init__(f"{path}: {sentence}" if path else sentence)


class TooLarge(Invalid):
    """Over a limit in bytes."""


class Several(Invalid):
    """More than one thing is wrong: a sentence for each, with its path."""

    def __init__(self, sentences: Sequence[str]):
        self.sentences = list(sentences)
        super().__init__("", "\n".join(self.sentences))

    def lines(self) -> list[str]:
        return self.sentences


class Refused(SwarmError):
    """Redis looked and said no. Nothing was changed."""

    code: ClassVar[str] = "REFUSED"


class NotFound(Refused):
    """There is no such thing."""

    code = "NOTFOUND"


class Exists(Refused):
    """There is one already."""

    code = "EXISTS"


class Full(Refused):
    """A bound is reached. What was there before is kept."""

    code = "FULL"


class Conflict(Refused):
    """Somebody else changed it first."""

    code = "CONFLICT"


class Illegal(Refused):
    """Not allowed from the state it is in."""

    code = "ILLEGAL"


class Stale(Refused):
    """The fencing token is not the newest: somebody else leads now."""

    code = "STALE"


class LeaseLost(Refused):
    """The task was given to somebody else meanwhile."""

    code = "LEASELOST"


class Forbidden(Refused):
    """Not the caller's."""

    code = "FORBIDDEN"


class Corrupt(Refused):
    """What was stored is not what comes back."""

    code = "CORRUPT"


class Late(Refused):
    """The deadline passed."""

    code = "LATE"


_REFUSALS: tuple[type[Refused], ...] = (Refused, *Refused.__subclasses__())
BY_CODE: dict[str, type[Refused]] = {c.code: c for c in _REFUSALS}
