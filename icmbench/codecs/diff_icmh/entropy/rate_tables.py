"""The integer tables of a trained codec: made once, then part of the model."""

from __future__ import annotations

from pathlib import Path

from icmbench.bitstream.tables import gaussian_tables
from icmbench.codecs.diff_icmh.networks.lfgcm import build_lfgcm
from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
from icmbench.core.files import sha256_file
from icmbench.models.entropy_tables import prior_tables
from icmbench.models.tensors import fill_network, load_network, save_arrays


def write_tables(path: Path, codec: Path) -> None:
    """Write `tables.safetensors` for the codec of a file."""
    state, metadata = load_network(codec)
    lfgcm = build_lfgcm(LfgcmSettings.read(metadata["network"]), seed=0)
    fill_network(lfgcm, state, codec)
    arrays = {
        **gaussian_tables().to_arrays("y"),
        **prior_tables(lfgcm.entropy_bottleneck).to_arrays("z"),
    }
    save_arrays(path, arrays, {"codec": sha256_file(codec)})
