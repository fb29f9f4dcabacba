"""Share of streams of diff-icmh that another machine would refuse: stand-ins, one process each.

    python tools/symbol_mismatch.py                     the bundled model on the photos data set
    python tools/symbol_mismatch.py --images DIR --model DIR --count 3

Every image is encoded at every rate, with one thread and oneDNN. Then fresh processes read the
symbols (no image is made), each with arithmetic that sums in another order:

    same         as when writing
    two threads  sums are split among threads
    oneDNN off   other convolution kernels
    older CPU    kernels without AVX, as an old processor would run
    float32      (in the column `read`) networks that decide bits narrower than the writer's

Columns: `refused` streams are those that the decoder itself finds out (SymbolMismatch, by the
digest in the stream). `moved` streams have the right symbols, but some value of y by `largest` is
not the writer's: a mean fell on another step of the grid of 2^-20, which no image shows.

All of it twice: with the entropy path in float64, as it is, and in float32 when writing and
reading, which shows what the wide numbers are for.
"""

from __future__ import annotations

import argparse
import os
import pickle
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icmbench.core.processes import run_python

if TYPE_CHECKING:
    from icmbench.codecs.diff_icmh.diff_icmh_model import DiffICMHModel

# What the process of a stand-in finds in its environment besides one thread.
STAND_INS: dict[str, dict[str, str]] = {
    "same": {},
    "two threads": {"OMP_NUM_THREADS": "2"},
    "oneDNN off": {},
    "older CPU": {
        "ATEN_CPU_CAPABILITY": "default",
        "DNNL_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    },
}
WIDTHS = ("float64", "float32")  # of the entropy path
COLUMNS = ("written", "read", "stand-in", "streams", "refused", "moved", "largest")
ROW = "{:8} {:8} {:12} {:>8} {:>8} {:>6}  {}"


def _model(folder: Path, width: str) -> DiffICMHModel:
    """The model, its entropy path as wide as asked for."""
    import torch

    from icmbench.codecs.diff_icmh.diff_icmh_model import DiffICMHModel

    def narrow(module: torch.nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(value.float() for value in given)

    model = DiffICMHModel(folder, "cpu")
    if width == "float32":
        for part in model.codec.lfgcm.entropy_modules():
            part.float()
            for module in part.modules():
                if not list(module.children()):
                    module.register_forward_pre_hook(narrow)
    return model


def write_all(path: Path, folder: Path, images: Path | None, count: int, width: str) -> None:
    """Encode every image at every rate; keep the streams and the writer's own y in a file."""
    import torch

    from icmbench.bitstream import container
    from icmbench.codecs.diff_icmh.codec import CELL, CODEC_ID
    from icmbench.core.images.image_files import read_image

    torch.set_num_threads(1)
    model = _model(folder, width)
    written = []
    with tempfile.TemporaryDirectory(prefix="icmbench-photos-") as scratch:
        for file in _files(images, Path(scratch))[: count or None]:
            image, _ = read_image(file)
            header = container.image_header(CODEC_ID, model.digest, *image.shape[:2], CELL)
            for rate in range(1, model.rates + 1):
                stream = model.encode(image, header, rate=rate, tags="auto")
                parsed = container.parse(stream, unit=CELL)
                written.append((stream, model.read(parsed).y_hat.numpy()))
    path.write_bytes(pickle.dumps((width, written)))


def _files(folder: Path | None, scratch: Path) -> list[Path]:
    from icmbench.core.images.image_files import EXTENSIONS
    from icmbench.datasets.registry import make_dataset

    if folder is not None:
        return [p for p in sorted(folder.iterdir()) if p.suffix.lower() in EXTENSIONS]
    photos = make_dataset("photos", {"max_megapixels": 0.25}, scratch)
    return [scratch / record.path for record in photos.provide(photos.image_ids(), scratch)]


def read_all(path: Path, folder: Path, stand_in: str, width: str) -> None:
    """Read every stream of a file under a stand-in; print how many were refused, and moved."""
    import numpy as np
    import torch

    from icmbench.bitstream import container
    from icmbench.codecs.diff_icmh.codec import CELL
    from icmbench.core.errors import CodecError

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.backends.mkldnn.enabled = stand_in != "oneDNN off"
    model = _model(folder, width)
    written_in, written = pickle.loads(path.read_bytes())
    refused, apart = 0, []
    for stream, values in written:
        try:
            found = model.read(container.parse(stream, unit=CELL)).y_hat.numpy()
        except CodecError:
            refused += 1
        else:
            apart.append(float(np.abs(found - values).max()))
    moved = sum(distance > 0 for distance in apart)
    row = (len(written), refused, moved, f"{max(apart, default=0.0):.1e}")
    print(ROW.format(written_in, width, stand_in, *row), flush=True)


def main() -> None:
    """Write the streams, then read them under every stand-in."""
    from icmbench.codecs.diff_icmh.model_folder import bundled

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, help="a folder; default: the photos data set")
    parser.add_argument("--model", type=Path, default=bundled(), help="default: the bundled one")
    parser.add_argument("--count", type=int, default=0, help="images; default: all")
    parser.add_argument("--write", nargs=2, help=argparse.SUPPRESS)  # this process: FILE WIDTH
    parser.add_argument("--read", nargs=3, help=argparse.SUPPRESS)  # FILE STAND_IN WIDTH
    given = parser.parse_args()
    if given.write:
        write_all(Path(given.write[0]), given.model, given.images, given.count, given.write[1])
        return
    if given.read:
        read_all(Path(given.read[0]), given.model, *given.read[1:])
        return

    def start(arguments: list[str], environment: dict[str, str]) -> None:
        settings = {"OMP_NUM_THREADS": "1", **environment}
        run_python(__file__, "--model", given.model, *arguments, changes=settings)

    of_images = ["--count", str(given.count)]
    of_images += ["--images", str(given.images)] if given.images else []
    print(ROW.format(*COLUMNS), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for written in WIDTHS:
            streams = str(Path(scratch) / written)
            start([*of_images, "--write", streams, written], {})
            readings = [(name, written) for name in STAND_INS]
            readings += [("same", "float32")] if written == "float64" else []
            for name, width in readings:
                start(["--read", streams, name, width], STAND_INS[name])


if __name__ == "__main__":
    main()
