"""`codes`: labels, tags, parcels and posters with bar codes, in the photographs of `photos`."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from icmbench.core.files import sha256_file, write_json
from icmbench.core.progress import progress
from icmbench.datasets.base import Annotations, Dataset, Megapixels
from icmbench.datasets.options import Option
from icmbench.datasets.photos import PHOTOS, load_photo
from icmbench.datasets.records import Record

if TYPE_CHECKING:
    import numpy as np

# Those that could be behind a label; not the retina, the tissue, and the field of galaxies.
BEHIND: Final = (
    "astronaut", "chelsea", "china", "coffee", "flower", "grace-hopper", "motorcycle", "rocket",
)  # fmt: skip


class Codes(Dataset):
    """Rendered from a seed; modules are 1.6 to 7 pixels wide, at 384 pixels of width.

    Every symbol of the defaults can be read; of other seeds one in some 400 cannot.
    """

    kind = "codes"
    annotated = True
    options = {
        "seed": Option(int, default=1, low=0, help="another seed gives other pictures"),
        "count": Option(int, default=32, low=1, help="number of pictures"),
        "width": Option(int, default=384, low=320, help="of a picture in pixels"),
        "height": Option(int, default=288, low=240, help="of a picture in pixels"),
    }

    def image_ids(self) -> list[str]:
        """`code-<index>` of every picture."""
        return [f"code-{index:05d}" for index in range(self.values["count"])]

    def planned_sizes(self) -> Megapixels:
        """The size of the options."""
        return Megapixels(*[self.values["width"] * self.values["height"] / 1e6] * 2)

    def provide(self, image_ids: Sequence[str], folder: Path) -> list[Record]:
        """Render the pictures: a PNG and a JSON list of symbols each.

        Raises DatasetError where segno, zxing-cpp or a font is missing, or a symbol does not fit.
        """
        load = functools.cache(load_photo)
        bar = progress(image_ids, desc=self.name, unit="picture")
        return [self._record(image_id, folder, load) for image_id in bar]

    def _record(self, image_id: str, folder: Path, load: Callable[[str], np.ndarray]) -> Record:
        from icmbench.barcodes.picture import render_picture
        from icmbench.core.images.image_files import write_png
        from icmbench.lettering.fonts import DEJAVU

        seed, width, height = (self.values[key] for key in ("seed", "width", "height"))
        index = int(image_id.partition("-")[2])
        picture = render_picture(seed, index, width, height, BEHIND, load)
        path = folder / f"{image_id}.png"
        write_png(path, picture.image)
        write_json(folder / f"{image_id}.json", picture.codes)
        photo = PHOTOS[picture.photograph]
        return Record(
            image_id,
            path.name,
            sha256_file(path),
            width,
            height,
            annotation=f"{image_id}.json",
            source=f"rendered by icmbench, seed {seed}, on {picture.photograph}: {photo.source}",
            licence=f"photograph: {photo.licence}; fonts: {DEJAVU}",
        )

    def merge_annotations(self, folder_of: Mapping[str, Path]) -> Annotations:
        """The symbols of all pictures, as `more["codes"]`."""
        return Annotations(
            more={
                "codes": {
                    image_id: json.loads((folder / f"{image_id}.json").read_text("utf-8"))
                    for image_id, folder in sorted(folder_of.items())
                }
            }
        )
