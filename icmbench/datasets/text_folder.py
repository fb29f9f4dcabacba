"""`text-folder`: any directory of images whose text is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from icmbench.core.errors import DatasetError
from icmbench.datasets.base import Annotations
from icmbench.datasets.folder import Folder
from icmbench.datasets.foreign import with_file
from icmbench.datasets.options import Option
from icmbench.datasets.sizes import read_sizes, turned_text
from icmbench.datasets.text_lines import TEXT, read_lines


class TextFolder(Folder):
    """Images as of `folder`, with a JSON file of their lines of text.

    It is an object: image id -> list of lines, [] for an image without text. A line has `text` and
    `box`, its four corners [x, y] in pixels, clockwise from the top left of the text. Entries of
    further images are ignored.
    """

    kind = "text-folder"
    annotated = True
    options = {
        **Folder.options,
        "text": Option(str, required=True, help="JSON file: image id -> lines with text and box"),
    }

    def _lines_file(self) -> Path:
        return Path(self.values["text"]).expanduser()

    def fingerprint(self, image_ids: Sequence[str]) -> str:
        """Digest of names, sizes and modification times of the images and of the file of lines."""
        return with_file(super().fingerprint(image_ids), self._lines_file())

    def merge_annotations(self, folder_of: Mapping[str, Path]) -> Annotations:
        """The lines of the images that could be read.

        Raises DatasetError as `read_lines`, and for a box that lies outside of its image.
        """
        path, sizes, files = self._lines_file(), read_sizes(folder_of), self._files()
        lines = read_lines(path, sizes)
        for image_id, (width, height) in sizes.items():
            for number, line in enumerate(lines[image_id], start=1):
                across, down = zip(*line["box"], strict=True)
                if (
                    max(across) <= 0
                    or max(down) <= 0
                    or min(across) >= width
                    or min(down) >= height
                ):
                    raise DatasetError(
                        f"{path}: image {image_id}, line {number}: the box {line['box']} lies "
                        f"outside of {width}x{height} pixels{turned_text(files[image_id])}"
                    )
        return Annotations(more={TEXT: lines})
