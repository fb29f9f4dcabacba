"""`coco`: images in a folder and their instances in a COCO file."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from icmbench.core.errors import ConfigError, DatasetError
from icmbench.datasets.base import Annotations, Option, Record
from icmbench.datasets.coco_format import read_instances
from icmbench.datasets.folder import Folder
from icmbench.datasets.sizes import read_sizes, turned_text, write_sizes

ERROR: Final = "error"
SKIP: Final = "skip"
MISSING_HELP: Final = (
    "error, or skip: leave listed images out that are not in the folder, such as all but a subset "
    "of COCO's; annotations of the others stay as they are"
)


class Coco(Folder):
    """Any set in COCO's format; images are read where they lie.

    Its images are those that the file lists in `images`. One that is listed and has no annotation
    is of the set: whatever is found in it is wrong. One that lies in the folder and is not listed
    is not of the set. The id is the listed file name, `/` as `+`.

    `masks` names a second instances file of the same images, for sets whose boxes and masks are
    published apart. Where it lists an image, its annotations take the place of those of
    `annotations`, so that all of one image come from one source. An image that it does not list
    keeps what `annotations` says of it: boxes alone, as a rule. Where masks are judged only if
    every object has one, name the file of masks as `annotations` instead.

    A listed image that is not in the folder is an error, or with `missing: skip` no image of the
    set: the number of those is announced and stands in the report.
    """

    kind = "coco"
    annotated = True
    options = {
        **Folder.options,
        "annotations": Option(str, required=True, help="instances file, such as COCO's own"),
        "masks": Option(str, help="second instances file, preferred where it lists an image"),
        "missing": Option(str, default=ERROR, help=MISSING_HELP),
        "licence": Option(str, default="", help="for all images; left out: as the file says"),
    }

    def __init__(self, name: str, entry: Mapping[str, Any], downloads: Path) -> None:
        super().__init__(name, entry, downloads)
        if (missing := self.values.get("missing", ERROR)) not in (ERROR, SKIP):
            raise ConfigError(
                f"data set {name!r}: missing: {missing} is neither {ERROR} nor {SKIP}"
            )
        if missing == SKIP and not self.values["path"]:
            raise ConfigError(f"data set {name!r}: missing: {SKIP} needs path: the rest is fetched")

    def _instance_files(self) -> list[Path]:
        """The instances files; the annotations of a later one are preferred."""
        given = (self.values["annotations"], self.values["masks"])
        return [Path(path).expanduser() for path in given if path]

    def _folder(self) -> Path:
        """Folder of the images."""
        return Path(self.values["path"]).expanduser()

    def _instances(self) -> dict[str, Any]:
        """All of the set; shared with other calls, so never to be changed."""
        return _load(tuple((path, _state(path)) for path in self._instance_files()))

    def _entries(self) -> dict[str, dict[str, Any]]:
        """Image id -> its entry in the file, sorted."""
        found: dict[str, dict[str, Any]] = {}
        for entry in self._instances()["images"]:
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
        """Image id -> its entry, of the images of the set: no more than the limit."""
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
        """Digest of the images' and the instances files' names, sizes and modification times."""
        text = super().fingerprint(image_ids) + self._instances_state()
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _instances_state(self) -> str:
        return "".join(f"\0{path}\0{_state(path)}" for path in self._instance_files())

    def provide(self, image_ids: Sequence[str], folder: Path) -> list[Record]:
        """Read every image once, as `folder` does; the licence is the one that the file names."""
        records = super().provide(image_ids, folder)
        write_sizes(records, folder)
        names = _licences(self._instances()["licenses"])
        listed = self._entries()
        return [
            dataclasses.replace(
                record,
                licence=record.licence or names.get(str(listed[record.image].get("license")), ""),
            )
            for record in records
        ]

    def merge_annotations(self, folder_of: Mapping[str, Path]) -> Annotations:
        """The instances of the images that could be read.

        Ids are the file's. Raises DatasetError where an image is of another size than the file
        says.
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
        return Annotations({**whole, "images": images, "annotations": annotations})


def _licences(entries: Any) -> dict[str, str]:
    """Text of a licence's id -> its name; without entries that are malformed."""
    return {
        str(entry.get("id")): " ".join(str(entry.get("name", "")).split())
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and isinstance(entry.get("id"), int | str)
    }


def _state(path: Path) -> tuple[int, int]:
    """Size and modification time of an instances file, by which a changed one is known."""
    try:
        stat = path.stat()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from error
    return stat.st_size, stat.st_mtime_ns


@functools.lru_cache(maxsize=8)
def _load(files: tuple[tuple[Path, tuple[int, int]], ...]) -> dict[str, Any]:
    """The instances of one or two files: COCO's keys, annotation ids from 1, no empty masks."""
    first, *others = [read_instances(path) for path, _ in files]
    annotations = first["annotations"]
    for (path, _), second in zip(files[1:], others, strict=True):
        annotations = _preferred(first, second, files[0][0], path)
    # COCOeval takes the id 0 for "not matched": a set that counts from 0 is counted from 1.
    shift = max(0, 1 - min((a["id"] for a in annotations), default=1))
    return {
        "info": first.get("info", {}),
        "licenses": first.get("licenses") or [],  # not checked: no number depends on it
        **{key: first[key] for key in ("images", "categories")},
        "annotations": [
            {
                **{k: v for k, v in a.items() if k != "segmentation" or v},
                "id": a["id"] + shift,
            }
            for a in annotations
        ],
    }


def _preferred(
    first: Mapping[str, Any], second: Mapping[str, Any], one: Path, other: Path
) -> list[dict[str, Any]]:
    """Annotations of the second set where it lists an image, else of the first.

    The ids of the second set's follow those of the first's.
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
