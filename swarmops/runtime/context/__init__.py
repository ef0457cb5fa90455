"""What agents share: contexts, memory shards, findings, syntheses; a site and its centre."""
