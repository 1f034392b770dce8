"""Mutations of the package, each of which some test must notice: `python -m tests.mutations`."""
