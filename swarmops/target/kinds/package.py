"""The same as apt, under the name Ansible has for any distribution's packages."""

from swarmops.target.kinds.apt import ARGS, SHORT, fix, makes, prefetch, read, want

__all__ = ["ARGS", "SHORT", "fix", "makes", "prefetch", "read", "want"]
