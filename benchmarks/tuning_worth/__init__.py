"""What a search is worth: `python -m benchmarks.tuning_worth`."""
