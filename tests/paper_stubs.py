"""Sources of the published sizes as stubs: complete by their records, with empty files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from icmbench.core.fetch_command import FETCHED
from icmbench.sources.catalogue import shipped_sources

WEIGHTS = {  # source -> its only file
    "vgg16": "vgg16-397923af.pth",
    "alexnet": "alexnet-owt-7be5be79.pth",
    "dists": "dists_weights.pt",
    "niqe": "niqe_modelparameters.mat",
    "inception-fid": "pt_inception-2015-12-05-6726825d.pth",
    "face-alignment": "2DFAN4-11f355bf06.pth.tar",
}


def place(downloads: Path, source: str, *names: str) -> None:
    """A source that is complete, with empty files."""
    folder = downloads / source
    for parent in {(folder / name).parent for name in names}:
        parent.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    known = shipped_sources().get(source)
    stated = {file.name: file.sha256 for file in known.files} if known else {}
    files = {
        str(path.relative_to(folder)): {"size": path.stat().st_size}
        for path in folder.rglob("*")
        if path.is_file() and (known is None or path.relative_to(folder).as_posix() in stated)
    }
    entries = {name: {"sha256": stated.get(name, ""), **entry} for name, entry in files.items()}
    (folder / FETCHED).write_text(json.dumps({"files": entries}))


def place_weights(downloads: Path, sources: Iterable[str]) -> None:
    """Sources of one file: those of `WEIGHTS`, and checkpoints of mmdet and mmseg."""
    for source in sources:
        place(downloads, source, WEIGHTS.get(source, "net.pth"))


def place_coco(downloads: Path, **counts: int) -> None:
    """COCO's annotations with so many images per split."""
    place(downloads, "coco2017-annotations", "annotations/x")
    for split, count in counts.items():
        listed = [
            {"id": n, "file_name": f"{n:012}.jpg", "width": 640, "height": 480}
            for n in range(139, 139 + count)
        ]
        content = {"images": listed, "annotations": [], "categories": [], "licenses": []}
        for kind in ("captions", "instances"):
            path = downloads / "coco2017-annotations/annotations" / f"{kind}_{split}2017.json"
            path.write_text(json.dumps(content))


def place_ade20k(downloads: Path, count: int) -> None:
    """Images of validation with their maps."""
    root = "ADEChallengeData2016"
    places = {"images": "jpg", "annotations": "png"}
    names = [
        f"{root}/{p}/validation/{n:08}.{end}" for n in range(count) for p, end in places.items()
    ]
    place(downloads, "ade20k", *names)
    classes = "".join(f"{n}\t0\t0\t0\tclass {n}\n" for n in range(1, 151))
    (downloads / "ade20k" / root / "objectInfo150.txt").write_text(f"Idx\t\t\t\tName\n{classes}")
