"""The data-set contract: names first, files per shard afterwards.

A data set lists its image ids cheaply (the workflow does so while it builds its plan) and then
provides the images of one shard in a folder of its own. Which shard an image belongs to depends on
its id alone, so adding images neither moves others nor changes the number of jobs.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from icmbench.core.errors import DatasetError
from icmbench.core.fetch_command import FETCHED
from icmbench.datasets.options import Option, option_values
from icmbench.datasets.records import Record
from icmbench.sources.catalogue import Source, find_source, known_sources
from icmbench.sources.completeness import missing_text


@dataclass(frozen=True)
class Megapixels:
    """Pixels of the images of a data set, in 10^6: mean and largest."""

    mean: float
    largest: float


@dataclass
class Annotations:
    """Annotations of a data set, in the formats of the field.

    Attributes:
        instances: COCO instances dictionary (boxes, masks, categories); every entry of `images`
            also has the key `image`, the id in the manifest. Empty: the data set has none.
        landmarks: image id -> list of faces, each with `landmarks` (68 or 98 pairs x, y in
            pixels, a pixel's centre at +0.5) and `bbox` (x, y, width, height).
        classes: names of the semantic classes, index = value in the maps.
        semantic: image id -> file of its semantic map, a single-channel PNG.
        ignore: value of the maps that is not judged.
        more: annotations for further kinds of answers (`icmbench.tasks.answers`), by kind; JSON
            types, paths of files as absolute text.
    """

    instances: dict[str, Any] = field(default_factory=dict)
    landmarks: dict[str, Any] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    semantic: dict[str, Path] = field(default_factory=dict)
    ignore: int = 255
    more: dict[str, Any] = field(default_factory=dict)


class Dataset(ABC):
    """A data set. Subclasses set `kind` and `options` and write three methods."""

    kind: ClassVar[str]
    options: ClassVar[Mapping[str, Option]] = {}
    annotated: ClassVar[bool] = False
    splits: ClassVar[bool] = False  # records state splits: of a training set, train is trained on
    outputs: tuple[Path, ...] = ()  # folders of the run's own files, which are no images of a set
    own_sources: Path | str | None = None  # YAML file of the run's further sources
    offline: bool = False  # of the run: errors say so

    def __init__(self, name: str, entry: Mapping[str, Any], downloads: Path) -> None:
        """`entry` is the configuration's entry without `type`; ConfigError for a wrong option.

        `downloads` is where fetched files lie: outside the run's results, which they outlive.
        """
        self.name = name
        self.downloads = downloads / name
        self.all_downloads = downloads
        self.values = option_values(f"data set {name!r}", self.options, entry)

    @functools.cached_property
    def megapixels(self) -> Megapixels:
        """Sizes of the images, by which disk space and memory are planned."""
        return self.planned_sizes()

    def planned_sizes(self) -> Megapixels:
        """Bounds of a kind of data set; one whose files lie at hand reads some of their headers."""
        return Megapixels(0.5, 0.5)

    def sources(self) -> tuple[str, ...]:
        """Names of the published sources that the files are from, the images' first; (): local."""
        return ()

    def fetched(self, source: str) -> Path:
        """Folder of a source; DatasetError, with the command that fetches it, if it is absent."""
        folder = self.all_downloads / source
        if not (folder / FETCHED).is_file():
            text = missing_text(self.source(source), self.all_downloads, offline=self.offline)
            raise DatasetError(f"data set {self.name!r}: {text}")
        return folder

    def source(self, name: str) -> Source:
        """A source of the run by name; ConfigError for an unknown one or a wrong file of them."""
        return find_source(name, known_sources(self.own_sources))

    @abstractmethod
    def image_ids(self) -> list[str]:
        """Sorted ids of all images; cheap: no pixel is read."""

    def notes(self) -> list[str]:
        """Sentences about the set for the terminal and the report: such as files left out."""
        return []

    def fingerprint(self, image_ids: Sequence[str]) -> str:
        """A text that changes when the images of these ids change; '' where they never do."""
        return ""

    @abstractmethod
    def provide(self, image_ids: Sequence[str], folder: Path) -> list[Record]:
        """Make the images available, writing into `folder` where needed; one record each.

        A broken image is a record whose status says so. DatasetError is for what makes the whole
        data set unusable.
        """

    def merge_annotations(self, folder_of: Mapping[str, Path]) -> Annotations:
        """Annotations of all images, from the shard folders that `provide` filled."""
        return Annotations()
