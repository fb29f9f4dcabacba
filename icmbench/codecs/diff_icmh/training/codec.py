"""Training of the codec and its control network, in two stages (Diff-ICMH, section 4.1).

Both minimise four losses together: the error of the predicted noise under control, the squared
error of c against the latent, the rate, and the semantic consistency of c (SC). Stage 1 trains
everything at the highest rate, stage 2 goes on at the other rate points. With adapters one network
serves all points: every step of stage 2 draws one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from icmbench.codecs.diff_icmh.entropy.rate_tables import settle_bottleneck, write_tables
from icmbench.codecs.diff_icmh.networks.control import (
    ControlNetwork,
    ControlSettings,
    UnetSettings,
    build_control,
    middle_features,
    predict_noise,
)
from icmbench.codecs.diff_icmh.networks.lfgcm import STRIDE, Lfgcm, LfgcmSettings, build_lfgcm
from icmbench.codecs.diff_icmh.networks.prior import Prior, load_prior
from icmbench.codecs.diff_icmh.sampling import STEPS, add_noise
from icmbench.codecs.mpd.model import part_file
from icmbench.core.errors import ConfigError, ModelError
from icmbench.core.files import sha256_file
from icmbench.models.latent_autoencoder import LatentAutoencoder, load_autoencoder
from icmbench.models.tensors import fill_network, load_network, rounded, save_network, state_digest
from icmbench.training.data import TrainingData
from icmbench.training.loop import Losses, Schedule, forward_pass, train
from icmbench.training.provenance import training_provenance
from icmbench.training.source_tags import tag_training_data

SPREAD: Final = 1.5  # standard deviation of y and z at the start, in quantisation steps
FORGET: Final = 0.1  # share of the examples whose text is dropped, each by itself
DECODING: Final = {"sampler": "ddim", "steps": 8, "guidance": 1.0, "start": 400, "clip": 4.0}

# What fits beside the small prior: an eighth of the published codec's width.
SMALL: Final = LfgcmSettings(
    encoder=(16, 24, 32, 48),
    hyper=32,
    latent=64,
    prior=16,
    slices=(8, 8, 16, 32),
    sft_hidden=24,
    context_hidden=(48, 32),
    rates=4,
)


@dataclass(frozen=True)
class Weights:
    """Weights of the losses.

    Attributes:
        noise: of the squared error of the predicted noise; 0: the prior is not evaluated for it,
            and the control network stays as it is.
        guide: of the squared error of c.
        rate: of the bits per pixel, from the lowest rate to the highest: falling.
        semantic: of SC; 0: without.
        tags: whether the network is told what the picture shows (TGM).
        draws: noise levels per picture; the codec's work is shared by them.
        steer_only: train the control network alone, beside the codec as it is.
    """

    noise: float = 1.0
    guide: float = 1.0
    rate: tuple[float, ...] = (32.0, 16.0, 8.0, 2.0)
    semantic: float = 2.0
    tags: bool = True
    draws: int = 1
    steer_only: bool = False

    def __post_init__(self) -> None:
        if not self.rate or list(self.rate) != sorted(self.rate, reverse=True):
            raise ConfigError(f"rate weights {list(self.rate)}: they fall from low rate to high")


@dataclass(frozen=True)
class Parts:
    """What stays as it is while the codec is trained: the autoencoder and the prior."""

    model: LatentAutoencoder
    prior: Prior
    digest: Mapping[str, str]


def load_parts(autoencoder: Path, prior: Path, device: str) -> Parts:
    """Both frozen, on the device."""
    model = load_autoencoder(part_file(autoencoder, "autoencoder"))
    model.network.to(device)
    loaded = load_prior(prior).to(device)
    file = part_file(autoencoder, "autoencoder")
    digest = {"autoencoder": sha256_file(file), "prior": sha256_file(prior)}
    return Parts(model, loaded, digest)


class Trained(torch.nn.Module):
    """The codec and its control network, trained together."""

    def __init__(self, lfgcm: Lfgcm, control: ControlNetwork) -> None:
        super().__init__()
        self.lfgcm = lfgcm
        self.control = control


def make_codec(
    folder: Path,
    parts: Parts,
    schedule: Schedule,
    pool: TrainingData,
    *,
    stage: int,
    weights: Weights,
    source_tags: Mapping[str, Sequence[str]],
    crop: int,
    checkpoint: Path,
    history: Path,
    start: Path | None = None,
    settings: LfgcmSettings = SMALL,
    control: ControlSettings | None = None,
    device: str = "cpu",
) -> None:
    """Train codec and control network and write their files and the tables.

    Args:
        folder: gets `codec`, `control` and `tables`.
        stage: 1 trains at the highest rate, 2 at all of `weights.rate`.
        crop: pixels a side of the training crops, a multiple of 64.
        start: folder whose codec and control are trained on; their sizes are kept.

    Raises ConfigError where the crop does not fit and where the codec has other rates.
    """
    if crop % STRIDE:
        raise ConfigError(f"crop {crop}: the codec takes multiples of {STRIDE} pixels")
    if start is None and settings.rates:
        settings = replace(settings, rates=len(weights.rate))
    network, about = _networks(parts, schedule.seed, start, settings, control)
    if network.lfgcm.settings.rates not in (0, len(weights.rate)):
        raise ConfigError(
            f"{len(weights.rate)} rate weights, the codec has {network.lfgcm.settings.rates} rates"
        )
    train_codec(
        network,
        parts,
        schedule,
        pool,
        stage=stage,
        weights=weights,
        source_tags=source_tags,
        crop=crop,
        checkpoint=checkpoint,
        history=history,
        device=device,
        describe=about,
    )
    first = start / "codec.safetensors" if start else None
    provenance = training_provenance(schedule, pool, crop, first)
    provenance |= {"stage": stage, "weights": asdict(weights), **parts.digest}
    write_codec(folder, network, parts.prior.settings.unet, provenance)


def write_codec(
    folder: Path, network: Trained, unet: UnetSettings, provenance: Mapping[str, Any]
) -> None:
    """Write the three files that training decides."""
    lfgcm = network.lfgcm
    state = rounded(lfgcm.state_dict())
    stored = build_lfgcm(lfgcm.settings, seed=0)
    stored.load_state_dict(state)
    settle_bottleneck(stored.entropy_bottleneck)
    about = {
        "network": lfgcm.settings.values(),
        "decoding": dict(DECODING),
        "provenance": dict(provenance),
    }
    save_network(folder / "codec.safetensors", stored.state_dict(), about)
    sizes = {"unet": unet.values(), "control": network.control.settings.values()}
    about = {"network": sizes, "provenance": dict(provenance)}
    save_network(folder / "control.safetensors", network.control.state_dict(), about)
    write_tables(folder / "tables.safetensors", folder / "codec.safetensors")


def _networks(
    parts: Parts,
    seed: int,
    start: Path | None,
    settings: LfgcmSettings,
    control: ControlSettings | None,
) -> tuple[Trained, dict[str, Any]]:
    """The networks to train, new or from a folder, and what they are."""
    unet = parts.prior.settings.unet
    states = {}
    sizes = control or ControlSettings(hint=unet.latent)
    if start is not None:
        try:
            states["lfgcm"], metadata = load_network(start / "codec.safetensors")
            settings = LfgcmSettings.read(metadata["network"])
            states["control"], metadata = load_network(start / "control.safetensors")
            sizes = ControlSettings.read(metadata["network"]["control"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{start}: its metadata is incomplete: {error}") from error
    network = Trained(build_lfgcm(settings, seed), build_control(unet, sizes, seed + 1))
    if start is None and sizes.ratio == 1.0:
        _copy_encoder(network.control, parts.prior)
    for name, state in states.items():
        fill_network(getattr(network, name), state, f"start of the codec's training, {start}")
    digests = {name: state_digest(state) for name, state in states.items()}
    about = {"network": settings.values(), "control": sizes.values(), "start": digests}
    return network, about


def _copy_encoder(control: ControlNetwork, prior: Prior) -> None:
    """Let the control network start as the prior's encoder; it sees c as it sees x_t.

    Weights of other shapes, where the numbers of heads differ, keep their random start.
    """
    own = control.encoder.state_dict()
    for name, tensor in prior.unet.state_dict().items():
        if name not in own:
            continue
        if own[name].shape == tensor.shape:
            own[name] = tensor.detach().cpu().clone()
        elif name == "conv_in.weight":
            own[name] = torch.cat([tensor, tensor], 1)[:, : own[name].shape[1]].detach().cpu()
    control.encoder.load_state_dict(own)


def train_codec(
    network: Trained,
    parts: Parts,
    schedule: Schedule,
    pool: TrainingData,
    *,
    stage: int,
    weights: Weights,
    source_tags: Mapping[str, Sequence[str]],
    crop: int,
    checkpoint: Path,
    history: Path,
    device: str,
    describe: Mapping[str, Any],
) -> None:
    """Train both networks in place."""
    tags = tag_training_data(pool, source_tags)
    ids = {name: number for number, name in enumerate(parts.prior.settings.vocabulary)}
    known = [[ids[n] for t in found if (n := tags.vocabulary[t]) in ids] for found in tags.tags]
    if not describe.get("start"):
        calibrate(network.lfgcm, parts.model, pool.crops(np.random.default_rng(0), 8, crop))
    network.to(device)
    network.lfgcm.requires_grad_(not weights.steer_only)
    lowest = len(weights.rate) - 1 if stage == 1 else 0

    def losses(rng: np.random.Generator) -> Losses:
        pixels, images = pool.crops_of(rng, schedule.batch, crop)
        drop = rng.random(len(images)) < FORGET
        shown = [
            () if forget or not weights.tags else tuple(known[image])
            for image, forget in zip(images, drop, strict=True)
        ]
        point = int(rng.integers(lowest, len(weights.rate)))
        count = len(images) * weights.draws
        level = torch.from_numpy(rng.integers(STEPS, size=count)).to(device)
        batch = torch.from_numpy(pixels).to(device)
        with forward_pass(schedule, device):
            return codec_losses(network, parts, batch, shown, level, point, weights)

    train(
        f"codec-stage-{stage}",
        network,
        schedule,
        losses,
        checkpoint=checkpoint,
        history=history,
        describe={
            **describe,
            **parts.digest,
            "stage": stage,
            "weights": asdict(weights),
            "pool": pool.digest,
            "tags": known,
            "crop": crop,
        },
    )
    network.cpu().requires_grad_(True)


def calibrate(lfgcm: Lfgcm, model: LatentAutoencoder, pixels: NDArray[np.float32]) -> None:
    """Scale the last layers of an untrained codec so that y and z start with `SPREAD` deviation.

    The usual initialisation lets both round to zero everywhere: nothing is coded, the decoder
    learns to live without, and the rate's loss keeps it so.
    """
    batch = torch.from_numpy(pixels)
    last = len(lfgcm.adapters.gain_y) - 1 if lfgcm.adapters is not None else None
    with torch.no_grad():
        latent = _latent(model, batch.to(next(model.network.parameters()).device)).cpu()
        for layer, index in ((lfgcm.encoder.g_a6, 0), (lfgcm.hyper_enc.h_a9, 1)):
            found = lfgcm.analyse((batch + 1) / 2, latent, last)[index]
            # Channel by channel: the spread is over places, a constant is worth nothing.
            spread = found.std((0, 2, 3)).clamp(min=1e-6)
            mean = found.mean((0, 2, 3))
            layer.weight.mul_((SPREAD / spread)[:, None, None, None])
            assert layer.bias is not None
            layer.bias.sub_(mean).mul_(SPREAD / spread)


def codec_losses(
    network: Trained,
    parts: Parts,
    pixels: torch.Tensor,
    shown: Sequence[Sequence[int]],
    level: torch.Tensor,
    point: int,
    weights: Weights,
) -> Losses:
    """The four losses of a batch of pictures (n, 3, H, W) in [-1, 1].

    Args:
        shown: tags of every picture.
        level: diffusion steps, int (n draws,), those of a picture side by side.
        point: of the rate.
    """
    latent = _latent(parts.model, pixels)
    rate = point if network.lfgcm.settings.rates else None
    with torch.set_grad_enabled(not weights.steer_only):
        coded = network.lfgcm((pixels + 1) / 2, latent, rate)
    hint, context = coded.c.float(), parts.prior.embedder(shown)
    terms = {
        "guide": torch.nn.functional.mse_loss(hint, latent),
        "bits": coded.bits.mean() / (pixels.shape[2] * pixels.shape[3]),
    }
    loss = weights.guide * terms["guide"] + weights.rate[point] * terms["bits"]
    if weights.noise:
        clean, hints, texts = (
            part.repeat_interleave(weights.draws, 0) for part in (latent, hint, context)
        )
        noise = torch.randn(clean.shape).to(latent.device)
        noisy = add_noise(clean, noise, level)
        guess = predict_noise(parts.prior.unet, network.control, noisy, hints, level, texts)
        terms["noise"] = torch.nn.functional.mse_loss(guess.float(), noise)
        loss = loss + weights.noise * terms["noise"]
    if weights.semantic:
        terms["semantic"] = semantic_loss(parts.prior.unet, hint, latent, context)
        loss = loss + weights.semantic * terms["semantic"]
    return {"loss": loss, **terms, "point": torch.tensor(float(point))}


def semantic_loss(
    unet: Any, hint: torch.Tensor, latent: torch.Tensor, context: torch.Tensor
) -> torch.Tensor:
    """SC: 1 - cosine of the prior's middle features of c and of the latent (section 3.2).

    At t = 0, without noise, with the same text; the mean over positions.
    """
    zero = torch.zeros(len(latent), dtype=torch.long, device=latent.device)
    with torch.no_grad():
        goal = middle_features(unet, latent, zero, context)
    found = middle_features(unet, hint, zero, context)
    cosine = torch.nn.functional.cosine_similarity(found.float(), goal.float(), dim=1, eps=1e-8)
    return (1 - cosine).mean()


def _latent(model: LatentAutoencoder, pixels: torch.Tensor) -> torch.Tensor:
    """The standardised mean of the posterior, (n, C, h, w)."""
    mean, std = (
        torch.from_numpy(v).to(pixels.device)[:, None, None] for v in (model.mean, model.std)
    )
    with torch.no_grad():
        posterior = model.network.encode(pixels).latent_dist
        latent: torch.Tensor = (posterior.mode().float() - mean) / std
    return latent
