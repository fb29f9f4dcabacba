"""Unpacking on the other machine: a folder with streams, models and the configuration to run."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from icmbench.core.errors import MeasurementError
from icmbench.core.files import temporary_beside
from icmbench.transfer.bundle import STREAMS, Bundle, open_bundle
from icmbench.transfer.foreign import check_members, decoding_config

CONFIG = "config.yaml"
_HEAD = """# Written by `icmbench unpack`. To decode, from the root of the repository:
#   {command}
"""


def decoding_command(config: Path) -> str:
    """The command that decodes what was unpacked, for a shell: `config` is its configuration."""
    return f"snakemake -s rules/packed.smk --cores all --configfile {shlex.quote(str(config))}"


def unpack_streams(file: Path, folder: Path) -> Path:
    """Unpack a file of `pack_streams` into a new folder; the path of its config.yaml.

    The folder is created when it is complete. Only streams, models and the keys of
    `foreign.decoding_config` are taken from the file. Raises MeasurementError naming the file where
    it is damaged, is another kind of file, or contains anything else, and for a folder that exists
    and is not empty.
    """
    folder = folder.absolute()
    with open_bundle(file, STREAMS) as bundle:
        settings = decoding_config(file, bundle.about, folder)
        check_members(file, settings, bundle.names)
        with _new_folder(folder) as temporary:
            _fill(temporary, bundle, settings, folder)
    return folder / CONFIG


def _fill(temporary: Path, bundle: Bundle, settings: Mapping[str, Any], folder: Path) -> None:
    bundle.extract(temporary)
    head = _HEAD.format(command=decoding_command(folder / CONFIG).replace("\n", "\n# "))
    text = head + yaml.safe_dump(dict(settings), sort_keys=False)
    (temporary / CONFIG).write_text(text, encoding="utf-8")


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
