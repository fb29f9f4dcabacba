"""MPD: Markov palette diffusion (ACM MM 2023, arXiv 2410.06149)."""
