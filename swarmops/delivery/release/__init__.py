"""Releases: wheels by hash, chosen once for each kind of host, brought to hosts that lack them."""

from swarmops.delivery.release.plans import Files, ask, check, fill, lacking, locks, prepare, steps_of

__all__ = ["Files", "ask", "check", "fill", "lacking", "locks", "prepare", "steps_of"]
