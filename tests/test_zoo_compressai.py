"""The zoo's codecs against CompressAI itself, which runs in an environment of its own.

CompressAI 1.2.8 asks for an older numpy: with ICMBENCH_COMPRESSAI=install it is installed without
its dependencies into a temporary folder, else taken from the folder that the variable names.
Networks have the published sizes and random weights, spread as trained ones are; see
`compressai_reference`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch

from icmbench.bitstream import container
from icmbench.bitstream.folding import pad
from icmbench.bitstream.symbols import SymbolEncoder
from icmbench.codecs.registry import codec_class
from icmbench.codecs.zoo.importing import import_checkpoint
from icmbench.codecs.zoo.published import FACTORIZED, HYPERPRIOR, MEAN, UNIT, of_file
from icmbench.codecs.zoo.stream import read_sections
from icmbench.codecs.zoo.zoo_model import ZooModel

pytestmark = pytest.mark.slow

PACKAGES = ("compressai==1.2.8", "torch-geometric", "xxhash", "einops")
REFERENCE = Path(__file__).with_name("compressai_reference.py")
# Codec, N, M, names of the tensors: every codec, both sizes, both namings.
SPECS = (
    f"{FACTORIZED}:128:192:new", f"{HYPERPRIOR}:128:192:old", f"{MEAN}:128:192:new",
    f"{FACTORIZED}:192:320:old", f"{HYPERPRIOR}:192:320:new", f"{MEAN}:192:320:old",
)  # fmt: skip
# Header, two sections of 3 bytes more than 4 digits of length, and the digest of the symbols.
OVERHEAD = {FACTORIZED: 12 + 5, HYPERPRIOR: 12 + 5 + 5 + 2, MEAN: 12 + 5 + 5 + 2}
RATE = 0.005  # of the estimate, beside the overhead
PIXELS = 1e-4  # of a reconstruction, from 0 to 1
# Sums come in another order (channels last, means in float64): symbols may differ where a value is
# as near to a tie of rounding, which is a small share of all.
TIE = 1e-3
TIES = 5e-5


@dataclass(frozen=True)
class Reference:
    """CompressAI's results: the folder of checkpoints and arrays, and the images."""

    folder: Path
    images: dict[str, np.ndarray]

    def of(self, number: int) -> tuple[Path, Any]:
        """Checkpoint and arrays of a spec, from 1."""
        (path,) = self.folder.glob(f"*-{number}-*.pth.tar")
        return path, np.load(self.folder / f"{path.name[:-17]}.npz")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("compressai")
    home = os.environ.get("ICMBENCH_COMPRESSAI", "")
    if not home:
        pytest.skip("ICMBENCH_COMPRESSAI is not set: `install`, or a folder with the package")
    if home == "install":
        home = str(folder / "packages")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", home]
        done = subprocess.run([*pip, *PACKAGES], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"CompressAI cannot be installed: {done.stderr[-300:]}")
    images = {
        "fitted": skimage.data.astronaut(),
        "other": np.ascontiguousarray(skimage.data.coffee()[:320, :512]),
        "odd": pad(np.ascontiguousarray(skimage.data.chelsea()[:250, :333]), UNIT),
    }
    np.savez(folder / "images.npz", **images)
    subprocess.run(
        [sys.executable, str(REFERENCE), str(folder), str(folder / "images.npz"), *SPECS],
        check=True,
        env={**os.environ, "PYTHONPATH": home},
        timeout=3600,
    )
    return Reference(folder, images)


@pytest.mark.parametrize("number", range(1, len(SPECS) + 1), ids=SPECS)
def test_equal_to_compressai(
    number: int, reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symbols and reconstructions are equal, and files are as long as CompressAI estimates."""
    path, expected = reference.of(number)
    training, _ = of_file(path.name)
    import_checkpoint(path, tmp_path)
    codec: Any = codec_class(training.codec)(models=tmp_path)
    written: list[np.ndarray] = []
    original = SymbolEncoder.write

    def recorded(self: SymbolEncoder, symbols: Any, indexes: Any, tables: Any) -> None:
        written.append(symbols)
        original(self, symbols, indexes, tables)

    monkeypatch.setattr(SymbolEncoder, "write", recorded)
    overhead = OVERHEAD[training.codec]
    for name, image in reference.images.items():
        what = ("y", "x_hat", "bits", "bytes", "tie")
        theirs = {key: expected[f"{name}.{key}"] for key in what}
        written.clear()
        stream = codec.encode(image, quality=number)
        *z, y = written
        moved = 0
        for symbols in z:
            apart = symbols != expected[f"{name}.z"]
            assert (expected[f"{name}.z_tie"][apart] < TIE).all()
            moved = int(apart.sum())
        assert moved <= 1
        other = y != theirs["y"]
        assert (theirs["tie"][other] < TIE).all()
        assert other.sum() <= TIES * y.size
        ours = reconstruction(codec._model(training), stream, theirs["y"] - y)
        largest = float(np.abs(ours - theirs["x_hat"]).max())
        wanted = (theirs["x_hat"] * 255).round().transpose(1, 2, 0).astype(int)
        levels = np.abs(codec.decode(stream).astype(int) - wanted)
        estimate = float(theirs["bits"]) / 8
        excess = (len(stream) - overhead) / estimate - 1
        print(
            f"\n{SPECS[number - 1]} {name}: {y.size} symbols of y (up to {np.abs(y).max()}), "
            f"{other.sum()} differ, {sum(map(np.size, z))} of z, {moved}; x_hat differs by "
            f"{largest:.1e}, {(levels > 0).sum()} of {levels.size} levels by {levels.max()}; "
            f"{len(stream)} bytes, estimate {estimate:.0f} ({excess:+.3%} beside {overhead} "
            f"bytes), CompressAI's strings {theirs['bytes']}"
        )
        assert largest <= PIXELS
        assert levels.max() <= 1
        assert abs(excess) <= RATE


def reconstruction(model: ZooModel, stream: bytes, change: np.ndarray) -> np.ndarray:
    """The reconstruction (3, H, W) of a stream before it is rounded, after a change of y_hat."""
    parsed = container.parse(stream)
    size = parsed.header.height, parsed.header.width
    with torch.inference_mode():
        y_hat = read_sections(model.codec, parsed.sections, size) + torch.from_numpy(change)
        return model.codec.network.synthesise(y_hat.float())[0].clamp(0, 1).numpy()
