"""What a backup can keep: one file a source, found by its name."""
