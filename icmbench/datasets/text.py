"""`text`: pages, signs and labels on photographs, with the exact text and box of every line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from icmbench.core.files import sha256_file, write_json
from icmbench.core.progress import progress
from icmbench.datasets.base import Annotations, Dataset, Megapixels
from icmbench.datasets.options import Option
from icmbench.datasets.photos import CC0, PHOTOS, Photo, from_skimage, load_photo
from icmbench.datasets.records import Record
from icmbench.datasets.text_lines import TEXT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REDS: Final = ((1.0, 0.68, 0.56), (1.0, 0.9, 0.72), (0.86, 0.9, 0.94), (0.8, 0.74, 0.7))
GREENS: Final = ((0.72, 0.96, 0.42), (0.8, 0.9, 0.5))


@dataclass(frozen=True)
class Wall:
    """A grey photograph beside those of `photos`, and the colours that it stands in."""

    photo: Photo
    colours: Sequence[Sequence[float]]


WALLS: Final = {
    "brick": Wall(
        Photo(
            from_skimage("brick"),
            "7e395499d8653129325b729a53d858ca4a6209e5e11b918467bcf69190776b15",
            "scikit-image; CC0Textures",
            CC0,
        ),
        REDS,
    ),
    "grass": Wall(
        Photo(
            from_skimage("grass"),
            "6ea9585c91a3dce49e1922318aa813397b0f8194e42e816c66ba41d03e96c463",
            "scikit-image; linolafett, DeviantArt",
            CC0,
        ),
        GREENS,
    ),
    "gravel": Wall(
        Photo(
            from_skimage("gravel"),
            "19089ac41f508026d70aa59b056cbd4f67d5991c57d311e643730dc63a73811b",
            "scikit-image; CC0Textures",
            CC0,
        ),
        REDS[1:],
    ),
}
# Photographs behind a kind of sheets, none of which has text of its own in it.
BEHIND: Final[Mapping[str, Sequence[str]]] = {
    "letter": ("coffee", "grass", "gravel", "flower"),
    "street": ("brick", "china", "rocket", "flower"),
    "shop": ("brick", "china"),
    "label": ("coffee", "chelsea", "gravel", "grass"),
    "prices": ("coffee", "brick", "grass"),
    "hours": ("brick", "coffee", "china"),
    "warning": ("brick", "gravel", "rocket", "grass"),
}


class Text(Dataset):
    """Rendered text on photographs; the id `text-00007` names the index.

    The kinds of sheets follow each other: a letter, a sign of a street, of a shop, a label, a price
    list, opening hours, a warning. Everything else of an image follows from the seed and its id.
    """

    kind = "text"
    annotated = True
    options = {
        "seed": Option(int, default=1, low=0, help="another seed gives other texts and places"),
        "count": Option(int, default=24, low=1, help="number of images"),
        "width": Option(int, default=384, low=256, help="in pixels"),
        "height": Option(int, default=256, low=192, help="in pixels"),
    }

    def image_ids(self) -> list[str]:
        """`text-<index>` of every image."""
        return [f"text-{number:05d}" for number in range(self.values["count"])]

    def planned_sizes(self) -> Megapixels:
        """Those of the options."""
        return Megapixels(*[self.values["width"] * self.values["height"] / 1e6] * 2)

    def provide(self, image_ids: Sequence[str], folder: Path) -> list[Record]:
        """Render the images: a PNG and a JSON file of its lines each.

        Raises DatasetError where a font or a photograph of the packages is missing.
        """
        from icmbench.lettering.fonts import check_faces

        check_faces()
        bar = progress(image_ids, desc=self.name, unit="image")
        return [self._record(image_id, folder) for image_id in bar]

    def _record(self, image_id: str, folder: Path) -> Record:
        from icmbench.core.images.image_files import write_png
        from icmbench.lettering.picture import KINDS, text_picture
        from icmbench.lettering.words import pick
        from icmbench.pasted import generator

        seed, width, height = (self.values[key] for key in ("seed", "width", "height"))
        kind = list(KINDS)[int(image_id.rpartition("-")[2]) % len(KINDS)]
        behind = generator(seed, f"{image_id} photograph")
        name = pick(behind, BEHIND[kind])
        photo = PHOTOS[name] if name in PHOTOS else WALLS[name].photo
        pixels = load_photo(name, {name: photo})
        if name in WALLS:
            pixels = coloured(pixels, pick(behind, WALLS[name].colours))
        picture = text_picture(pixels, seed, image_id, kind, width, height)
        path = folder / f"{image_id}.png"
        write_png(path, picture.image)
        write_json(folder / f"{image_id}.json", picture.lines)
        fonts = sorted({face.licence for face in picture.faces})
        return Record(
            image_id,
            path.name,
            sha256_file(path),
            width,
            height,
            annotation=f"{image_id}.json",
            source=f"rendered by icmbench, seed {seed}, on a photograph: {photo.source}",
            licence=f"photograph: {photo.licence}; fonts: {', '.join(fonts)}",
        )

    def merge_annotations(self, folder_of: Mapping[str, Path]) -> Annotations:
        """The lines of all images."""
        lines = {
            image_id: json.loads((folder / f"{image_id}.json").read_text("utf-8"))
            for image_id, folder in sorted(folder_of.items())
        }
        return Annotations(more={TEXT: lines})


def coloured(grey: NDArray[np.uint8], colour: Sequence[float]) -> NDArray[np.uint8]:
    """A grey image (H, W) in a colour: uint8 (H, W, 3)."""
    import numpy as np

    tinted: NDArray[np.uint8] = np.rint(grey[..., None] * np.array(colour)).astype(np.uint8)
    return tinted.transpose(1, 0, 2)  # courses of bricks stand upright in the package's image
