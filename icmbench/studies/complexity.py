"""Cost of Diff-ICMH: parameters, multiply-adds, seconds and memory, beside the published sizes.

Multiply-adds are those of convolutions, linear layers and attention, counted by torch's
`FlopCounterMode` on the meta device, where nothing is computed. The published configuration is
counted from its shapes alone: no weights of it are needed, and it has no seconds.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from icmbench.codecs.diff_icmh.diff_icmh_model import DiffICMHModel
from icmbench.codecs.diff_icmh.model_folder import NAME
from icmbench.codecs.diff_icmh.networks.control import (
    ControlNetwork,
    ControlSettings,
    build_control,
    predict_noise,
)
from icmbench.codecs.diff_icmh.networks.lfgcm import REF_STRIDE, STRIDE, Lfgcm, build_lfgcm
from icmbench.codecs.diff_icmh.networks.ram_plus import RamPlusSettings, build_ram_plus
from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
from icmbench.codecs.diff_icmh.networks.unet import UnetSettings, build_unet
from icmbench.codecs.diff_icmh.tagging import ImageTagging, LatentTagging
from icmbench.core.devices import resolve_device
from icmbench.core.errors import MeasurementError
from icmbench.models.latent_autoencoder import load_autoencoder
from icmbench.reporting.tables.complexity import (
    ALL,
    COLUMNS,
    DECODE,
    DECODING,
    ENCODE,
    ENCODING,
    GUIDED,
    PUBLISHED,
    SAMPLING,
    SAMPLING_STEP,
    SIZE,
    STEPS,
)
from icmbench.studies.peak_memory import peak_memory
from icmbench.studies.stage_seconds import stage_seconds

# Read off the names and shapes of the published checkpoint (group `cond_stage_model.`, OpenCLIP's
# ViT-H/14 text encoder): not built here.
PUBLISHED_TOKENS: Final = 77  # of a text of Stable Diffusion
PUBLISHED_TEXT: Final = 354_032_641
# The autoencoder of Stable Diffusion 2.1, as arguments of diffusers' `AutoencoderKL`.
PUBLISHED_AUTOENCODER: Final[Mapping[str, Any]] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Networks:
    """The networks of a model on the meta device: shapes without values.

    Attributes:
        tokens, context: of the text, (n, tokens, context).
        tagging: the tagger; None: the model has none.
        stated: parameters of parts that are not built, or not as they are stored.
    """

    autoencoder: AutoencoderKL
    unet: UNet2DConditionModel
    control: ControlNetwork
    lfgcm: Lfgcm
    tokens: int
    context: int
    embedder: torch.nn.Module | None = None
    tagging: LatentTagging | ImageTagging | None = None
    stated: Mapping[str, int] = field(default_factory=dict)


def complexity_table(
    folder: Path | None, device: str, size: int = SIZE, repeats: int = 3
) -> pd.DataFrame:
    """Columns `COLUMNS`: the given model, then the published one; see `complexity_rows`.

    Args:
        folder: model folder, None: the bundled one.
        device: cpu, cuda or auto; seconds are taken on it, on one thread.
        size: pixels of a side of the square image, a multiple of 64.
        repeats: runs of a stage after a warm-up; the median counts.

    Raises MeasurementError for another size and where a measuring process fails.
    """
    if size < STRIDE or size % STRIDE:
        raise MeasurementError(f"complexity at {size} pixels: expected a multiple of {STRIDE}")
    device = resolve_device(device)
    model = DiffICMHModel(folder, device)
    seconds, stream = stage_seconds(model, size, repeats)
    peaks = {
        ENCODE: peak_memory(model.folder, device, size),
        DECODE: peak_memory(model.folder, device, size, stream),
    }
    rows = list(complexity_rows(NAME, at_hand(model), size))
    for row in rows:
        row["seconds"] = seconds.get(row["stage"], np.nan)
        row["peak_mb"] = peaks.get(row["stage"], np.nan)
        row["device"] = device if row["stage"] in seconds else ""
    rows += [{**row, "device": ""} for row in complexity_rows(PUBLISHED, published(), size)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"parameters": "Int64"})


def complexity_rows(model: str, networks: Networks, size: int) -> Iterator[Row]:
    """Rows of a model, without the measured columns.

    Rows of parts have `parameters` and no stage. Rows of stages have `gmac`, 10^9 multiply-adds of
    one image of size x size: a stage of several networks is a row per part, and totals are those
    of the part `all`. A network evaluation is of one latent; a sampling step has two, as guidance
    takes them.
    """
    blank = {"model": model, "size": f"{size}x{size}"}
    for part, count in part_parameters(networks).items():
        yield {**blank, "part": part, "stage": "", "parameters": count}
    for (part, stage), macs in stage_macs(networks, size).items():
        yield {**blank, "part": part, "stage": stage, "parameters": pd.NA, "gmac": macs / 1e9}


def at_hand(model: DiffICMHModel) -> Networks:
    """The networks of a loaded model, as they run.

    There the autoencoder's enlargements are folded (`icmbench.models.upsample`), which takes fewer
    multiply-adds with larger kernels; its parameters are those of the file.
    """
    file = model.part_file("autoencoder")
    meta = [copy.deepcopy(network).to("meta") for network in _networks(model)]
    autoencoder, unet, control, lfgcm = meta
    tagging = copy.deepcopy(model.tagging)
    if tagging is not None:
        tagging.network.to("meta")
    with torch.inference_mode():
        text = model.prior.embedder([()])
    return Networks(
        autoencoder,
        unet,
        control,
        lfgcm,
        tokens=text.shape[1],
        context=text.shape[2],
        embedder=model.prior.embedder,
        tagging=tagging,
        stated={"autoencoder": _count(load_autoencoder(file).network)},
    )


def _networks(model: DiffICMHModel) -> list[Any]:
    """Entropy coding runs in float64, which makes no multiply-add more or less."""
    autoencoder = model.autoencoder.network
    return [autoencoder, model.prior.unet, model.control, model.codec.lfgcm]


def published() -> Networks:
    """The published configuration: Stable Diffusion 2.1 and the codec's and control's defaults."""
    with torch.device("meta"):
        return Networks(
            AutoencoderKL(**PUBLISHED_AUTOENCODER),
            build_unet(UnetSettings(), seed=0),
            build_control(UnetSettings(), ControlSettings(ratio=1.0, head_width=16), seed=0),
            build_lfgcm(LfgcmSettings(), seed=0),
            tokens=PUBLISHED_TOKENS,
            context=UnetSettings().context,
            tagging=ImageTagging(build_ram_plus(RamPlusSettings(), seed=0), "meta"),
            stated={"text embedder": PUBLISHED_TEXT},
        )


def part_parameters(networks: Networks) -> dict[str, int]:
    """Parameters (not statistics of norms) part by part; those of the codec add up to all of it."""
    lfgcm = networks.lfgcm
    adapters = lfgcm.adapters
    gains = 0 if adapters is None else adapters.gain_y.numel() + adapters.gain_z.numel()
    found = {
        "autoencoder": _count(networks.autoencoder),
        "prior UNet": _count(networks.unet),
        "control": _count(networks.control),
        "codec, encoder side": _count(lfgcm.g_a, lfgcm.h_a) + gains,
        "entropy model": _count(*lfgcm.entropy_modules(), lfgcm.entropy_bottleneck),
    }
    rest = _count(lfgcm) - found["codec, encoder side"] - found["entropy model"]
    found["codec, decoder side"] = rest  # f_c, the decoder, the gains that are taken back
    if networks.embedder is not None:
        small = hasattr(networks.embedder, "table")
        found["tag embedder" if small else "text embedder"] = _count(networks.embedder)
    if networks.tagging is not None:
        found["tagger"] = _count(networks.tagging.network)
    return {**found, **networks.stated}


def _count(*modules: torch.nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def stage_macs(networks: Networks, size: int) -> dict[tuple[str, str], float]:
    """Multiply-adds by part and stage, for one image of size x size.

    Text encoders are in no count; each runs once an image.
    """
    lfgcm, cells, values = networks.lfgcm, size // REF_STRIDE, size // STRIDE
    image, latent = _meta(3, size), _meta(lfgcm.settings.out_channels, cells)
    y, z = _meta(lfgcm.settings.latent, cells // 2), _meta(lfgcm.settings.hyper, values)
    rate = None if lfgcm.adapters is None else 0
    entropy = counted(lambda: _walk(lfgcm, z, rate))
    found = {
        ("autoencoder", "latent"): counted(lambda: networks.autoencoder.encode(image)),
        ("codec, encoder side", "analysis"): counted(lambda: lfgcm.analyse(image, latent, rate)),
        ("entropy model", "entropy encoding"): entropy,
        ("entropy model", "entropy decoding"): entropy,
        ("codec, decoder side", "synthesis"): counted(lambda: lfgcm.synthesise(y, z, rate)),
        ("autoencoder", "picture"): counted(lambda: networks.autoencoder.decode(latent)),
    }
    if (tagging := networks.tagging) is not None:
        found["tagger", "tags"] = counted(lambda: tagging.network(tagging.example(latent)))
    single = _evaluation(networks, latent)
    found |= {(part, "network evaluation"): macs for part, macs in single.items()}
    step = GUIDED * sum(single.values())
    found[ALL, SAMPLING_STEP] = step
    of_stage = {stage: macs for (_, stage), macs in found.items()}
    found[ALL, ENCODE] = sum(of_stage.get(stage, 0.0) for stage in ENCODING)
    once = sum(of_stage[stage] for stage in DECODING if stage != SAMPLING)
    for steps in STEPS:
        found[ALL, f"sampling, {steps} steps"] = steps * step
        found[ALL, f"decode, {steps} steps"] = once + steps * step
    return found


def counted(run: Callable[[], object]) -> float:
    """Multiply-adds of convolutions and matrix products in a call: half of its operations."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return float(counter.get_total_flops()) / 2


def _meta(channels: int, side: int) -> Tensor:
    return torch.zeros(1, channels, side, side, device="meta")


def _walk(lfgcm: Lfgcm, z: Tensor, rate: int | None) -> None:
    """Compute the probabilities of y, as encoder and decoder both do."""

    def visit(scales: Tensor, means: Tensor, index: int, anchor: bool) -> Tensor:
        return torch.zeros_like(means)

    lfgcm.walk(lfgcm.hyper(z, rate), visit, exact=True)


def _evaluation(networks: Networks, latent: Tensor) -> dict[str, float]:
    """Multiply-adds of one evaluation for one latent, the UNet's and the control network's."""
    level = torch.zeros(1, dtype=torch.long, device="meta")
    context = torch.zeros(1, networks.tokens, networks.context, device="meta")

    def run(control: ControlNetwork | None) -> float:
        return counted(
            lambda: predict_noise(networks.unet, control, latent, latent, level, context)
        )

    alone = run(None)
    return {"prior UNet": alone, "control": run(networks.control) - alone}
