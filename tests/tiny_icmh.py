"""A small, untrained Diff-ICMH model folder, made in a second or two: nothing is trained.

Everything that a picture passes through has an effect that tests can see: symbols are not all
zero, control is not zero, tags and guidance change the sample, and decoded pictures have contrast.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import torch
from golden_diff_icmh import amplify
from tiny_model import AUTOENCODER, MEAN, STD

from icmbench.codecs.diff_icmh.model_folder import NAME, TAGGER, part_file
from icmbench.codecs.diff_icmh.networks.control import (
    ControlNetwork,
    ControlSettings,
    build_control,
)
from icmbench.codecs.diff_icmh.networks.lfgcm import build_lfgcm
from icmbench.codecs.diff_icmh.networks.prior import Prior, PriorSettings
from icmbench.codecs.diff_icmh.networks.tagger import TaggerSettings, build_tagger
from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
from icmbench.codecs.diff_icmh.networks.unet import UnetSettings
from icmbench.codecs.diff_icmh.training.codec import write_codec
from icmbench.codecs.diff_icmh.training.losses import CodecNetworks
from icmbench.models.autoencoder import build_autoencoder
from icmbench.models.tensors import save_network

TAGS = ("ball", "box", "grass", "sky", "water")
SEEN = ("ball", "grass")  # what the tagger sees in every picture
RATES = 3
UNET = UnetSettings(
    channels=(8, 16), layers=1, attention=(False, True), head_width=8, context=8
)  # fmt: skip
CONTROL = ControlSettings(ratio=1.0, head_width=8)
LFGCM = LfgcmSettings(
    encoder=(4, 4, 8, 8),
    hyper=8,
    latent=12,
    prior=4,
    slices=(2, 4, 6),
    sft_hidden=6,
    context_hidden=(7, 5),
    rates=RATES,
)


def make_tiny_icmh(models: Path) -> Path:
    """Write `models`/diff-icmh, a whole model folder with a tagger, and return it."""
    folder = models / NAME
    folder.mkdir(parents=True)
    network = build_autoencoder(AUTOENCODER, seed=1)
    with torch.no_grad():  # pictures of some contrast, that tell latents apart
        network.decoder.conv_out.weight.mul_(12)
    about = {"network": AUTOENCODER.values(), "mean": MEAN, "std": STD}
    save_network(part_file(folder, "autoencoder"), network.state_dict(), about)
    settings = PriorSettings(UNET, TAGS, tokens=4)
    prior = Prior(settings, seed=2)
    with torch.no_grad():  # a prediction of about the noise's size, in which tags count
        prior.unet.conv_out.weight.mul_(3)
        prior.embedder.table.weight.mul_(4)
    about = {"network": settings.values()}
    save_network(part_file(folder, "prior"), prior.state_dict(), about)
    tagging = TaggerSettings(TAGS, channels=(4, 8, 8))
    tagger = build_tagger(tagging, seed=3)
    with torch.no_grad():
        tagger.scores.bias.copy_(torch.tensor([9.0 if tag in SEEN else -9.0 for tag in TAGS]))
    save_network(part_file(folder, TAGGER), tagger.state_dict(), {"network": tagging.values()})
    lfgcm = amplify(build_lfgcm(LFGCM, seed=4))
    with torch.no_grad():  # a rough latent c that is not flat
        lfgcm.g_s.g_s4.weight.mul_(6)
    codec = CodecNetworks(lfgcm, _control())
    write_codec(folder, codec, UNET, {"by": "tests/tiny_icmh.py"})
    return folder


def _control() -> ControlNetwork:
    """A control network whose injections are as large as what they are added to."""
    control = build_control(UNET, CONTROL, seed=5)
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for layer in (*control.enc_zero, control.mid_zero, *control.dec_zero):
            weight = layer.weight
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(noise / weight.shape[1] ** 0.5)
    return control


@functools.cache
def tiny_icmh_models() -> Path:
    """The folder of all models with the tiny one in it; made once a session."""
    models = Path(_folder().name)
    make_tiny_icmh(models)
    return models


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Removed when the session ends."""
    return tempfile.TemporaryDirectory(prefix="tiny-icmh-")
