"""The desk: claims tasks for agents that speak WebSocket or plain HTTP, and keeps their leases while they live."""

from swarmops.gateways.desk.desk import Desk
from swarmops.gateways.desk.remote import Remote
from swarmops.gateways.desk.times import Times

__all__ = ["Desk", "Remote", "Times"]
