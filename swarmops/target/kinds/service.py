"""The same as systemd, under the name Ansible has for any service manager."""

from swarmops.target.kinds.systemd import ARGS, SHORT, fix, prefetch, read, want

__all__ = ["ARGS", "SHORT", "fix", "prefetch", "read", "want"]
