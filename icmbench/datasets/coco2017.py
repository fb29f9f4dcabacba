"""`coco2017`: the 5000 images of COCO val2017, for testing only, downloaded or from local files."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path

from icmbench.core.errors import DatasetError
from icmbench.core.files import write_bytes
from icmbench.core.progress import progress
from icmbench.datasets.base import Option, Record
from icmbench.datasets.coco import ERROR, MISSING_HELP, Coco
from icmbench.datasets.download import download

IMAGE_URL = "http://images.cocodataset.org/val2017/{image}"
ANNOTATIONS_URL = "http://images.cocodataset.org/annotations/annotations_trainval2017.zip"
MEMBER = "annotations/instances_val2017.json"

# COCO publishes no checksums. This one, of the 241 MB archive, stands in the download scripts of
# GluonCV and of many others.
ANNOTATIONS_SHA1 = "8551ee4bb5860311e79dace7e79cb91e432e78b3"
NOTE = "no checksum is published; of the size that the annotations say"


class Coco2017(Coco):
    """5000 photographs with the boxes and masks of 80 categories.

    What is not given is downloaded: the annotations as soon as the images are listed, that is while
    the workflow makes its plan, since the ids stand in them; the images one by one by the shard
    that needs them, so that `limit` and shards fetch no more than their own.
    """

    kind = "coco2017"
    options = {
        "path": Option(str, help="the folder val2017; left out: download its images"),
        "annotations": Option(str, help="instances_val2017.json; left out: download it"),
        "url": Option(str, default=IMAGE_URL, help="address with {image} in it"),
        "annotations_url": Option(str, default=ANNOTATIONS_URL, help="address of the archive"),
        "missing": Option(str, default=ERROR, help=MISSING_HELP),
        "limit": Option(int, low=1, help="take only the first images, in sorted order"),
        "licence": Option(str, default="", help="for all images; left out: as the file says"),
    }

    def _instance_files(self) -> list[Path]:
        if self.values["annotations"]:
            return [Path(self.values["annotations"]).expanduser()]
        target = self.downloads / Path(MEMBER).name
        if not target.exists():
            self._fetch_annotations(target)
        return [target]

    def _fetch_annotations(self, target: Path) -> None:
        url = self.values["annotations_url"]
        archive = download(url, self.downloads / "annotations.zip", sha1=ANNOTATIONS_SHA1)
        with zipfile.ZipFile(archive) as members:
            write_bytes(target, members.read(MEMBER))

    def _folder(self) -> Path:
        return super()._folder() if self.values["path"] else self.downloads / "val2017"

    def _files(self) -> dict[str, Path]:
        if self.values["path"]:
            return super()._files()
        root = self._folder()
        return {name: root / entry["file_name"] for name, entry in self._listed().items()}

    def fingerprint(self, image_ids: Sequence[str]) -> str:
        """As of `coco`; images that are downloaded never change."""
        return super().fingerprint(image_ids) if self.values["path"] else self._instances_state()

    def provide(self, image_ids: Sequence[str], folder: Path) -> list[Record]:
        """Download missing files (resumable) and read every image once.

        Raises DatasetError, naming the address, where what came is no image or is of another size
        than the annotations say; it is removed, so that the next run fetches it again.
        """
        if self.values["path"]:
            return super().provide(image_ids, folder)
        files, listed = self._files(), self._listed()
        url = {i: self.values["url"].replace("{image}", listed[i]["file_name"]) for i in image_ids}
        for image_id in progress(image_ids, desc=f"{self.name}: fetching", unit="image"):
            download(url[image_id], files[image_id])
        records = super().provide(image_ids, folder)
        for record in records:
            entry = listed[record.image]
            wrong = (record.width, record.height) != (entry["width"], entry["height"])
            if record.status != "ok" or wrong:
                files[record.image].unlink()
                found = f"{record.width}x{record.height} ({record.status})"
                raise DatasetError(
                    f"{url[record.image]}: {found}, expected an image of "
                    f"{entry['width']}x{entry['height']}"
                )
        return [self._fetched(record, url[record.image]) for record in records]

    @staticmethod
    def _fetched(record: Record, url: str) -> Record:
        note = "; ".join(filter(None, (record.note, NOTE)))
        return dataclasses.replace(record, source=url, note=note)
