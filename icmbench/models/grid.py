"""Sizes that a plan needs of the latent's grid, without numpy."""

from __future__ import annotations

from typing import Final

CELL: Final = 8  # pixels of a latent cell's side
# Cells of a tile's side at most in published autoencoders, whose tiles differ from the whole
# image: 2048 pixels, 4.2 MP.
PUBLISHED_TILE: Final = 256
