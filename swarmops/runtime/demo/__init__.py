"""The demonstration: a swarm at work on a Redis of its own, with a worker and a leader killed on the way (S3-65)."""
