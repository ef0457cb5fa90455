"""Circuit breakers that everybody shares."""

from swarmops.runtime.breaker.records import VERBS, Breaker, Limits, Open, Permit
from swarmops.runtime.breaker.room import Breakers

__all__ = ["VERBS", "Breaker", "Breakers", "Limits", "Open", "Permit"]
