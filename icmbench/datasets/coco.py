"""`coco`: images in a folder, with instance annotations in COCO's format."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import ConfigError, DatasetError
from icmbench.datasets.base import Annotations
from icmbench.datasets.coco_format import read_instances
from icmbench.datasets.coco_more import READERS
from icmbench.datasets.folder import Folder
from icmbench.datasets.options import Option
from icmbench.datasets.records import Record
from icmbench.datasets.sizes import read_sizes, turned_text

ERROR: Final = "error"
SKIP: Final = "skip"
MISSING_HELP: Final = (
    "error, or skip: leave out listed images that are not in the folder, for a subset of COCO's "
    "images; annotations of present images are unchanged"
)


class Coco(Folder):
    """Any data set in COCO's format; images are read in place, not copied.

    The images of the set are those listed under `images` in the instances file; other images of
    the folder are ignored. A listed image without annotations belongs to the set: every detection
    in it is a false positive. The image id is the listed file name with `/` replaced by `+`.

    `masks` names a second instances file of the same images, for data sets whose boxes and masks
    are published in separate files. For images that it lists, its annotations replace those of
    `annotations`; images that it does not list keep theirs, usually boxes without masks. Masks are
    scored only if every object has one: for a mask metric over a subset, give the file of masks as
    `annotations` instead.

    A listed image that is not in the folder is an error. With `missing: skip` it is left out; the
    number of skipped images is logged and stated in the report.
    """

    kind = "coco"
    annotated = True
    options = {
        **Folder.options,
        "annotations": Option(str, required=True, help="instances file, such as COCO's own"),
        "masks": Option(str, help="second instances file, preferred where it lists an image"),
        "captions": Option(str, help="captions file of the same images, for retrieval"),
        "keypoints": Option(str, help="person keypoints file of the same images, for pose"),
        "panoptic": Option(
            str, help="panoptic file of the same images; maps in the folder of its name"
        ),
        "missing": Option(str, default=ERROR, help=MISSING_HELP),
        "licence": Option(
            str, default="", help="for all images; default: each image's licence in the file"
        ),
    }

    def __init__(self, name: str, entry: Mapping[str, Any], downloads: Path) -> None:
        super().__init__(name, entry, downloads)
        if (missing := self.values.get("missing", ERROR)) not in (ERROR, SKIP):
            raise ConfigError(
                f"data set {name!r}: missing: {missing} is neither {ERROR} nor {SKIP}"
            )
        if missing == SKIP and not self.values["path"]:
            raise ConfigError(
                f"data set {name!r}: missing: {SKIP} needs path: otherwise images are downloaded"
            )

    def _instance_files(self) -> list[Path]:
        """The instances files; the annotations of a later one are preferred."""
        given = (self.values["annotations"], self.values["masks"])
        return [Path(path).expanduser() for path in given if path]

    def _more_files(self) -> dict[str, Path]:
        """Files of further annotations, by kind."""
        given = {kind: self.values[kind] for kind in READERS}
        return {kind: Path(path).expanduser() for kind, path in given.items() if path}

    def _folder(self) -> Path:
        """Folder of the images."""
        return Path(self.values["path"]).expanduser()

    def _instances(self) -> dict[str, Any]:
        """Instances of the whole set. Cached: callers must not modify them."""
        return _load(tuple((path, file_state(path)) for path in self._instance_files()))

    def _catalogue(self) -> dict[str, Any]:
        """`images` and `licenses` of the set, which a plan reads. Cached."""
        return self._instances()

    def _entries(self) -> dict[str, dict[str, Any]]:
        """Image id -> its entry in the file, sorted."""
        found: dict[str, dict[str, Any]] = {}
        for entry in self._catalogue()["images"]:
            other = found.setdefault(entry["file_name"].replace("/", "+"), entry)
            if other is not entry:
                raise DatasetError(
                    f"data set {self.name!r}: {other['file_name']} and {entry['file_name']} have "
                    "the same id"
                )
        if not found:
            raise DatasetError(
                f"data set {self.name!r}: {self._instance_files()[0]} lists no image"
            )
        return dict(sorted(found.items()))

    def _listed(self) -> dict[str, dict[str, Any]]:
        """Image id -> its entry, for the images of the set, up to `limit`."""
        found = self._entries()
        if self.values.get("missing", ERROR) == SKIP:
            root = self._folder()
            found = {n: e for n, e in found.items() if os.path.isfile(root / e["file_name"])}
            if not found:
                raise DatasetError(
                    f"data set {self.name!r}: none of the images of {self._instance_files()[0]} is "
                    f"in {root}"
                )
        return dict(list(found.items())[: self.values["limit"]])

    def notes(self) -> list[str]:
        """Number of listed images that are skipped."""
        if self.values.get("missing", ERROR) != SKIP:
            return []
        root, total = self._folder(), self._entries()
        absent = sum(not os.path.isfile(root / entry["file_name"]) for entry in total.values())
        return [f"{absent} of {len(total)} listed images are not in {root} and are skipped"]

    def _files(self) -> dict[str, Path]:
        root = self._folder()
        if not root.is_dir():
            raise DatasetError(f"data set {self.name!r}: {root} is not a directory")
        files = {name: root / entry["file_name"] for name, entry in self._listed().items()}
        if missing := [path for path in files.values() if not os.path.isfile(path)]:
            raise DatasetError(
                f"data set {self.name!r}: {self._instance_files()[0]} lists images that are not in "
                f"{root}: {missing[0].relative_to(root)} ({len(missing)} of {len(files)}); for a "
                f"subset of the images, give the data set `missing: {SKIP}`"
            )
        return files

    def fingerprint(self, image_ids: Sequence[str]) -> str:
        """Digest of names, sizes and modification times of the images and the instances files."""
        text = super().fingerprint(image_ids) + self._instances_state()
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _instances_state(self) -> str:
        files = [*self._instance_files(), *self._more_files().values()]
        return "".join(f"\0{path}\0{file_state(path)}" for path in files)

    def provide(self, image_ids: Sequence[str], folder: Path) -> list[Record]:
        """Read every image once, as `folder` does; add the licences of the instances file."""
        records = super().provide(image_ids, folder)
        names = _licences(self._catalogue()["licenses"])
        listed = self._entries()
        return [
            dataclasses.replace(
                record,
                licence=record.licence or names.get(str(listed[record.image].get("license")), ""),
            )
            for record in records
        ]

    def merge_annotations(self, folder_of: Mapping[str, Path]) -> Annotations:
        """Instances and further annotations of the images that could be read; ids as in the file.

        Raises DatasetError where the size of an image differs from the size in the file.
        """
        sizes = read_sizes(folder_of)
        listed = self._entries()
        for image_id, (width, height) in sizes.items():
            entry = listed[image_id]
            if (entry["width"], entry["height"]) != (width, height):
                turned = turned_text(self._folder() / entry["file_name"])
                raise DatasetError(
                    f"data set {self.name!r}: image {image_id} is {width}x{height}{turned}, "
                    f"{self._instance_files()[0]} says {entry['width']}x{entry['height']}"
                )
        whole = self._instances()
        images = [{**listed[image_id], "image": image_id} for image_id in sizes]
        kept = {entry["id"] for entry in images}
        annotations = [a for a in whole["annotations"] if a["image_id"] in kept]
        names = {entry["file_name"]: entry["image"] for entry in images}
        more = {kind: READERS[kind](path, names) for kind, path in self._more_files().items()}
        return Annotations({**whole, "images": images, "annotations": annotations}, more=more)


def _licences(entries: Any) -> dict[str, str]:
    """Licence id as text -> name of the licence; malformed entries are left out."""
    return {
        str(entry.get("id")): " ".join(str(entry.get("name", "")).split())
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and isinstance(entry.get("id"), int | str)
    }


def file_state(path: Path) -> tuple[int, int]:
    """Size and modification time of an instances file; part of the keys of caches."""
    try:
        stat = path.stat()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
    return stat.st_size, stat.st_mtime_ns


@functools.lru_cache(maxsize=8)
def _load(files: tuple[tuple[Path, tuple[int, int]], ...]) -> dict[str, Any]:
    """Read one or two instances files: COCO's keys, annotation ids from 1, no empty masks."""
    first, *others = [read_instances(path) for path, _ in files]
    annotations = first["annotations"]
    for (path, _), second in zip(files[1:], others, strict=True):
        annotations = _preferred(first, second, files[0][0], path)
    # COCOeval uses the id 0 for "not matched": ids that start at 0 are shifted to start at 1.
    shift = max(0, 1 - min((a["id"] for a in annotations), default=1))
    return {
        "info": first.get("info", {}),
        "licenses": first.get("licenses") or [],  # not checked: no result depends on it
        **{key: first[key] for key in ("images", "categories")},
        "annotations": [
            {**{k: v for k, v in a.items() if k != "segmentation" or v}, "id": a["id"] + shift}
            for a in annotations
        ],
    }


