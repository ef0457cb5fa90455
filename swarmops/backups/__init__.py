"""Backups that are proved restorable."""
