"""`scenes`: procedural scenes with exact boxes, masks, semantic maps and facial landmarks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from icmbench.core.files import atomic_path, sha256_file, write_json
from icmbench.core.progress import progress
from icmbench.datasets.base import Annotations, Dataset, Megapixels
from icmbench.datasets.options import Option
from icmbench.datasets.records import Record


class Scenes(Dataset):
    """Scenes rendered from a seed; the id `test-00007` names split and index."""

    kind = "scenes"
    annotated = True
    splits = True
    options = {
        "seed": Option(int, default=1, low=0, help="another seed gives other scenes"),
        "size": Option(int, default=256, low=64, help="width and height in pixels"),
        "train": Option(int, default=0, low=0, help="scenes of the training split"),
        "val": Option(int, default=0, low=0, help="scenes of the validation split"),
        "test": Option(int, default=48, low=0, help="scenes of the test split"),
    }

    def image_ids(self) -> list[str]:
        """`<split>-<index>` of every scene."""
        counts = {split: self.values[split] for split in ("test", "train", "val")}
        return sorted(f"{split}-{i:05d}" for split, n in counts.items() for i in range(n))

    def planned_sizes(self) -> Megapixels:
        """The squares of the option `size`."""
        return Megapixels(*[self.values["size"] ** 2 / 1e6] * 2)

    def provide(self, image_ids: Sequence[str], folder: Path) -> list[Record]:
        """Render the scenes: a PNG, a JSON record and a semantic map each."""
        bar = progress(image_ids, desc=self.name, unit="scene")
        return [self._record(image_id, folder) for image_id in bar]

    def _record(self, image_id: str, folder: Path) -> Record:
        from PIL import Image as PillowImage

        from icmbench.core.images.image_files import write_png
        from icmbench.scenes import render_scene, scene_annotations

        split, _, index = image_id.partition("-")
        size = self.values["size"]
        scene = render_scene(self.values["seed"], split, int(index), size, size)
        path = folder / f"{image_id}.png"
        write_png(path, scene.image)
        write_json(folder / f"{image_id}.json", scene_annotations(scene, image_id))
        with atomic_path(folder / f"{image_id}.semantic.png") as temporary:
            PillowImage.fromarray(scene.semantic).save(temporary, "PNG")
        return Record(
            image_id,
            path.name,
            sha256_file(path),
            size,
            size,
            split=split,
            annotation=f"{image_id}.json",
            source=f"rendered by icmbench, seed {self.values['seed']}",
            licence="CC0-1.0",
        )

    def merge_annotations(self, folder_of: Mapping[str, Path]) -> Annotations:
        """COCO instances, landmarks and semantic maps of all scenes."""
        from icmbench.scenes import IGNORE, SEMANTIC_CLASSES, merge_annotations

        records = [
            json.loads((folder / f"{image_id}.json").read_text("utf-8"))
            for image_id, folder in sorted(folder_of.items())
        ]
        instances, landmarks = merge_annotations(records)
        maps = {name: folder / f"{name}.semantic.png" for name, folder in folder_of.items()}
        return Annotations(instances, landmarks, list(SEMANTIC_CLASSES), maps, IGNORE)
