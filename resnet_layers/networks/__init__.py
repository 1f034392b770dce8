"""Whole networks: the model, the table of variants, and what is worked out from a row."""
