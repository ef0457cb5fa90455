"""Checks become one verdict."""
