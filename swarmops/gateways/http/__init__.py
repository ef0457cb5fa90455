"""The coordinator's HTTP door: REST, WebSocket and event streams on one port. See docs/api.md."""
