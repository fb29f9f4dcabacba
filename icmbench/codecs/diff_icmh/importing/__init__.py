"""Import of published checkpoints of Diff-ICMH, every tensor accounted for."""
