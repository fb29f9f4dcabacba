"""`flickr30k`: photographs with five captions each."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from icmbench.core.errors import DatasetError
from icmbench.datasets.base import Annotations
from icmbench.datasets.foreign import read_text, with_file
from icmbench.datasets.options import Option
from icmbench.datasets.published import Part, Published, split_options
from icmbench.datasets.sizes import read_sizes

CAPTIONS: Final = "results_20130124.token"  # in the second archive


class Flickr30k(Published):
    """Flickr30k: 31783 photographs with captions, for testing.

    The retrieval of the literature is on 1000 of them, the test split of Karpathy and Fei-Fei
    (2015), which is published elsewhere: give its file names as `names`.
    """

    kind = "flickr30k"
    annotated = True
    options = {
        **split_options("all"),
        "names": Option(str, help="text file with the names of the images to take, one a line"),
        "captions": Option(str, help=f"{CAPTIONS}; left out: fetched; no captions with path"),
    }

    def parts(self) -> Mapping[str, Part]:
        """All photographs."""
        return {"all": Part("flickr30k", "flickr30k-images")}

    def _captions_file(self) -> Path | None:
        if self.values["captions"]:
            return Path(self.values["captions"]).expanduser()
        if self.values["path"]:
            return None
        root = self.fetched("flickr30k")
        found = sorted(root.rglob(CAPTIONS))
        if len(found) != 1:
            raise DatasetError(
                f"data set {self.name!r}: {len(found)} files {CAPTIONS} below {root}, expected one:"
                " give it as captions"
            )
        return found[0]

    def _every_file(self) -> dict[str, Path]:
        """The photographs, or those of `names`; a plan refuses them without their captions."""
        self._captions_file()
        files = super()._every_file()
        if not self.values["names"]:
            return files
        listed = Path(self.values["names"]).expanduser()
        names = [line.strip() for line in read_text(listed).splitlines() if line.strip()]
        if missing := [name for name in names if name not in files]:
            raise DatasetError(
                f"{listed}: {missing[0]} is not in {self._folder()} ({len(missing)} of "
                f"{len(names)} names)"
            )
        return {name: files[name] for name in sorted(set(names))}

    def fingerprint(self, image_ids: Sequence[str]) -> str:
        """Digest of names, sizes and modification times of the images and of the captions."""
        digest, path = super().fingerprint(image_ids), self._captions_file()
        return digest if path is None else with_file(digest, path)

    def merge_annotations(self, folder_of: Mapping[str, Path]) -> Annotations:
        """The captions of the images that could be read; none without a file of them.

        Raises DatasetError naming the file where it is of another format or an image has none.
        """
        path = self._captions_file()
        if path is None:
            return Annotations()
        known = read_tokens(path)
        names = list(read_sizes(folder_of))
        if bare := [name for name in names if name not in known]:
            raise DatasetError(f"{path}: {bare[0]} has no caption ({len(bare)} of {len(names)})")
        return Annotations(more={"captions": {name: known[name] for name in names}})


@functools.lru_cache(maxsize=1)
def read_tokens(path: Path) -> dict[str, list[str]]:
    """Name of an image -> its captions: lines `<name>#<number>`, a tab, the caption.

    Raises DatasetError naming file and line for anything else.
    """
    found: dict[str, list[str]] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        label, tab, caption = line.partition("\t")
        name, mark, place = label.rpartition("#")
        if not (tab and mark and name and place.isdecimal() and caption.strip()):
            raise DatasetError(
                f"{path}: line {number}: {line[:60]!r} is not `name#number`, a tab, a caption"
            )
        found.setdefault(name, []).append(caption.strip())
    return found
