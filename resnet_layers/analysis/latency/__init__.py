"""How long a network takes on this machine, before it is made."""
