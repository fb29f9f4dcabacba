"""Columns and stages of the complexity table, which `icmbench.studies.complexity` fills."""

from __future__ import annotations

from typing import Final

COLUMNS: Final = (
    "model", "part", "stage", "parameters", "gmac", "seconds", "peak_mb", "device", "size",
)  # fmt: skip
SIZE: Final = 512  # pixels a side
STEPS: Final = (8, 50)  # sampling steps that are counted; the first is also measured
GUIDED: Final = 2  # network evaluations of a step: with the tags and without
PUBLISHED: Final = "published"

# Stages by the side that runs them, in order.
ENCODING: Final = ("latent", "tags", "analysis", "entropy encoding")
SAMPLING_STEP: Final = "sampling step"
SAMPLING: Final = f"sampling, {STEPS[0]} steps"
DECODING: Final = ("entropy decoding", "synthesis", SAMPLING, "picture")
ENCODE: Final = "encode"
DECODE: Final = f"decode, {STEPS[0]} steps"
ALL: Final = "all"
