"""CompressAI itself, in a process of its own: checkpoints, symbols, reconstructions and rates.

    python compressai_reference.py OUT IMAGES.npz SPEC...

A spec is `<codec>:<N>:<M>:<naming>`: a network of random weights, scaled so that y and z have
spreads as trained ones have, with a factorised prior that is fitted to its latent, and names of its
tensors as in today's release or as in earlier ones (`new`, `old`). OUT gets its checkpoint under a
published name and an `.npz` with what CompressAI makes of every image.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from compressai.models import FactorizedPrior, MeanScaleHyperprior, ScaleHyperprior

KINDS = {
    "bmshj2018-factorized": FactorizedPrior,
    "bmshj2018-hyperprior": ScaleHyperprior,
    "mbt2018-mean": MeanScaleHyperprior,
}
OLD = {"matrices": "matrix", "biases": "bias", "factors": "factor"}


def spread(module: Any, values: torch.Tensor, wanted: torch.Tensor) -> None:
    """Scale the output channels of a layer from their standard deviations to the wanted ones."""
    factor = wanted / values.std((0, 2, 3)).clamp(min=1e-6)
    module.weight *= factor[:, None, None, None]
    module.bias *= factor
    module.bias += torch.linspace(-1, 1, len(factor))  # medians other than 0


def adjusted(name: str, n: int, m: int, x: torch.Tensor) -> Any:
    """A network of random weights whose latents spread over symbols as a trained one's do."""
    torch.manual_seed(len(name) + n)
    net = KINDS[name](n, m)
    with torch.no_grad():
        scales = torch.exp(torch.linspace(np.log(0.15), np.log(12.0), m))
        spread(net.g_a[6], net.g_a(x), scales)
        if name != "bmshj2018-factorized":
            y = net.g_a(x)
            z = net.h_a(magnitude(name, y))
            spread(net.h_a[4], z, torch.exp(torch.linspace(np.log(0.3), np.log(4.0), n)))
            calibrate(name, net, y, m)
        net.g_s[6].weight *= 0.1
        net.g_s[6].bias += 0.5
    fit(net, x)
    net.update(force=True)
    return net.eval()


def magnitude(name: str, y: torch.Tensor) -> torch.Tensor:
    """The input of the hyper-analysis."""
    return y.abs() if name == "bmshj2018-hyperprior" else y


def calibrate(name: str, net: Any, y: torch.Tensor, m: int) -> None:
    """Make the scales of y those that y has, on average per channel, as training does."""
    last, z_hat = net.h_s[4], net.h_a(magnitude(name, y)).round()
    last.weight *= 0.05
    last.bias[:] = 0.0
    if name == "mbt2018-mean":
        last.bias[m:] = y.mean((0, 2, 3))
        y = y - net.h_s(z_hat)[:, m:]
    last.bias[:m] = (y**2).mean((0, 2, 3)).sqrt()


def fit(net: Any, x: torch.Tensor) -> None:
    """Fit the factorised prior to its latent, and its quantiles to it, as training does."""
    prior = net.entropy_bottleneck
    with torch.no_grad():
        values = net.g_a(x)
        if hasattr(net, "h_a"):
            values = net.h_a(values.abs() if type(net) is ScaleHyperprior else values)
    learned = [p for name, p in prior.named_parameters() if name != "quantiles"]
    optimiser = torch.optim.Adam(learned, lr=2e-2)
    prior.train()
    for _ in range(300):
        optimiser.zero_grad()
        _, likelihoods = prior(values)
        (-likelihoods.log2().sum() / values.numel()).backward()
        optimiser.step()
    optimiser = torch.optim.Adam([prior.quantiles], lr=0.1)
    for _ in range(1500):
        optimiser.zero_grad()
        prior.loss().backward()
        optimiser.step()


def results(net: Any, x: torch.Tensor) -> dict[str, np.ndarray]:
    """Symbols, reconstruction, estimated bits and bytes of the strings of one image."""
    with torch.no_grad():
        out = net(x)
        coded = net.compress(x)
        x_hat = net.decompress(coded["strings"], coded["shape"])["x_hat"]
        y = net.g_a(x)
        found = {"x_hat": x_hat[0].numpy()}
        prior = net.entropy_bottleneck
        medians = prior._get_medians().reshape(1, -1, 1, 1)
        if not hasattr(net, "h_a"):
            residual = y - medians
            found["y"] = prior.quantize(y, "symbols", medians).numpy()
        else:
            z = net.h_a(y.abs() if type(net) is ScaleHyperprior else y)
            z_symbols = prior.quantize(z, "symbols", medians)
            found["z"] = z_symbols.numpy()
            found["z_tie"] = tie(z - medians)
            params = net.h_s(z_symbols + medians)
            means = params.chunk(2, 1)[1] if type(net) is MeanScaleHyperprior else None
            residual = y if means is None else y - means
            found["y"] = net.gaussian_conditional.quantize(y, "symbols", means).numpy()
        found["tie"] = tie(residual)
    bits = -sum(float(p.double().log2().sum()) for p in out["likelihoods"].values())
    found["bits"] = np.array(bits)
    found["bytes"] = np.array(sum(len(strings[0]) for strings in coded["strings"]))
    return found


def tie(values: torch.Tensor) -> np.ndarray:
    """How far every value is from a tie of rounding, 0 to 0.5."""
    return (0.5 - (values - values.round()).abs()).numpy()


def old_name(name: str) -> str:
    """The name of a tensor in the releases before 1.2.8."""
    found = re.fullmatch(r"(entropy_bottleneck)\.(matrices|biases|factors)\.(\d)", name)
    return f"{found[1]}._{OLD[found[2]]}{found[3]}" if found else name


def main(out: Path, images: Path, specs: list[str]) -> None:
    """Make a checkpoint and the results of every spec."""
    torch.set_num_threads(1)
    loaded = np.load(images)
    tensors = {k: torch.from_numpy(v).permute(2, 0, 1)[None] / 255 for k, v in loaded.items()}
    for number, spec in enumerate(specs, 1):
        name, n, m, naming = spec.split(":")
        net = adjusted(name, int(n), int(m), tensors["fitted"])
        state = net.state_dict()
        if naming == "old":
            state = {old_name(key): value for key, value in state.items()}
        path = out / "checkpoint"
        torch.save(state, path)
        digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        path.rename(out / f"{name}-{number}-{digits}.pth.tar")
        arrays = {
            f"{image}.{what}": array
            for image, x in tensors.items()
            for what, array in results(net, x).items()
        }
        np.savez(out / f"{name}-{number}.npz", **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
