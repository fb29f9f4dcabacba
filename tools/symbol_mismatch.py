"""How often another machine would refuse a stream of diff-icmh: stand-ins, one process each.

    python tools/symbol_mismatch.py                     the bundled model on the photos data set
    python tools/symbol_mismatch.py --images DIR --model DIR

Streams are written once, with one thread and oneDNN. Then a fresh process reads their symbols (no
picture is made) under changed arithmetic. `SymbolMismatch` is the decoder's own error: the digest
in the stream tells that other probabilities were computed. float32 is what the entropy path would
be without float64: it shows what the wide numbers and the grid of 2^-20 are for.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

STAND_INS = ("same", "two threads", "oneDNN off", "float32 entropy path")


def read_all(path: Path, stand_in: str) -> None:
    """Read every stream of a file under a stand-in; print how many were refused, and how."""
    import torch

    from icmbench.bitstream import container
    from icmbench.diff_icmh.system import System
    from icmbench.errors import CodecError

    torch.set_num_threads(2 if stand_in == "two threads" else 1)
    torch.backends.mkldnn.enabled = stand_in != "oneDNN off"
    model, streams = pickle.loads(path.read_bytes())
    system = System(model, "cpu")
    if stand_in == "float32 entropy path":
        for module in system.codec.lfgcm.entropy_modules():
            module.float()
    refused = 0
    for stream in streams:
        try:
            system.read(container.parse(stream))
        except CodecError:
            refused += 1
    print(f"{stand_in:22} {len(streams):5} streams {refused:5} refused", flush=True)


def write_all(path: Path, model: Path, images: Path | None) -> None:
    """Encode every image at every rate and keep the streams in a file."""
    import torch

    from icmbench.bitstream.container import Header
    from icmbench.codecs.diff_icmh import CODEC_ID
    from icmbench.diff_icmh.system import System
    from icmbench.images import read_image

    torch.set_num_threads(1)
    system = System(model, "cpu")
    streams = []
    for file in _files(images):
        image, _ = read_image(file)
        header = Header(CODEC_ID, system.digest, image.shape[1], image.shape[0])
        for rate in range(1, system.rates + 1):
            streams.append(system.encode(image, header, rate=rate, tags="auto"))
    path.write_bytes(pickle.dumps((model, streams)))


def _files(folder: Path | None) -> list[Path]:
    from icmbench.datasets.registry import make_dataset
    from icmbench.images import EXTENSIONS

    if folder is not None:
        return [p for p in sorted(folder.iterdir()) if p.suffix.lower() in EXTENSIONS]
    target = Path(tempfile.mkdtemp(prefix="icmbench-photos-"))
    photos = make_dataset("photos", {"max_megapixels": 0.25}, target)
    return [target / record.path for record in photos.provide(photos.image_ids(), target)]


def main() -> None:
    """Write the streams, then read them under every stand-in."""
    from icmbench.diff_icmh.model import bundled

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, help="a folder; default: the photos data set")
    parser.add_argument("--model", type=Path, default=bundled(), help="default: the bundled one")
    parser.add_argument("--read", nargs=2, metavar=("FILE", "STAND_IN"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        return read_all(Path(arguments.read[0]), arguments.read[1])
    with tempfile.TemporaryDirectory() as scratch:
        streams = Path(scratch) / "streams"
        write_all(streams, arguments.model, arguments.images)
        for stand_in in STAND_INS:
            threads = "2" if stand_in == "two threads" else "1"
            command = [sys.executable, __file__, "--read", str(streams), stand_in]
            subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": threads})
    return None


if __name__ == "__main__":
    main()
