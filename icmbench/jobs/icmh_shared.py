"""Weight files that the model folders of Diff-ICMH share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from icmbench.core.files import write_bytes


def icmh_shared(
    *, autoencoder: Path, prior: Path, tagger: Path, shared: Path, variants: Sequence[Path]
) -> None:
    """Copy the autoencoder into the model folder, and all three files into every variant's.

    Args:
        shared: the autoencoder in the model folder.
        variants: autoencoder, prior and tagger of every variant, in this order.
    """
    write_bytes(shared, autoencoder.read_bytes())
    for source, target in zip(itertools.cycle((autoencoder, prior, tagger)), variants):
        write_bytes(target, source.read_bytes())
