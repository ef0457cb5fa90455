"""The inventory: hosts, groups and variables as Ansible understands them, each value with the line that set it."""

from swarmops.model.inventory.reading import load
from swarmops.model.inventory.types import Group, Host, Inventory, Origin

__all__ = ["Group", "Host", "Inventory", "Origin", "load"]
