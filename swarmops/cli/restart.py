"""Restart services of a role or a host."""

from swarmops.cli._operate import control_command

command = control_command("restart")
