"""Studies: claims about residual networks, tried with several seeds."""