def _preferred(
    first: Mapping[str, Any], second: Mapping[str, Any], one: Path, other: Path
) -> list[dict[str, Any]]:
    """Merge annotations: of the second file for images that it lists, else of the first.

    Annotation ids of the second file are shifted behind those of the first.
    """
    names = [{c["id"]: c["name"] for c in each["categories"]} for each in (first, second)]
    if names[0] != names[1]:
        differing = sorted(names[0].items() ^ names[1].items())[0]
        raise DatasetError(f"{one} and {other} differ in category {differing[0]} ({differing[1]})")
    known = {entry["file_name"]: entry for entry in first["images"]}
    image_id: dict[int, int] = {}
    for entry in second["images"]:
        if (same := known.get(entry["file_name"])) is None:
            raise DatasetError(f"{other} lists {entry['file_name']}, {one} does not")
        sizes = [f"{each['width']}x{each['height']}" for each in (same, entry)]
        if sizes[0] != sizes[1]:
            raise DatasetError(
                f"{entry['file_name']} is {sizes[0]} in {one} and {sizes[1]} in {other}"
            )
        image_id[entry["id"]] = same["id"]
    replaced = set(image_id.values())
    start = max((a["id"] for a in first["annotations"]), default=0)
    start += max(0, 1 - min((a["id"] for a in second["annotations"]), default=1))
    return [a for a in first["annotations"] if a["image_id"] not in replaced] + [
        {**a, "id": a["id"] + start, "image_id": image_id[a["image_id"]]}
        for a in second["annotations"]
    ]
