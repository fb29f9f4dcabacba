"""`photos`: the colour photographs that ship inside scikit-image, scikit-learn and matplotlib.

They are loaded by the packages' own functions, checked against the sha256 of their pixels, and
reduced to at most `max_megapixels`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icmbench.core.errors import DatasetError
from icmbench.core.files import sha256_file
from icmbench.datasets.base import Dataset, Megapixels
from icmbench.datasets.options import Option
from icmbench.datasets.records import Record

if TYPE_CHECKING:
    import numpy as np

CC0 = "CC0-1.0"
PUBLIC_DOMAIN = "public domain"


@dataclass(frozen=True)
class Photo:
    """Source of a photograph: loader, sha256 of shape and pixels, origin and licence."""

    load: Callable[[], Any]
    sha256: str
    source: str
    licence: str


def from_skimage(name: str) -> Callable[[], Any]:
    """Loader of a photograph that ships inside scikit-image."""

    def load() -> Any:
        import skimage.data

        image = getattr(skimage.data, name)()
        return image[0] if isinstance(image, tuple) else image

    return load


def _sklearn(name: str) -> Callable[[], Any]:
    def load() -> Any:
        from sklearn.datasets import load_sample_image

        return load_sample_image(name)

    return load


def _matplotlib(name: str) -> Callable[[], Any]:
    def load() -> Any:
        from matplotlib.cbook import get_sample_data

        from icmbench.core.images.image_files import read_image

        return read_image(get_sample_data(name, asfileobj=False))[0]

    return load


PHOTOS: dict[str, Photo] = {
    "astronaut": Photo(
        from_skimage("astronaut"),
        "7605af19ba2b975845037d479d9429d3fbc334ff78c7b51f67f112d50f85ed65",
        "scikit-image; NASA Great Images",
        PUBLIC_DOMAIN,
    ),
    "chelsea": Photo(
        from_skimage("chelsea"),
        "2a48da897e30584d1ae09abf8802730963e97735ab7f4ccede25b412ab11e5dd",
        "scikit-image; Stefan van der Walt",
        CC0,
    ),
    "china": Photo(
        _sklearn("china.jpg"),
        "9459dffd4ad72e7b57c431b62b1c14c636e1885ca56c49f1a7efe5a1bd4b448a",
        "scikit-learn; danielbuechele, Flickr",
        "CC-BY-2.0",
    ),
    "coffee": Photo(
        from_skimage("coffee"),
        "013a8175a6f60538e29aa8bee676f3e4b4c9a4388defc9a81368b20fc7b3fe9c",
        "scikit-image; Rachel Michetti, Pikolo Espresso Bar",
        CC0,
    ),
    "flower": Photo(
        _sklearn("flower.jpg"),
        "028008e42002966d0d18ae40c6aeb65f49ffb1a0238f997431a2a0d78538d15c",
        "scikit-learn; vultilion, Flickr",
        "CC-BY-2.0",
    ),
    "grace-hopper": Photo(
        _matplotlib("grace_hopper.jpg"),
        "b4fd8aa4629cf804f0d60036a2b41c75c63faa3c504a2b7234798e72bdc651c2",
        "matplotlib sample data; James S. Davis, US Navy",
        PUBLIC_DOMAIN,
    ),
    "hubble": Photo(
        from_skimage("hubble_deep_field"),
        "b368ad50e13b6113ba330ad1fdd6dbe41ad8074c2c97791f5f34d510b886586e",
        "scikit-image; NASA, HubbleSite",
        PUBLIC_DOMAIN,
    ),
    "ihc": Photo(
        from_skimage("immunohistochemistry"),
        "d5e9af0ebdb1dc92a7d75c8ab96cea1d3a319323027d0c7926060f8f4eba9519",
        "scikit-image; Center for Microscopy and Molecular Imaging",
        "no known restrictions",
    ),
    "motorcycle": Photo(
        from_skimage("stereo_motorcycle"),
        "6a51b16e82babbafbffdff644108b2085a8ee609f08cfdc0d60bff950e42b6fc",
        "scikit-image; Middlebury 2014 stereo benchmark, left view",
        CC0,
    ),
    "retina": Photo(
        from_skimage("retina"),
        "7e469361f4e9005e275d7813dc01187cfb47ae92ecc5f1f1a590992d07847133",
        "scikit-image; Mikael Haggstrom, Wikimedia Commons",
        CC0,
    ),
    "rocket": Photo(
        from_skimage("rocket"),
        "9d55b6a566c73f3c20e2e36b81acc5d14fddc66453247ba544eced175a87cf54",
        "scikit-image; SpaceX",
        PUBLIC_DOMAIN,
    ),
}


class Photos(Dataset):
    """Eleven photographs from 0.14 to 0.4 megapixels."""

    kind = "photos"
    options = {
        "max_megapixels": Option(
            float, default=0.4, low=0.001, help="larger ones are reduced (Lanczos)"
        ),
        "only": Option(list, help="take only these"),
    }

    def planned_sizes(self) -> Megapixels:
        """The size that larger ones are reduced to."""
        return Megapixels(*[float(self.values["max_megapixels"])] * 2)

    def image_ids(self) -> list[str]:
        """Names of the photographs."""
        names = self.values["only"] or PHOTOS
        for name in names:
            if name not in PHOTOS:
                raise DatasetError(f"no photograph {name!r}; there are {', '.join(PHOTOS)}")
        return sorted(set(names))

    def provide(self, image_ids: Sequence[str], folder: Path) -> list[Record]:
        """Write the photographs as PNG.

        Raises DatasetError where a package holds another image than the one expected.
        """
        return [self._record(image_id, folder) for image_id in image_ids]

    def _record(self, image_id: str, folder: Path) -> Record:
        from icmbench.core.images.image_files import write_png

        photo = PHOTOS[image_id]
        image, note = reduce_to(load_photo(image_id), float(self.values["max_megapixels"]))
        path = folder / f"{image_id}.png"
        write_png(path, image)
        height, width = image.shape[:2]
        return Record(
            image_id,
            path.name,
            sha256_file(path),
            width,
            height,
            source=photo.source,
            licence=photo.licence,
            note=note,
        )


def load_photo(name: str, photos: Mapping[str, Photo] = PHOTOS) -> np.ndarray:
    """Pixels uint8 (H, W, 3), or (H, W) of a grey one, of a photograph in its package's size.

    Raises DatasetError where the package holds another image than the one expected.
    """
    import numpy as np

    from icmbench.core.images.image_files import pixel_sha256

    photo = photos[name]
    image = np.asarray(photo.load())
    found = pixel_sha256(image)
    if found != photo.sha256:
        raise DatasetError(
            f"photograph {name!r} ({photo.source}): sha256 of its pixels is {found}, "
            f"expected {photo.sha256}: the package ships another image"
        )
    return image


def reduce_to(image: np.ndarray, megapixels: float) -> tuple[np.ndarray, str]:
    """The image at no more than `megapixels` (10^6 pixels), aspect kept, and a note."""
    import numpy as np
    from PIL import Image as PillowImage

    height, width = image.shape[:2]
    if width * height <= megapixels * 1e6:
        return image, ""
    factor = math.sqrt(megapixels * 1e6 / (width * height))
    size = (int(width * factor), int(height * factor))
    reduced = PillowImage.fromarray(image).resize(size, PillowImage.Resampling.LANCZOS)
    return np.asarray(reduced), f"reduced from {width}x{height}"
