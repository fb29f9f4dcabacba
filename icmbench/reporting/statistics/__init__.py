"""Bootstrap, intervals, curves and comparison sets."""
