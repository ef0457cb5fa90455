"""The way to Redis: connections, the two executors, clusters, and a server of our own where there is none."""
