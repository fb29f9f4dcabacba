"""Training of the networks of Diff-ICMH."""
