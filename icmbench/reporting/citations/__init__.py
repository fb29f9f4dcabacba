"""References of what a run used, as BibTeX."""
