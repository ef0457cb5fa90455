"""What a check can look at: one file a probe, found by its name."""
