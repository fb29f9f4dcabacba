"""Small codecs of the zoo with seeded weights, in exactly the form of the published checkpoints.

By hand: `python tests/tiny_zoo.py` writes the golden file again.
"""

from __future__ import annotations

import functools
import hashlib
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from conftest import make_picture
from torch import Tensor

from icmbench.bitstream.tables import SCALES
from icmbench.codecs.zoo.importing import import_checkpoint
from icmbench.codecs.zoo.model_folder import member_folder
from icmbench.codecs.zoo.networks import NETWORKS, ZooSettings
from icmbench.codecs.zoo.published import FACTORIZED, HYPERPRIOR, MEAN, NAMES, Training
from icmbench.codecs.zoo.zoo_model import ZooModel

GOLDEN = Path(__file__).parent / "data" / "zoo" / "golden.npz"
MARGIN = 1e-3  # of the nearest value to a tie of rounding: symbols hold on other processors
N, M = 6, 10
QUALITY = 3
SEEDS = {FACTORIZED: 109, HYPERPRIOR: 75, MEAN: 91}  # no value is near a tie
SIZE = (72, 100)  # of the golden image: padded to 128 x 128
OLD = {"matrices.": "_matrix", "biases.": "_bias", "factors.": "_factor"}


def learned(codec: str, n: int = N, m: int = M) -> dict[str, Tensor]:
    """Seeded learned tensors by today's names; y and z spread over several symbols."""
    rng = np.random.default_rng(SEEDS[codec])
    with torch.device("meta"):
        shapes = {
            k: tuple(v.shape)
            for k, v in NETWORKS[codec](ZooSettings(codec, n, m)).state_dict().items()
        }
    state = {}
    for name, shape in shapes.items():
        kind = name.split(".")[-1]
        fan_in = math.prod(shape[1:]) if kind == "weight" else 1
        values = rng.standard_normal(shape) / math.sqrt(fan_in)
        if kind == "beta":
            values = np.sqrt(1 + np.abs(values))
        elif kind == "gamma":
            values = np.sqrt(np.abs(0.1 * values))
            values[0, 0] = 0.0  # below the bound
        elif kind == "bias":
            values = 0.1 * values
        elif kind == "quantiles":
            values = np.tile([-9.0, 0.25, 9.5], (*shape[:1], 1, 1))
        elif "matrices" in name:
            values = 0.3 * values - 0.2
        elif "factors" in name:
            values = 0.1 * values
        state[name] = torch.from_numpy(values.astype(np.float32))
    state["g_a.6.weight"] *= 12
    state["g_s.0.weight"] *= 0.05
    state["g_s.6.weight"] *= 0.4
    state["g_s.6.bias"] += 0.5
    if codec != FACTORIZED:
        state["h_a.4.weight"] *= 2
        state["h_s.4.bias"][:m] += 3
    return state


def published(codec: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All tensors of a published checkpoint: the learned ones, tables and constants."""
    tail = math.log(2 / 1e-9 - 1)
    found = dict(state)
    heads = ["entropy_bottleneck"] + ["gaussian_conditional"] * (codec != FACTORIZED)
    for head in heads:
        found |= {
            f"{head}._offset": torch.zeros(4, dtype=torch.int32),
            f"{head}._quantized_cdf": torch.zeros(4, 9, dtype=torch.int32),
            f"{head}._cdf_length": torch.full((4,), 9, dtype=torch.int32),
            f"{head}.likelihood_lower_bound.bound": torch.tensor([1e-9]),
        }
    found["entropy_bottleneck.target"] = torch.tensor([-tail, 0.0, tail])
    if codec != FACTORIZED:
        found["gaussian_conditional.scale_table"] = torch.from_numpy(SCALES).float()
        found["gaussian_conditional.scale_bound"] = torch.tensor([0.11])
        found["gaussian_conditional.lower_bound_scale.bound"] = torch.tensor([0.11])
    for name in [name for name in state if name.endswith(".beta")]:
        layer = name.removesuffix("beta")
        for kind, least in (("beta", 1e-6), ("gamma", 0.0)):
            found[f"{layer}{kind}_reparam.pedestal"] = torch.tensor([2.0**-36])
            bound = torch.tensor([(least + 2.0**-36) ** 0.5])
            found[f"{layer}{kind}_reparam.lower_bound.bound"] = bound
    return found


def old_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as earlier releases name them, of a network on several GPUs."""
    found = {}
    for name, tensor in state.items():
        for ours, theirs in OLD.items():
            name = name.replace(f"entropy_bottleneck.{ours}", f"entropy_bottleneck.{theirs}")
        found[f"module.{name}"] = tensor
    return found


def write_checkpoint(
    folder: Path, codec: str, state: Mapping[str, object], quality: int = QUALITY, metric: str = ""
) -> Path:
    """Write tensors under a published name, which ends with digits of the file's sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "checkpoint"
    torch.save(dict(state), path)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return path.rename(folder / f"{codec}{metric}-{quality}-{digits}.pth.tar")


@functools.cache
def tiny_zoo_models() -> Path:
    """A folder of models with one imported training of every codec; it lives as long as the run."""
    home = Path(tempfile.mkdtemp(prefix="icmbench-zoo-"))
    for codec in NAMES:
        state = published(codec, learned(codec))
        import_checkpoint(write_checkpoint(home / "files", codec, state), home / "models")
    return home / "models"


def golden_arrays() -> dict[str, np.ndarray]:
    """What the golden file holds, computed anew: sections and reconstruction of every codec."""
    image = make_picture(*SIZE)
    found = {}
    for codec in NAMES:
        model = tiny_model(codec)
        sections = model.encode(image)
        for number, section in enumerate(sections):
            found[f"{codec}.{number}"] = np.frombuffer(section, np.uint8)
        found[f"{codec}.image"] = model.decode(tuple(sections), SIZE)
    return found


def tiny_model(codec: str, device: str = "cpu") -> ZooModel:
    folder = member_folder(tiny_zoo_models(), Training(codec, "mse", QUALITY))
    return ZooModel(codec, folder, device)


def least_tie(codec: str) -> float:
    """Distance of the nearest value of y or z to a tie of rounding."""
    model = tiny_model(codec)
    y, z = model.latents(make_picture(*SIZE))
    medians = model.codec.network.entropy_bottleneck.medians()
    values = [(y if z is None else z) - medians]
    if z is not None:
        means = 0.0
        if codec == MEAN:
            z_hat = ((z - medians).round() + medians).double()
            means = model.codec.network.gaussian_parameters(z_hat)[1]
        values.append(y - means)
    return min(float((0.5 - (v - v.round()).abs()).min()) for v in values)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print({codec: least_tie(codec) for codec in NAMES})
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(GOLDEN, **golden_arrays())
