"""Moved to flow.py."""

from swarmops.runtime.flow import Batch, Steps, drive_async, drive_sync, flow, is_async

__all__ = ["Batch", "Steps", "drive_async", "drive_sync", "flow", "is_async"]
