"""Networks understood: what they cost and how far they see."""
