"""What a task can ask for: one file a kind, found by its name. See docs/kinds.md for the contract."""
