"""The files of a trained codec: LFGCM with its tables, and the control network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from icmbench.codecs.diff_icmh.entropy.rate_tables import write_tables
from icmbench.codecs.diff_icmh.networks.lfgcm import Lfgcm, build_lfgcm
from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
from icmbench.codecs.diff_icmh.networks.unet import UnetSettings
from icmbench.codecs.diff_icmh.training.losses import CodecNetworks
from icmbench.models.entropy_tables import set_quantile_tails
from icmbench.models.tensors import rounded, save_network

DECODING: Final = {"sampler": "ddim", "steps": 8, "guidance": 1.0, "start": 400, "clip": 4.0}

# What fits beside the small prior: about an eighth of the published codec's channels.
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


def write_codec(
    folder: Path,
    network: CodecNetworks,
    unet: UnetSettings,
    provenance: Mapping[str, Any],
    decoding: Mapping[str, Any] = DECODING,
) -> None:
    """Write the three files that training decides; `decoding`: defaults of the decode keys."""
    write_lfgcm(folder, network.lfgcm, provenance, decoding)
    sizes = {"unet": unet.values(), "control": network.control.settings.values()}
    about = {"network": sizes, "provenance": dict(provenance)}
    save_network(folder / "control.safetensors", network.control.state_dict(), about)


def write_lfgcm(
    folder: Path, lfgcm: Lfgcm, provenance: Mapping[str, Any], decoding: Mapping[str, Any]
) -> None:
    """Write the codec and the tables of its entropy coder."""
    state = rounded(lfgcm.state_dict())
    stored = build_lfgcm(lfgcm.settings, seed=0)
    stored.load_state_dict(state)
    set_quantile_tails(stored.entropy_bottleneck)
    about = {
        "network": lfgcm.settings.values(),
        "decoding": dict(decoding),
        "provenance": dict(provenance),
    }
    save_network(folder / "codec.safetensors", stored.state_dict(), about)
    write_tables(folder / "tables.safetensors", folder / "codec.safetensors")
