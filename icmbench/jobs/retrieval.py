"""Patch retrieval on held-out scenes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from icmbench.core.devices import use_device
from icmbench.jobs.figures import save_figure
from icmbench.reporting.tables.csv_files import write_csv
from icmbench.studies.clusters import embedding_map, retrieval_table, retrieve


def retrieval(
    *,
    kinds: Sequence[str],
    scenes: int,
    patch: int,
    device: str,
    threads: int,
    model: Sequence[Path],
    table: Path,
    figures: Sequence[Path],
) -> None:
    """Tabulate the nearest-neighbour precision by class, and map the patches.

    Args:
        kinds: of clustering features.
        scenes: number of held-out scenes.
        patch: pixels a side of a patch.
        model: files of the model folder.
        table, figures: the files to write.
    """
    torch.set_num_threads(threads)
    folder = model[0].parent
    found = retrieve(folder, kinds, scenes=scenes, patch=patch, device=use_device(device))
    write_csv(retrieval_table(found), table)
    save_figure("embedding", embedding_map(found), figures)
