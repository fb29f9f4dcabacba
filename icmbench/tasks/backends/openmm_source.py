"""Published checkpoints of mmdet and mmseg as sources, with the address from the package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from icmbench.core.errors import TaskError
from icmbench.sources.catalogue import Source, SourceFile, named_digits
from icmbench.tasks.backends.openmm import published_weights

LICENCE: Final = "Apache-2.0 (OpenMMLab); licence of the data that it was trained on"
PROJECTS: Final = {"mmdet": "mmdetection", "mmseg": "mmsegmentation"}


def chosen_source(package: str, config: str, known: Mapping[str, Source]) -> Source:
    """As `published_source`, unless a list of sources has one of its own for the checkpoint."""
    own = known.get(f"{package}-{config}")
    return own or published_source(package, config)


def published_source(package: str, config: str) -> Source:
    """Source of the checkpoint that a library publishes for a configuration of a model.

    The first digits of its sha256 are those of the file name, where it has some.

    Raises TaskError for an unknown configuration and for one without published weights.
    """
    url = published_weights(package, config)
    if not url:
        raise TaskError(f"{package}: no weights are published for {config}")
    name = url.rpartition("/")[2]
    file = SourceFile(name, (url,), sha256=named_digits(name))
    homepage = f"https://github.com/open-mmlab/{PROJECTS[package]}"
    title = f"{config} of {package}"
    return Source(f"{package}-{config}", title, LICENCE, homepage, (file,))
