"""Diff-ICMH (NeurIPS 2025, arXiv 2511.22549): a learned codec that decodes by diffusion."""
