"""Training of the control network through the sampler (ours): the loss is one of decoded images.

A network that predicts noise well on average need not sample well in four steps. Here the training
decodes as decoding does: c with noise, DDIM's few steps, the autoencoder's decoder; the gradient
goes back through all of it (as Clark et al. 2024, "Directly fine-tuning diffusion models on
differentiable rewards", do for a reward). Codec, prior and autoencoder stay frozen.

    loss of an image = sum of weight * term of the sample / the same term of c decoded directly

so that 1 is what decoding without diffusion has, at every rate and of every image. Terms are the
squared error of the latent, 1 - SSIM over three scales of the image, and the distance of
EfficientNet-Lite0's features.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final

import torch

from icmbench.classifier.efficientnet_lite import EfficientNetLite0, load_lite0
from icmbench.codecs.diff_icmh.controlled_prior import ControlledPrior
from icmbench.codecs.diff_icmh.training.losses import (
    CodecNetworks,
    FrozenNetworks,
    LossWeights,
    SampledWeights,
    decoded_image,
    standardised_latent,
)
from icmbench.training.loop import Losses
from icmbench.training.losses import structure_of_each
from icmbench.training.shares import Share

MIN_REFERENCE: Final = 1e-4  # of a term of c: an image that c has exactly must not count alone

Terms = dict[str, torch.Tensor]


def sampled_losses(
    network: CodecNetworks,
    frozen: FrozenNetworks,
    pixels: torch.Tensor,
    tags: Sequence[Sequence[int]],
    point: int,
    weights: LossWeights,
    share: Share,
) -> Losses:
    """Compute the loss of a batch of images (n, 3, H, W) in [-1, 1] at the rate of index `point`.

    `tags`: of every image. Raises ModelError where the features' network is missing.
    """
    sampled = weights.sampled
    assert sampled is not None, "a training through the sampler has its weights"
    latent = standardised_latent(frozen.model, pixels)
    rate = point if network.lfgcm.settings.rates else None
    compare = _Comparison(frozen, pixels, latent, sampled)
    with torch.no_grad():
        c = network.lfgcm((pixels + 1) / 2, latent, rate, share.uniform).c.float()
        reference = compare(c)
    seeds = share.rows(torch.randint(2**31, (share.whole,))).tolist()
    prior = ControlledPrior(frozen.prior, network.control, None, str(pixels.device))
    samples = prior.sample(
        c,
        [tuple(each) for each in tags],
        sampler="ddim",
        steps=sampled.steps,
        guidance=1.0,
        seeds=seeds,
        start=weights.levels - 1,
    )
    ratios = {
        name: (term / reference[name].clamp_min(MIN_REFERENCE)).mean()
        for name, term in compare(samples).items()
    }
    loss = sum(getattr(sampled, name) * ratio for name, ratio in ratios.items())
    assert isinstance(loss, torch.Tensor), "a weight is above 0"
    return {"loss": loss, **ratios, "point": torch.tensor(float(point))}


class _Comparison:
    """Terms of latents and their decoded images against one batch of originals."""

    def __init__(
        self,
        frozen: FrozenNetworks,
        pixels: torch.Tensor,
        latent: torch.Tensor,
        weights: SampledWeights,
    ) -> None:
        self._frozen, self._pixels, self._latent = frozen, pixels, latent
        self._weights = weights
        if weights.features:
            self._classifier = _classifier(str(pixels.device))
            with torch.no_grad():
                self._features = self._classifier.stages(pixels)

    def __call__(self, latents: torch.Tensor) -> Terms:
        """Compute the terms that have a weight, (n) each."""
        weights, found = self._weights, {}
        if weights.error:
            found["error"] = (latents - self._latent).square().mean((1, 2, 3))
        if weights.structure or weights.features:
            image = decoded_image(self._frozen.model, latents).clamp(-1, 1)
        if weights.structure:
            found["structure"] = structure_of_each(image, self._pixels)
        if weights.features:
            found["features"] = feature_distance(self._classifier.stages(image), self._features)
        return found


@functools.cache
def _classifier(device: str) -> EfficientNetLite0:
    return load_lite0().to(device)


def feature_distance(maps: Sequence[torch.Tensor], targets: Sequence[torch.Tensor]) -> torch.Tensor:
    """Compute 1 - cosine of the feature maps of images and of their originals, (n).

    `maps`: (n, C, h, w) of every stage, as `EfficientNetLite0.stages` gives them of images in
    [-1, 1], which is the network's range of values. The mean over places, then over the stages.
    """
    cosines = [
        torch.nn.functional.cosine_similarity(a.float(), b.float(), dim=1, eps=1e-6).mean((1, 2))
        for a, b in zip(maps, targets, strict=True)
    ]
    return 1 - torch.stack(cosines).mean(0)
