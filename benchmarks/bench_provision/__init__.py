"""The parts of benchmarks/provision.py."""
