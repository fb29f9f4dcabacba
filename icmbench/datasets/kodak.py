"""`kodak`: the 24 photographs of the Kodak Lossless True Color Image Suite, for testing only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from icmbench.core.errors import DatasetError, ImageError
from icmbench.core.files import sha256_file
from icmbench.core.progress import progress
from icmbench.datasets.base import Dataset, Megapixels
from icmbench.datasets.options import Option
from icmbench.datasets.records import Record
from icmbench.sources.records import FOLDER as LOCKS

SOURCE = "kodak"
URL = "https://r0k.us/graphics/kodak/kodak/{image}.png"

# sha256 of shape and pixels (`pixel_sha256`), not of the files: mirrors carry the same images in
# PNG files that were compressed differently.
PIXELS: dict[str, str] = {
    "kodim01": "f3f0309aa82da62830b5baa1c6222cd0263529e2f52dc538752204ef34e3e6ee",
    "kodim02": "efb3a142b9fd1213659057e60a23bdc9cb941629196c61d8cd587bb704092a5c",
    "kodim03": "f382c9f19db1032ddea11365b2f78e23ab255e1841435ef615c5c0bb7954cc0d",
    "kodim04": "e8bc6d66578eedbed6d8478a5ed004e63bb3801d1e60b26a531877da77c3f2ba",
    "kodim05": "e0ca3db383cb31b2e890665e09c0399b0a84d4a7d106692fb8c35517aafc4cb8",
    "kodim06": "59d983a73c75219e39793ad3cbbd55da25dc968a344aeb077b9b5c0b000d70f7",
    "kodim07": "913a2babd7ba1bc89216c7664f10f505b2313e81e113b2b2d95190f09a12669c",
    "kodim08": "787d712e7dd5332bf201eeef24c590b409e19e1802bb7de293ded84a63768b7b",
    "kodim09": "711cfad450f4c0032fb007bea531f721dedd8caab9d494d01fa37b9f7b104cbf",
    "kodim10": "8536a6eff5385ff17124514ddbef225460211ece8bc967a13f9127bef13f53cb",
    "kodim11": "a63d9315d4c9fbdecaa9cf95ea6c481a0e3472e8ab3c8b7afa174b876b90bade",
    "kodim12": "dfd9eff8cb44974bcbea9acfe03eef3d68c059fad876679913b0a781c6dc8f71",
    "kodim13": "fa612a130b13e5a250e58df0810dc7ef249087f7e0c13c62102aa961fa1037c7",
    "kodim14": "88dc670efb9ef12a5a75f0b6781f840912d738d434bf7933a10c9f66c3bf68f1",
    "kodim15": "55e07516f03ccc4c1254db958a818dd8c87ba3f3919fbbb4d00b2db3cfe85542",
    "kodim16": "46f26938118cc23081c49f2a92b22cd2a3271acea38a1aba80cc98940b8e2b01",
    "kodim17": "b59939091397b95494c77b73bc62cfef45df645da851adaf77d72f5496c60eb9",
    "kodim18": "6cfe860b5f410d67239f77141b17228341f2d5640d235844c5b128c700d63647",
    "kodim19": "be1ad9833b5eb9dadb8ee9e1c6c5747fa4da991d78275434b198b461d2b5e00f",
    "kodim20": "65a7dc4950dffc7b1c3a4caa4a7c86727b8daba72788bbb338a4cdfa32a23d78",
    "kodim21": "cb12e2a4186d58f12d22e9e91dc027fbf07c760066da2bdcb5ddcfc30c9ae8e7",
    "kodim22": "7aa6307b6d32ebdae6be7fafe2e70902f63f50b3afebcf1da777f7b8f40beb40",
    "kodim23": "84278e4abfd7eb4a9c0170f2ca7cf8ab954bb7c7793eae4253a0aa64a9d15146",
    "kodim24": "3fa80499f14cf6d98cb9877fc59008d693f7a1396e1a7c0f512535bfd6b391df",
}


class Kodak(Dataset):
    """24 photographs of 768x512 or 512x768 pixels, of the source `kodak` or from a local folder."""

    kind = "kodak"
    options = {
        "path": Option(str, help="folder with kodim01.png ... kodim24.png; left out: download"),
        "limit": Option(int, default=24, low=1, help="take only the first so many"),
    }

    def image_ids(self) -> list[str]:
        """kodim01 ... kodim24."""
        return sorted(PIXELS)[: self.values["limit"]]

    def sources(self) -> tuple[str, ...]:
        """The source `kodak`, unless the images are local."""
        return () if self.values["path"] else (SOURCE,)

    def planned_sizes(self) -> Megapixels:
        """All have 768x512 pixels, upright or not."""
        return Megapixels(*[768 * 512 / 1e6] * 2)

    def provide(self, image_ids: Sequence[str], folder: Path) -> list[Record]:
        """Read the images and check their pixels."""
        given = self.values["path"]
        root = Path(given).expanduser() if given else self.fetched(SOURCE)
        bar = progress(image_ids, desc=self.name, unit="image")
        return [self._record(image_id, (root / f"{image_id}.png").absolute()) for image_id in bar]

    def _record(self, image_id: str, path: Path) -> Record:
        from icmbench.core.images.image_files import pixel_sha256, read_image

        try:
            image, _ = read_image(path)
        except ImageError as error:
            raise DatasetError(f"data set {self.name!r}: {error}{self._remedy()}") from error
        if (found := pixel_sha256(image)) != PIXELS[image_id]:
            raise DatasetError(
                f"{path}: sha256 of its pixels is {found}, expected {PIXELS[image_id]}: "
                f"not the Kodak photograph{self._remedy()}"
            )
        height, width = image.shape[:2]
        source = str(path) if self.values["path"] else URL.replace("{image}", image_id)
        licence = "released by Kodak for unrestricted use"
        return Record(
            image_id, str(path), sha256_file(path), width, height, source=source, licence=licence
        )

    def _remedy(self) -> str:
        """Way to other files, of downloaded ones."""
        if self.values["path"]:
            return ""
        folder = self.all_downloads / SOURCE
        locks = self.all_downloads / LOCKS / f"{SOURCE}.json"
        command = self.source(SOURCE).command(self.all_downloads)
        return f"; remove {folder} and {locks}, and run `{command}`"
