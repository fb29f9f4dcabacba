"""The classes of diffusers that the two codecs are built of.

diffusers loads transformers, torchvision and SciPy for its pipelines and schedulers, which nothing
here uses: two fifths of the seconds that importing its networks takes, in every job and every
process of a codec.
"""

from __future__ import annotations

from icmbench.imports import as_if_missing

SELDOM = ("transformers", "torchvision", "scipy")

with as_if_missing(SELDOM):
    from diffusers import AutoencoderKL, UNet2DConditionModel, UNet2DModel
    from diffusers.models.embeddings import TimestepEmbedding, Timesteps
    from diffusers.models.upsampling import Upsample2D

__all__ = [
    "AutoencoderKL",
    "TimestepEmbedding",
    "Timesteps",
    "UNet2DConditionModel",
    "UNet2DModel",
    "Upsample2D",
]
