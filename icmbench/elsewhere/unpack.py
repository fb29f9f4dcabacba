"""Unpacking on the other machine: a folder with streams, models and the configuration to run."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import yaml

from icmbench.elsewhere.bundle import STREAMS, open_bundle
from icmbench.elsewhere.pack import decoding_config
from icmbench.errors import MeasurementError
from icmbench.files import temporary_beside

CONFIG = "config.yaml"
_HEAD = """# Written by `icmbench unpack`. To decode, from the root of the repository:
#   snakemake --cores all --configfile {path}
"""


def unpack_streams(file: Path, folder: Path) -> Path:
    """Unpack a file of `pack_streams` into a new folder; the path of its config.yaml.

    The folder appears when it is complete. Raises MeasurementError naming the file where it is
    damaged or not one, or the folder where it is there and not empty.
    """
    folder = folder.absolute()
    with open_bundle(file, STREAMS) as bundle, _new_folder(folder) as temporary:
        bundle.extract(temporary)
        config = yaml.safe_dump(decoding_config(bundle.about, folder), sort_keys=False)
        head = _HEAD.format(path=folder / CONFIG)
        (temporary / CONFIG).write_text(head + config, encoding="utf-8")
    return folder / CONFIG


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` if the block succeeds, and vanishes otherwise."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MeasurementError(f"{folder}: it is there already; unpack into a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(folder)
    temporary.mkdir()
    try:
        yield temporary
        os.rename(temporary, folder)  # onto nothing, or onto an empty folder
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
