"""Roles and templates become one Plan per host. Pure: nothing here contacts a host."""
