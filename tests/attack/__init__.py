"""Seeded attacks, each bounded; `python -m pytest tests/attack -m slow -s` prints their figures."""
