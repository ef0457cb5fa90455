"""Circuit breakers that everybody shares."""

from swarmops.runtime.breaker.room import VERBS, Breaker, Breakers, Limits, Open, Permit

__all__ = ["VERBS", "Breaker", "Breakers", "Limits", "Open", "Permit"]
