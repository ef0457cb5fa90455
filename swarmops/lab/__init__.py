"""Real hosts on this machine: systemd-nspawn guests in a network namespace of their own."""

from swarmops.lab.files import labs
from swarmops.lab.guest import Guest, guests_of
from swarmops.lab.lab import Lab
from swarmops.lab.machine import CannotRun, LabError, missing

__all__ = ["CannotRun", "Guest", "Lab", "LabError", "guests_of", "labs", "missing"]
