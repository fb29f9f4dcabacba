"""Training of the networks and tables of MPD."""
