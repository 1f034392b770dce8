"""How long variants take on this machine, and how near `predict_latency` comes."""
