"""swarmops: from one inventory to a running, firewalled, meshed, backed-up fleet for AI agents."""

__version__ = "0.1.0"
