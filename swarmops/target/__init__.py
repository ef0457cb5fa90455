"""Runs on hosts. Python standard library only, 3.9 and later."""
