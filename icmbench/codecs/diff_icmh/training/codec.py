"""Training of the codec and its control network, in two stages (Diff-ICMH, section 4.1).

Both minimise the same loss (`losses`). Stage 1 trains everything at the highest rate, stage 2
fine-tunes at all rates: with gains one network serves them all, and every step draws one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from icmbench.classifier.lite0_weights import PACKAGE, SHA256
from icmbench.codecs.diff_icmh.networks.control import (
    ControlNetwork,
    ControlSettings,
    build_control,
)
from icmbench.codecs.diff_icmh.networks.lfgcm import STRIDE, build_lfgcm
from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
from icmbench.codecs.diff_icmh.text import Conditioned
from icmbench.codecs.diff_icmh.training.calibration import calibrate, first_crops
from icmbench.codecs.diff_icmh.training.codec_files import DECODING, SMALL, write_codec
from icmbench.codecs.diff_icmh.training.losses import (
    CodecNetworks,
    FrozenNetworks,
    LossWeights,
    codec_losses,
)
from icmbench.codecs.diff_icmh.training.prior import DROPOUT, tag_ids
from icmbench.codecs.diff_icmh.training.sampled import sampled_losses
from icmbench.core.errors import ConfigError, ModelError
from icmbench.models.tensors import (
    fill_network,
    load_network,
    read_metadata,
    state_digest,
)
from icmbench.training.data import TrainingData
from icmbench.training.image_tags import ImageTags, tags_of_images
from icmbench.training.loop import Losses, Schedule, Session, forward_pass, train
from icmbench.training.provenance import training_provenance
from icmbench.training.shares import Share
from icmbench.training.source_tags import tag_training_data

BLEND_CHANNELS: Final = 64  # hidden ones of the layers that mix c in


def make_codec(
    folder: Path,
    frozen: FrozenNetworks,
    schedule: Schedule,
    data: TrainingData,
    session: Session,
    *,
    stage: int,
    weights: LossWeights,
    source_tags: Mapping[str, Sequence[str]],
    image_tags: ImageTags | None = None,
    crop: int,
    settings: LfgcmSettings = SMALL,
    control: ControlSettings | None = None,
    control_from_scratch: bool = False,
    decoding: Mapping[str, Any] = DECODING,
) -> None:
    """Train codec and control network and write their files and the tables.

    Args:
        folder: gets `codec`, `control` and `tables`.
        stage: 1 trains at the highest rate, 2 at all of `weights.lambda_rate`.
        session: its start is a folder whose codec and control are fine-tuned; their sizes are kept.
        image_tags: ids of every image's tags in the prior's vocabulary, beside those of the source
            and of annotations; None: there are no others.
        crop: pixels a side of the training crops, a multiple of 64.
        control_from_scratch: the start has a codec alone.
        decoding: defaults of the decode keys, which the codec's file keeps; those of the start
            where its control network mixes c in and is not trained through the sampler.

    Raises ConfigError where the crop does not fit and where the codec has other rates.
    """
    if crop % STRIDE:
        raise ConfigError(f"crop {crop}: the codec takes multiples of {STRIDE} pixels")
    start = session.start
    if start is None and settings.rates:
        settings = replace(settings, rates=len(weights.lambda_rate))
    network, about = _networks(
        frozen, schedule.seed, start, settings, control, start is None or control_from_scratch
    )
    if weights.sampled:
        network.control = blending(network.control, schedule.seed)
        about["control"] = network.control.settings.values()
    rates = network.lfgcm.settings.rates
    if rates not in (0, len(weights.lambda_rate)):
        raise ConfigError(f"{len(weights.lambda_rate)} rate weights, the codec has {rates} rates")
    train_codec(
        network,
        frozen,
        schedule,
        data,
        session,
        stage=stage,
        weights=weights,
        source_tags=source_tags,
        image_tags=image_tags,
        crop=crop,
        describe=about,
    )
    first = start / "codec.safetensors" if start else None
    provenance = training_provenance(schedule, data, crop, first)
    if first and stage == 2:
        before = read_metadata(first).get("provenance", {})
        # Without a stage 1 in this run the start is a finished codec: the card has its provenance.
        provenance |= {"before": before} if before.get("stage") == 1 else {}
    provenance |= {"stage": stage, "weights": weights.metadata(), **frozen.digest}
    if weights.sampled and weights.sampled.features:
        provenance["classifier"] = {"package": PACKAGE, "sha256": SHA256}
    if start and network.control.settings.blend and not weights.sampled:
        # The mixture is that of the start, and so is the decoding that it was trained for.
        decoding = read_metadata(start / "codec.safetensors").get("decoding", decoding)
    if session.group.writes:
        write_codec(folder, network, frozen.prior.settings, provenance, decoding)


def _networks(
    frozen: FrozenNetworks,
    seed: int,
    start: Path | None,
    settings: LfgcmSettings,
    control: ControlSettings | None,
    control_from_scratch: bool,
) -> tuple[CodecNetworks, dict[str, Any]]:
    """Build the networks to train, new or from a folder, and describe them."""
    unet = frozen.prior.settings
    states = {}
    sizes = control or ControlSettings(hint=unet.latent)
    if start is not None:
        try:
            states["lfgcm"], metadata = load_network(start / "codec.safetensors")
            settings = LfgcmSettings.read(metadata["network"])
            if not control_from_scratch:
                states["control"], metadata = load_network(start / "control.safetensors")
                sizes = ControlSettings.read(metadata["network"]["control"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{start}: its metadata is incomplete: {error}") from error
    network = CodecNetworks(build_lfgcm(settings, seed), build_control(unet, sizes, seed + 1))
    if control_from_scratch and sizes.ratio == 1.0:
        _copy_encoder(network.control, frozen.prior)
    for name, state in states.items():
        fill_network(getattr(network, name), state, f"start of the codec's training, {start}")
    digests = {name: state_digest(state) for name, state in states.items()}
    about = {"network": settings.values(), "control": sizes.values(), "start": digests}
    return network, about


def blending(control: ControlNetwork, seed: int) -> ControlNetwork:
    """Add layers that mix c in, which begin with c; a network that has such layers is returned."""
    if control.settings.blend:
        return control
    sizes = replace(control.settings, blend=BLEND_CHANNELS)
    grown = build_control(control.unet_settings, sizes, seed)
    fill_network(grown, {**grown.state_dict(), **control.state_dict()}, "control network")
    return grown


def _copy_encoder(control: ControlNetwork, prior: Conditioned) -> None:
    """Start the control network from the prior's encoder, with equal weights for c and x_t.

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
    network: CodecNetworks,
    frozen: FrozenNetworks,
    schedule: Schedule,
    data: TrainingData,
    session: Session,
    *,
    stage: int,
    weights: LossWeights,
    source_tags: Mapping[str, Sequence[str]],
    image_tags: ImageTags | None = None,
    crop: int,
    describe: Mapping[str, Any],
) -> None:
    """Train both networks in place."""
    tags = tag_ids(tag_training_data(data, source_tags), frozen.prior.vocabulary)
    if image_tags is not None:
        more = tags_of_images(data, image_tags)
        tags = [tuple(sorted({*a, *b})) for a, b in zip(tags, more, strict=True)]
    if not describe.get("start"):
        pixels = first_crops(network.lfgcm, data, crop)
        calibrate(network.lfgcm, frozen.model, pixels, weights)
    device = session.device
    network.to(device)
    network.lfgcm.requires_grad_(not weights.freeze_codec)
    if session.recompute:
        for unet in (frozen.prior.unet, network.control.encoder):
            unet.enable_gradient_checkpointing()
    lowest = len(weights.lambda_rate) - 1 if stage == 1 else 0

    def losses(rng: np.random.Generator, share: Share | None = None) -> Losses:
        share = share or Share(schedule.batch, 0, schedule.batch)
        pixels, images = data.crops_of(rng, share.whole, crop, share)
        drop = share.rows(rng.random(share.whole) < DROPOUT)
        kept = [
            () if dropped or not weights.tags else tags[image]
            for image, dropped in zip(images, drop, strict=True)
        ]
        point = int(rng.integers(lowest, len(weights.lambda_rate)))
        drawn = torch.from_numpy(rng.integers(weights.levels, size=share.whole * weights.timesteps))
        timesteps = share.rows(drawn, weights.timesteps).to(device)
        batch = torch.from_numpy(pixels).to(device)
        with forward_pass(schedule, device):
            if weights.sampled:
                return sampled_losses(network, frozen, batch, kept, point, weights, share)
            return codec_losses(network, frozen, batch, kept, timesteps, point, weights, share)

    train(
        f"codec-stage-{stage}",
        network,
        schedule,
        losses,
        session,
        describe={
            **describe,
            **frozen.digest,
            "stage": stage,
            "weights": weights.metadata(),
            "pool": data.digest,
            "tags": tags,
            "crop": crop,
        },
        divided=True,
    )
    network.cpu().requires_grad_(True)
