"""Which variables of the environment say what, and what is wrong with them (S3-53, S4-12, S4-17, case 52)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from swarmops.runtime.errors import Invalid, Several
from swarmops.runtime.ids import name

YEARS = 10 * 365 * 86400
# field -> the least and the most of it
LIMITS: dict[str, tuple[float, float]] = {
    "port": (1, 65535),
    "db": (0, 1_000_000),
    **dict.fromkeys(("connect_timeout", "timeout", "wait_timeout", "heartbeat", "lease", "swarm_ttl"), (0.01, YEARS)),
    "snapshot_interval": (0.05, YEARS),
    "patience": (0, 86400),
    "connections": (1, 10_000),
    "wait_replicas": (0, 100),
    "swarm_max": (1, 1_000_000),
    "suspect_after": (1, 1000),
}


def boolean(text: str) -> bool:
    """Raises ValueError."""
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("is neither true nor false")


def file_text(path: str) -> str:
    """What is in a file, without the end of its last line. Raises Invalid."""
    try:
        return Path(path).read_text().rstrip("\n")
    except OSError as e:
        raise Invalid(str(path), e.strerror or str(e)) from None
    except UnicodeDecodeError:
        raise Invalid(str(path), "is not text") from None


def _namespace(text: str) -> str:
    return name(text, "")


def _whole(text: str) -> int:
    return _read(int, text, "a whole number")


def _seconds(text: str) -> float:
    return _read(float, text, "a number of seconds")


def _ms(text: str) -> float:
    return _read(float, text, "a number of milliseconds") / 1000


def _read(kind: Callable[[str], Any], text: str, what: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"is not {what}") from None


# Later ones win. The words of the sources (S3-53, S4-12, S4-17) and ours.
ENVIRONMENT: dict[str, tuple[str, Callable[[str], Any]]] = {
    "AUTOBOT_REDIS_HOST": ("host", str),
    "AUTOBOT_REDIS_PORT": ("port", _whole),
    "AUTOBOT_REDIS_PASSWORD": ("password", str),
    "REDIS_HOST": ("host", str),
    "REDIS_PORT": ("port", _whole),
    "REDIS_DB": ("db", _whole),
    "REDIS_USERNAME": ("username", str),
    "REDIS_PASSWORD": ("password", str),
    "REDIS_PASSWORD_FILE": ("password", file_text),
    "REDIS_SSL": ("tls", boolean),
    "REDIS_TLS": ("tls", boolean),
    "REDIS_CA": ("ca", str),
    "REDIS_CERT": ("cert", str),
    "REDIS_KEY": ("key", str),
    "SWARMOPS_NAMESPACE": ("namespace", _namespace),
    "SWARMOPS_PATIENCE": ("patience", _seconds),
    "SWARMOPS_WAIT_REPLICAS": ("wait_replicas", _whole),
    "SWARMOPS_LEASE": ("lease", _seconds),
    "SWARM_MAX_COUNT": ("swarm_max", _whole),
    "SWARM_TTL": ("swarm_ttl", _seconds),
    "HEARTBEAT_INTERVAL": ("heartbeat", _ms),
    "SNAPSHOT_INTERVAL": ("snapshot_interval", _ms),
}
URLS = ("SWARMOPS_REDIS_URL", "REDIS_URL")  # the first one counts
PLACES = (*URLS, "REDIS_HOST", "AUTOBOT_REDIS_HOST")  # with one of these the environment names a Redis
PACE = tuple(v for v in ENVIRONMENT if v.startswith(("SWARM", "HEARTBEAT", "SNAPSHOT")))  # not which Redis, but how


def fields_of(
    env: Mapping[str, str], from_url: Callable[[str], dict[str, Any]], only: Sequence[str] = ()
) -> dict[str, Any]:
    """Fields of Settings by what variables say of them, only those of `only` if there are any.

    from_url: fields by a URL. Raises Invalid: all faults at once, each with its variable.
    """
    found: dict[str, Any] = {}
    faults: list[str] = []
    if not only and (variable := next((v for v in URLS if env.get(v)), "")):
        try:
            found.update(from_url(env[variable]))
        except Invalid as e:
            faults.append(f"{variable}: {str(e).removeprefix('url: ')}")
    for variable, (which, read) in ENVIRONMENT.items():
        if (text := env.get(variable)) and (not only or variable in only):
            try:
                found[which] = _within(which, read(text), 1000 if read is _ms else 1)
            except Invalid as e:
                faults.append(f"{variable}: {e}")
            except ValueError as e:
                faults.append(f"{variable}: {text[:80]!r} {e}")
    if bool(found.get("cert")) != bool(found.get("key")) and not faults:
        faults.append("REDIS_CERT and REDIS_KEY: a client certificate needs both")
    if faults:
        raise Several(faults)
    return found


def _within(which: str, value: Any, scale: int) -> Any:
    """`value`, if it is not too little or too much. Raises ValueError, in the unit of its variable."""
    low, high = LIMITS.get(which, (0, 0))
    if which in LIMITS and not low <= value <= high:
        raise ValueError(f"is not from {low * scale:.12g} to {high * scale:.12g}")
    return value
