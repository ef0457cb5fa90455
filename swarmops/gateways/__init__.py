"""Doors into the swarm for those who are outside: HTTP for programs, a page for people."""
