"""How fast exported networks are: `python -m benchmarks.serving`."""
