"""Entropy coding of Diff-ICMH: models, integer tables, symbols, the sections of a stream."""
