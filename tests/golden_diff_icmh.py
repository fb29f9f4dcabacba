"""The golden file of the LFGCM codec. By hand: `python tests/golden_diff_icmh.py` writes it again.

It holds what an untrained network makes of a seeded input, and a few of the network's weights: a
change of the initialisation is told apart from a change of the network.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from icmbench.codecs.diff_icmh.networks.checkerboard import pack
from icmbench.codecs.diff_icmh.networks.lfgcm import Lfgcm, build_lfgcm
from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
from icmbench.core.files import write_bytes

FILE = Path(__file__).parent / "data" / "diff_icmh" / "lfgcm_golden.safetensors"
SEED = 3
MARGIN = 1e-3  # of the nearest value to a tie of rounding: symbols hold on other processors

# Every kind of layer: three slices, of which two are of unlike width, and an odd fusion width.
TINY = LfgcmSettings(
    encoder=(4, 4, 8, 8),
    hyper=8,
    latent=10,
    prior=4,
    slices=(2, 2, 6),
    sft_hidden=6,
    context_hidden=(7, 5),
)


def amplify(network: Lfgcm) -> Lfgcm:
    """Symbols other than 0: an untrained network's y and z are small, and its scales near 0."""
    with torch.no_grad():
        network.g_a.g_a6.weight.mul_(15)
        network.h_a.h_a9.weight.mul_(30)
        for parameters in (network.entropy_parameters_anchor, network.entropy_parameters_nonanchor):
            for index, channels in enumerate(network.settings.slices):
                parameters.get_submodule(f"{index}.fusion.4").bias[:channels] += 1  # type: ignore
    return network


def inputs(
    height: int = 64, width: int = 128, images: int = 1, seed: int = 5
) -> tuple[Tensor, Tensor]:
    """An image of smooth colours with noise, values k/255, and a latent of it."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(images, 3, height // 16, width // 16, generator=generator)
    x = torch.nn.functional.interpolate(coarse, (height, width), mode="nearest")
    x = (x + 0.1 * torch.rand(x.shape, generator=generator)).clamp(0, 1)
    ref = torch.randn(images, 4, height // 8, width // 8, generator=generator)
    return (x * 255).round() / 255, ref


def symbols(
    network: Lfgcm, y: Tensor, z_hat: Tensor, exact: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Symbols, scales and distances to a tie, in coding order, each flat."""
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    parts = network.split(y)

    def visit(scales: Tensor, means: Tensor, index: int, anchor: bool) -> Tensor:
        residual = pack(parts[index], anchor) - means
        tie = 0.5 - (residual - residual.round()).abs()
        found.append((residual.round().int().flatten(), scales.flatten(), tie.flatten()))
        return residual.round()

    network.walk(network.hyper(z_hat), visit, exact)
    values, scales, ties = (torch.cat(each) for each in zip(*found, strict=True))
    return values, scales, ties


def golden_tensors() -> dict[str, Tensor]:
    """What the file holds, computed anew."""
    network = amplify(build_lfgcm(TINY, SEED)).eval()
    x, ref = inputs()
    with torch.no_grad():
        y, z = network.analyse(x, ref)
        out = network(x, ref)
        y_symbols, _, ties = symbols(network, y, out.z_hat)
        hyper_params = network.hyper(out.z_hat)
    medians = network.entropy_bottleneck.medians()
    z_symbols = (out.z_hat - medians).round().int()
    z_ties = 0.5 - (z - out.z_hat).abs()
    return {
        "weights": torch.stack([p.detach().flatten()[0] for p in network.parameters()]),
        "x": x[0, 0, 0],
        "ref": ref[0, 0, 0],
        "ties": torch.stack([ties.min(), z_ties.min()]),
        "y": y,
        "z": z,
        "y_symbols": y_symbols,
        "z_symbols": z_symbols,
        "hyper_params": hyper_params,
        "y_hat": out.y_hat,
        "y_likelihoods": out.y_likelihoods,
        "z_likelihoods": out.z_likelihoods,
        "c": out.c,
        "bits": out.bits,
    }


def make_lfgcm_golden() -> None:
    """Write the file."""
    tensors = golden_tensors()
    if float(tensors["ties"].min()) < MARGIN:
        raise SystemExit(f"a value is {float(tensors['ties'].min())} from a tie: other seed")
    FILE.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(FILE, save({name: tensor.contiguous() for name, tensor in tensors.items()}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    make_lfgcm_golden()
