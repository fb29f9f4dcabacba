"""`coco2017`: COCO 2017, its val for testing only and its train for training only."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import ConfigError
from icmbench.datasets.coco import ERROR, MISSING_HELP, Coco, file_state
from icmbench.datasets.coco_format import read_images
from icmbench.datasets.coco_more import READERS
from icmbench.datasets.options import Option
from icmbench.datasets.records import Record

ANNOTATIONS: Final = "coco2017-annotations"
PANOPTIC: Final = "coco2017-panoptic"
FILE_NAMES: Final = {"keypoints": "person_keypoints"}
SPLITS: Final = ("val", "train")


class Coco2017(Coco):
    """Photographs with the boxes and masks of 80 categories: 5000 of val, 118287 of train.

    The image ids stand in the annotations: a plan needs them on disk, or `annotations`. The images
    are fetched by the workflow (rule `download`), or lie in `path`.
    """

    kind = "coco2017"
    splits = True
    options = {
        "split": Option(str, default="val", help="val (test data) or train (training data)"),
        "path": Option(str, help="folder val2017 or train2017; left out: fetched images"),
        "annotations": Option(str, help="instances file of the split; left out: fetched"),
        "more": Option(
            list, default=[], help="further annotations to take: captions, keypoints, panoptic"
        ),
        "missing": Option(str, default=ERROR, help=MISSING_HELP),
        "limit": Option(int, low=1, help="take only the first images, in sorted order"),
        "licence": Option(str, default="", help="for all images; left out: as the file says"),
    }

    def __init__(self, name: str, entry: Mapping[str, Any], downloads: Path) -> None:
        super().__init__(name, entry, downloads)
        if (split := self.values["split"]) not in SPLITS:
            raise ConfigError(f"data set {name!r}: split: {split} is neither val nor train")
        for kind in self.values["more"]:
            if kind not in READERS:
                raise ConfigError(
                    f"data set {name!r}: more: {kind!r} is none of {', '.join(READERS)}"
                )

    @property
    def _images(self) -> str:
        """Source of the images."""
        return f"coco2017-{self.values['split']}"

    def sources(self) -> tuple[str, ...]:
        """Images and annotations, without what is local."""
        images = [] if self.values["path"] else [self._images]
        local = self.values["annotations"] and not {"captions", "keypoints"} & {
            *self.values["more"]
        }
        panoptic = [PANOPTIC] if "panoptic" in self.values["more"] else []
        return (*images, *([] if local else [ANNOTATIONS]), *panoptic)

    def _instance_files(self) -> list[Path]:
        if self.values["annotations"]:
            return [Path(self.values["annotations"]).expanduser()]
        return [self._annotations("instances")]

    def _more_files(self) -> dict[str, Path]:
        """Fetched annotation files, by kind."""
        split = f"{self.values['split']}2017"
        found = {}
        for kind in self.values["more"]:
            if kind == "panoptic":
                found[kind] = self.fetched(PANOPTIC) / "annotations" / f"panoptic_{split}.json"
            else:
                found[kind] = self._annotations(FILE_NAMES.get(kind, kind))
        return found

    def _annotations(self, kind: str) -> Path:
        """A fetched annotation file of the split."""
        folder = self.fetched(ANNOTATIONS) / "annotations"
        return folder / f"{kind}_{self.values['split']}2017.json"

    def _catalogue(self) -> dict[str, Any]:
        """Images of the captions: the same as of the instances, in a fifth of the bytes.

        Every job of the workflow reads them when it starts.
        """
        if self.values["annotations"]:
            return super()._catalogue()
        path = self._annotations("captions")
        return _images(path, file_state(path))

    def _folder(self) -> Path:
        if self.values["path"]:
            return super()._folder()
        return self.all_downloads / self._images / f"{self.values['split']}2017"

    def _files(self) -> dict[str, Path]:
        """Files of the images, which may not be fetched yet."""
        if self.values["path"]:
            return super()._files()
        root = self._folder()
        return {name: root / entry["file_name"] for name, entry in self._listed().items()}

    def fingerprint(self, image_ids: Sequence[str]) -> str:
        """As of `coco`; fetched images never change."""
        return super().fingerprint(image_ids) if self.values["path"] else self._instances_state()

    def provide(self, image_ids: Sequence[str], folder: Path) -> list[Record]:
        """Read every image once; DatasetError where the images are not fetched."""
        if not self.values["path"]:
            self.fetched(self._images)
        split = "train" if self.values["split"] == "train" else "test"
        records = super().provide(image_ids, folder)
        return [dataclasses.replace(record, split=split) for record in records]


@functools.lru_cache(maxsize=2)
def _images(path: Path, state: tuple[int, int]) -> dict[str, Any]:
    """`images` and `licenses` of a file; `state`: of its content."""
    return read_images(path)
