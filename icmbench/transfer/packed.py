"""Run that only decodes: the streams of a file that `icmbench unpack` unpacked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icmbench.config.braces import without_braces
from icmbench.config.load import complete
from icmbench.config.models import given_files, model_name, models_folder, unit_settings
from icmbench.core.errors import ConfigError
from icmbench.core.files import sha256_file
from icmbench.evaluation.shard import CodecEntry
from icmbench.evaluation.units import specs_on
from icmbench.reporting.report.provenance import provenance
from icmbench.transfer.bundle import ABOUT, PICTURES, write_bundle
from icmbench.transfer.results import Unit, chosen_units, codec_entries


@dataclass(frozen=True)
class PackedRun:
    """Values of `rules/packed.smk`, from the configuration of an unpacked folder.

    Attributes:
        config: complete configuration; `results` is the folder of `icmbench unpack`.
        codecs: codec entries by name.
        units: units of work to decode, sorted.
    """

    config: Mapping[str, Any]
    codecs: Mapping[str, CodecEntry]
    units: tuple[Unit, ...]

    def files(self, folder: str, suffix: str) -> list[str]:
        """Paths of the files of all units in a folder of the results."""
        return [f"{self.config['results']}/{unit.member(folder, suffix)}" for unit in self.units]

    def settings(self, dataset: str, codec: str) -> dict[str, Any]:
        """Arguments of `make_codec_entry` for a unit."""
        return unit_settings(self.config, dataset, self.codecs[codec])

    def model_files(self, codec: str) -> list[str]:
        """Paths of the model files that a codec entry needs."""
        name = model_name(self.config, codec)
        home = models_folder(self.config)
        return [str(path) for path in given_files(home / name)] if name else []


def packed_run(config: Mapping[str, Any]) -> PackedRun:
    """Validate the configuration of an unpacked file.

    The folder is taken relative to the working directory where its own path holds braces, which
    Snakemake takes for wildcards, and the relative one does not.

    Raises ConfigError where it is wrong, its folder is not one that `icmbench unpack` made, or is
    out of Snakemake's reach.
    """
    filled = complete(config)
    filled["results"] = without_braces("results", filled["results"])
    folder = Path(filled["results"])
    if not (folder / ABOUT).is_file():
        raise ConfigError(
            f"{folder / ABOUT}: no such file; packed: true is for a folder of `icmbench unpack`, "
            "and results says where it lies"
        )
    units = chosen_units(filled)
    run = PackedRun(filled, codec_entries(filled, units), tuple(units))
    for unit in units:
        specs_on(filled, unit.dataset, run.codecs[unit.family])  # a grid may match no point
    return run


def pack_pictures(config: Mapping[str, Any], out: Path, root: Path) -> None:
    """Pack reconstructions and status tables with the provenance of their decoding.

    Args:
        config: of the `PackedRun`; all its units are decoded.
        root: the working copy, for the provenance.
    """
    folder = Path(config["results"])
    kinds = (("decoded", ".csv"), ("reconstructions", ".zip"))
    units = chosen_units(config)
    names = [unit.member(kind, suffix) for unit in units for kind, suffix in kinds]
    # Digests of the decoded streams: `verify` checks that they are still those of the run.
    streams = [unit.member("streams", suffix) for unit in units for suffix in (".zip", ".csv")]
    about = {
        "streams": {name: sha256_file(folder / name) for name in streams},
        "provenance": provenance(config, root),
    }
    write_bundle(out, PICTURES, about, {name: folder / name for name in names})
