"""Palettes of MPD: hierarchical clustering, plans of the states, rate-distortion optimisation."""
