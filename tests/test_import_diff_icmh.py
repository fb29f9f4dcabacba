"""Published Diff-ICMH checkpoints: every tensor finds its place, or nothing is written."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_picture
from diffusers import AutoencoderKL
from official import DIFF_ICMH as FIXTURES
from official import needs
from safetensors.torch import load_file, safe_open, save_file
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel

from icmbench.codecs.diff_icmh import diff_icmh_model
from icmbench.codecs.diff_icmh.codec import DiffIcmh
from icmbench.codecs.diff_icmh.diff_icmh_model import DiffICMHModel
from icmbench.codecs.diff_icmh.importing import importer
from icmbench.codecs.diff_icmh.importing.convert import Conversion, convert
from icmbench.codecs.diff_icmh.importing.importer import Report, import_checkpoint
from icmbench.codecs.diff_icmh.importing.lookup import published_name
from icmbench.codecs.diff_icmh.importing.names import PARTS, SCALE, Dropped
from icmbench.codecs.diff_icmh.importing.rename import rename
from icmbench.codecs.diff_icmh.importing.sizes import control_ratio
from icmbench.codecs.diff_icmh.networks.control import (
    ControlSettings,
    build_control,
    control_channels,
    head_widths,
    predict_noise,
)
from icmbench.codecs.diff_icmh.networks.lfgcm import build_lfgcm
from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
from icmbench.codecs.diff_icmh.networks.unet import UnetSettings, build_unet
from icmbench.config.models import given_files
from icmbench.core.errors import CodecError, ConfigError, ModelError, WrongModel
from icmbench.core.files import sha256_file
from icmbench.models import layout
from icmbench.models.tensors import fill_network, load_network
from icmbench.transfer import pack

pytestmark = pytest.mark.usefixtures("one_thread")

State = dict[str, torch.Tensor]

needs_fixtures = needs(FIXTURES)

UNET = UnetSettings(channels=(32, 64, 64, 96), head_width=16, context=32)
CONTROL = ControlSettings(ratio=0.5, head_width=8, scale=0.5)
CODEC = LfgcmSettings(
    encoder=(4, 4, 8, 8),
    hyper=8,
    latent=12,
    prior=4,
    slices=(2, 4, 6),
    sft_hidden=6,
    context_hidden=(10, 8),
)
VAE = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": (32, 64, 96, 96),
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}
TEXT = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 23,
    "num_attention_heads": 1,
    "max_position_embeddings": 9,
    "hidden_act": "gelu",
}
HEADS = {"head_width": 16, "control_head_width": 8}


# The names the other way round, written from the published list and not from the importer.


def unet_modules(attention: tuple[bool, ...], layers: int = 2) -> Iterator[tuple[str, str]]:
    """Ours and the published name of a UNet's modules."""
    yield "time_embedding.linear_1", "time_embed.0"
    yield "time_embedding.linear_2", "time_embed.2"
    yield "conv_in", "input_blocks.0.0"
    number = 0
    for level, attends in enumerate(attention):
        for layer in range(layers):
            number += 1
            yield f"down_blocks.{level}.resnets.{layer}", f"input_blocks.{number}.0"
            if attends:
                yield f"down_blocks.{level}.attentions.{layer}", f"input_blocks.{number}.1"
        if level + 1 < len(attention):
            number += 1
            yield f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{number}.0.op"
    yield "mid_block.resnets.0", "middle_block.0"
    yield "mid_block.attentions.0", "middle_block.1"
    yield "mid_block.resnets.1", "middle_block.2"
    number = -1
    for level, attends in enumerate(reversed(attention)):
        for layer in range(layers + 1):
            number += 1
            yield f"up_blocks.{level}.resnets.{layer}", f"output_blocks.{number}.0"
            if attends:
                yield f"up_blocks.{level}.attentions.{layer}", f"output_blocks.{number}.1"
        place = 2 if attends else 1
        yield f"up_blocks.{level}.upsamplers.0", f"output_blocks.{number}.{place}"
    yield "conv_norm_out", "out.0"
    yield "conv_out", "out.2"


RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def published_unet(state: State, attention: tuple[bool, ...]) -> State:
    modules = dict(unet_modules(attention))
    published = {}
    for name, tensor in state.items():
        ours = next(m for m in modules if name.startswith(f"{m}."))
        inner = name.removeprefix(f"{ours}.")
        if ".resnets." in name:
            module, leaf = inner.rsplit(".", 1)
            inner = f"{RESNET[module]}.{leaf}"
        published[f"{modules[ours]}.{inner}"] = tensor
    return published


def published_vae(state: State) -> State:
    published = {}
    for name, tensor in state.items():
        for level in range(4):
            name = name.replace(f"decoder.up_blocks.{level}.", f"decoder.up.{3 - level}.")
        for ours, theirs in (
            ("down_blocks", "down"),
            ("samplers.0", "sample"),
            ("mid_block.attentions.0", "mid.attn_1"),
            ("mid_block.resnets.0", "mid.block_1"),
            ("mid_block.resnets.1", "mid.block_2"),
            ("resnets", "block"),
            ("conv_shortcut", "nin_shortcut"),
            ("conv_norm_out", "norm_out"),
            ("group_norm", "norm"),
            ("to_out.0", "proj_out"),
            ("to_", ""),
        ):
            name = name.replace(ours, theirs)
        matrix = ".attn_1." in name and tensor.ndim == 2
        published[name] = tensor[:, :, None, None] if matrix else tensor
    return published


def published_text(state: State, layers: int = 23) -> State:
    published = {
        "token_embedding.weight": state["embeddings.token_embedding.weight"],
        "positional_embedding": state["embeddings.position_embedding.weight"],
        "ln_final.weight": state["final_layer_norm.weight"],
        "ln_final.bias": state["final_layer_norm.bias"],
    }
    inner = {
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
        "self_attn.out_proj": "attn.out_proj",
    }
    for layer in range(layers):
        ours, theirs = f"encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for leaf in ("weight", "bias"):
            for module, other in inner.items():
                published[f"{theirs}{other}.{leaf}"] = state[f"{ours}{module}.{leaf}"]
            thirds = [state[f"{ours}self_attn.{which}_proj.{leaf}"] for which in "qkv"]
            published[f"{theirs}attn.in_proj_{leaf}"] = torch.cat(thirds)
    # The last block, which is not evaluated.
    before = f"transformer.resblocks.{layers - 1}."
    last = {k: v + 1 for k, v in published.items() if k.startswith(before)}
    published |= {f"transformer.resblocks.{layers}.{k.removeprefix(before)}": last[k] for k in last}
    width = len(published["ln_final.bias"])
    return published | {"text_projection": torch.zeros(width, width), "logit_scale": torch.ones(())}


def published_control(state: State, attention: tuple[bool, ...], scale: float) -> State:
    encoder = {
        name.removeprefix("encoder."): tensor
        for name, tensor in state.items()
        if name.startswith("encoder.")
    }
    published = {f"control_model.{k}": v for k, v in published_unet(encoder, attention).items()}
    for name, tensor in state.items():
        part, *place, leaf = name.split(".")
        if part in ("enc_zero", "dec_zero"):
            published[f"{part}_convs_out.{place[0]}.0.{leaf}"] = tensor
        elif part == "mid_zero":
            published[f"middle_block_out.0.{leaf}"] = tensor
    return published | {"scale_list": torch.full((25,), scale)}


def schedule() -> State:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = torch.cumprod(1 - betas, 0)
    before = torch.cat([torch.ones(1, dtype=torch.float64), kept[:-1]])
    variance = betas * (1 - before) / (1 - kept)
    values = {
        "betas": betas,
        "alphas_cumprod": kept,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": kept**0.5,
        "sqrt_one_minus_alphas_cumprod": (1 - kept) ** 0.5,
        "log_one_minus_alphas_cumprod": (1 - kept).log(),
        "sqrt_recip_alphas_cumprod": kept**-0.5,
        "sqrt_recipm1_alphas_cumprod": (1 / kept - 1) ** 0.5,
        "posterior_variance": variance,
        "posterior_log_variance_clipped": variance.clamp(min=1e-20).log(),
        "posterior_mean_coef1": betas * before**0.5 / (1 - kept),
        "posterior_mean_coef2": (1 - before) * (1 - betas) ** 0.5 / (1 - kept),
        "logvar": torch.zeros(1000),
    }
    return {name: value.float() for name, value in values.items()}


def drawn(state: State, seed: int) -> State:
    """The same names with other values, none of them equal: initial ones are zero too often."""
    generator = torch.Generator().manual_seed(seed)
    return {k: torch.randn(v.shape, generator=generator) * 0.2 for k, v in state.items()}


def small_networks() -> dict[str, State]:
    """Random tensors of networks of ours, by part."""
    unet = {f"unet.{k}": v for k, v in build_unet(UNET, 0).state_dict().items()}
    states = {
        "autoencoder": AutoencoderKL(**VAE).state_dict(),
        "prior": unet,
        "text": CLIPTextModel(CLIPTextConfig(**TEXT)).state_dict(),
        "codec": build_lfgcm(CODEC, 0).state_dict(),
        "control": build_control(UNET, CONTROL, 0).state_dict(),
    }
    return {part: drawn(states[part], seed) for seed, part in enumerate(PARTS)}


def prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def published(parts: dict[str, State], scale: float = CONTROL.scale) -> State:
    """A checkpoint with the published names of networks of ours."""
    unet = {name.removeprefix("unet."): t for name, t in parts["prior"].items()}
    control = published_control(parts["control"], UNET.attention, scale)
    return {
        **prefixed("first_stage_model.", published_vae(parts["autoencoder"])),
        **prefixed("model.diffusion_model.", published_unet(unet, UNET.attention)),
        **prefixed("cond_stage_model.model.", published_text(parts["text"])),
        **prefixed("preprocess_model.", parts["codec"]),
        **prefixed("control_model.", control),
        **schedule(),
    }


@pytest.fixture(scope="module")
def networks() -> dict[str, State]:
    return small_networks()


@pytest.fixture
def checkpoint(networks: dict[str, State]) -> State:
    return published(networks)


def save(path: Path, state: Any) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def run(folder: Path, state: Any, **keys: Any) -> Report:
    return import_checkpoint(
        save(folder / "model.ckpt", state), folder / "out", **{**HEADS, **keys}
    )


def refused(folder: Path, state: Any, *texts: str, **keys: Any) -> str:
    """The error's text, which holds `texts`; nothing else may be there afterwards."""
    before = {"model.ckpt", *(entry.name for entry in folder.iterdir())}
    with pytest.raises(ModelError) as caught:
        run(folder, state, **keys)
    assert {entry.name for entry in folder.iterdir()} == before
    for text in texts:
        assert text in str(caught.value), str(caught.value)
    return str(caught.value)


def equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def metadata_of(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        found: dict[str, Any] = json.loads(file.metadata()["icmbench"])
        return found


# Both ways


@pytest.mark.parametrize("form", ["ckpt", "nested", "safetensors"])
def test_every_tensor_comes_back_under_our_name(
    networks: dict[str, State], checkpoint: State, tmp_path: Path, form: str
) -> None:
    file = tmp_path / ("model.safetensors" if form == "safetensors" else "model.ckpt")
    nested = {"state_dict": checkpoint, "global_step": 7}
    save(file, nested if form == "nested" else checkpoint)
    report = import_checkpoint(file, tmp_path / "out", **HEADS)
    names = {*(f"{part}.safetensors" for part in (*PARTS, "tables")), "import.json"}
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == names
    for part in PARTS:
        path = tmp_path / "out" / f"{part}.safetensors"
        assert equal(load_file(path), networks[part])
        assert path.stat().st_mode == (tmp_path / "out" / "import.json").stat().st_mode
        assert metadata_of(path)["provenance"] == {
            "source": file.name,
            "sha256": sha256_file(file),
            "base": None,
        }
        assert report.parts[part] == {
            "tensors": len(networks[part]),
            "elements": sum(t.numel() for t in networks[part].values()),
        }
    assert json.loads((tmp_path / "out" / "import.json").read_text()) == report.values()
    assert sum("left out" in line for line in report.lines()) == len(report.dropped)


def test_settings_are_read_off_the_shapes(checkpoint: State, tmp_path: Path) -> None:
    run(tmp_path, checkpoint)
    found = {p: metadata_of(tmp_path / "out" / f"{p}.safetensors") for p in PARTS}
    assert found["prior"]["network"] == {"kind": "clip", "unet": UNET.values()}
    assert ControlSettings.read(found["control"]["network"]["control"]) == CONTROL
    assert LfgcmSettings.read(found["codec"]["network"]) == CODEC
    text = found["text"]["network"]
    assert {name: text[name] for name in TEXT} == TEXT
    vae = found["autoencoder"]
    assert vae["layout"] == "diffusers-kl"
    assert (vae["mean"], vae["std"]) == ([0.0] * 4, [1 / 0.18215] * 4)
    state, _ = load_network(tmp_path / "out" / "autoencoder.safetensors")
    fill_network(AutoencoderKL(**vae["network"]), state, "autoencoder")


def test_equal_checkpoints_give_equal_files(checkpoint: State, tmp_path: Path) -> None:
    file = save(tmp_path / "model.safetensors", checkpoint)
    (tmp_path / "two").mkdir()  # empty: as good as absent
    for name in ("one", "two"):
        import_checkpoint(file, tmp_path / name, **HEADS)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_number_types_are_kept_or_widened_exactly(
    networks: dict[str, State], checkpoint: State, tmp_path: Path
) -> None:
    half = "preprocess_model.encoder.g_a6.weight"
    brain = "preprocess_model.encoder.g_a6.bias"
    checkpoint[half] = checkpoint[half].half()
    checkpoint[brain] = checkpoint[brain].bfloat16()
    checkpoint |= {name: value.half() for name, value in schedule().items()}
    run(tmp_path, checkpoint)
    found = load_file(tmp_path / "out" / "codec.safetensors")
    assert found["encoder.g_a6.weight"].dtype == torch.float16
    assert found["encoder.g_a6.bias"].dtype == torch.float32
    assert torch.equal(found["encoder.g_a6.bias"], checkpoint[brain].float())
    load_network(tmp_path / "out" / "codec.safetensors")


def test_tensors_in_other_memory_orders_and_in_common_memory(
    networks: dict[str, State], checkpoint: State, tmp_path: Path
) -> None:
    key = "preprocess_model.encoder.g_a3.weight"
    checkpoint[key] = checkpoint[key].to(memory_format=torch.channels_last)
    one, two = (f"first_stage_model.decoder.up.0.block.{b}.norm2.bias" for b in (1, 2))
    checkpoint[two] = checkpoint[one]
    run(tmp_path, checkpoint)
    codec = load_file(tmp_path / "out" / "codec.safetensors")
    assert equal(codec, networks["codec"])
    vae = load_file(tmp_path / "out" / "autoencoder.safetensors")
    biases = [vae[f"decoder.up_blocks.3.resnets.{r}.norm2.bias"] for r in (1, 2)]
    assert torch.equal(biases[0], biases[1])


OLD = {"matrices": "_matrix", "biases": "_bias", "factors": "_factor"}


def old_name(key: str) -> str:
    """CompressAI 1.2.4's name of a learned tensor of the factorised prior."""
    for new, old in OLD.items():
        key = key.replace(f"entropy_bottleneck.{new}.", f"entropy_bottleneck.{old}")
    return key


def test_old_names_of_the_factorised_prior(
    networks: dict[str, State], checkpoint: State, tmp_path: Path
) -> None:
    old = {old_name(key): tensor for key, tensor in checkpoint.items()}
    assert len(old.keys() - checkpoint.keys()) == 14
    run(tmp_path, old)
    assert equal(load_file(tmp_path / "out" / "codec.safetensors"), networks["codec"])


def test_what_is_known_and_not_needed_is_counted(checkpoint: State, tmp_path: Path) -> None:
    bottleneck, gaussian = "preprocess_model.entropy_bottleneck.", "preprocess_model.gaussian_"
    gaussian += "conditional."
    empty = torch.zeros(0, dtype=torch.int32)
    checkpoint |= {
        "model_ema.decay": torch.tensor(0.9999),
        "model_ema.num_updates": torch.tensor(5),
        "cond_stage_model.model.attn_mask": torch.full((9, 9), -torch.inf).triu(1),
        f"{bottleneck}_offset": torch.zeros(8, dtype=torch.int32),
        f"{bottleneck}_quantized_cdf": empty,
        f"{bottleneck}target": torch.tensor([-21.4164, 0, 21.4164]),
        f"{gaussian}scale_table": torch.tensor(
            np.exp(np.linspace(np.log(0.11), np.log(256), 64)), dtype=torch.float32
        ),
        f"{gaussian}scale_bound": torch.tensor([0.11]),
        "preprocess_tag_model.model.anything": torch.zeros(3, 2),
    }
    dropped = run(tmp_path, checkpoint).dropped
    counts = {name: (group["tensors"], group["elements"]) for name, group in dropped.items()}
    block = 4 * 32 + 4 * 32 * 32 + 4 * 32 + 2 * 48 * 32 + 48 + 32
    assert counts == {
        "schedule": (13, 13000),
        "moving average": (2, 2),
        "control scale": (1, 25),
        "tag model": (1, 6),
        "text, unused": (12 + 3, block + 32 * 32 + 1 + 81),
        "codec, derived": (5, 8 + 0 + 3 + 64 + 1),
    }
    assert all(group["reason"] for group in dropped.values())


@pytest.mark.parametrize(
    ("base", "control", "ratio"),
    [((320, 640, 1280, 1280), 0.2, 0.2), ((32, 64, 64, 64), 0.75, 0.75), ((32, 64), 0.3, None)],
)
def test_ratio_is_found_again(base: tuple[int, ...], control: float, ratio: float | None) -> None:
    own = control_channels(base, control)
    found = control_ratio(own, base)
    assert control_channels(base, found) == own
    assert ratio is None or found == ratio
    with pytest.raises(ValueError, match="no ratio"):
        control_ratio([own[0], own[1] + 7, *own[2:]], base)


def test_the_first_resolution_is_rounded_and_the_others_follow() -> None:
    """int(320 * 0.203) = 64, then times 2 and 4; each rounded alone would be 129 and 259."""
    assert control_channels((320, 640, 1280, 1280), 0.203) == [64, 128, 256, 256]
    assert control_channels((32, 48, 96), 1.0) == [32, 48, 96]


def test_the_middle_has_the_head_width_of_the_last_resolution_with_attention() -> None:
    assert head_widths((32, 24, 48), (True, True, False), 16) == [16, 12, 16, 12]
    assert head_widths((32, 24, 48), (True, False, False), 16) == [16, 12, 16, 16]
    assert head_widths((32, 24), (False, False), 16) == [16, 12, 12]


@pytest.mark.parametrize(("last", "inner"), [(48, 48), (40, 36)])
def test_heads_of_the_middle_need_not_make_up_its_channels(last: int, inner: int) -> None:
    """24 channels give heads of 12; the official middle of 40 channels has 40 // 12 of them."""
    unet = UnetSettings(channels=(32, 24, last), attention=(True, True, False), context=8)
    control = build_control(unet, ControlSettings(head_width=16), 0)
    layer = control.encoder.mid_block.attentions[0].transformer_blocks[0].attn1
    assert layer.heads == inner // 12
    assert layer.to_q.weight.shape == (inner, inner)
    x, level = torch.ones(1, 4, 8, 8), torch.zeros(1)
    assert control.injections(x, x, level, torch.ones(1, 3, 8)).middle.shape[1] == last


# A checkpoint over another


def test_a_base_fills_up_what_is_missing(
    networks: dict[str, State], checkpoint: State, tmp_path: Path
) -> None:
    above = ("preprocess_model.", "control_model.")
    top = {k: v for k, v in checkpoint.items() if k.startswith(above)}
    base = {k: v.clone() for k, v in checkpoint.items() if not k.startswith(above)}
    twice = "first_stage_model.quant_conv.bias"
    top[twice] = base[twice]
    base[twice] = base[twice] + 1
    needs = refused(tmp_path, top, "no tensor of the prior", "no tensor of the text")
    assert "as base" in needs
    file = save(tmp_path / "sd21.safetensors", base)
    report = run(tmp_path, top, base=file)
    assert report.base == {"source": file.name, "sha256": sha256_file(file)}
    assert report.from_base == len(base) - 1
    for part in PARTS:
        path = tmp_path / "out" / f"{part}.safetensors"
        assert equal(load_file(path), networks[part])
        assert metadata_of(path)["provenance"]["base"] == report.base


def test_shapes_that_differ_from_the_base_are_named(checkpoint: State, tmp_path: Path) -> None:
    key = "first_stage_model.quant_conv.bias"
    base = {key: torch.zeros(9), "model_ema.decay": torch.tensor(0.9)}
    file = save(tmp_path / "sd21.ckpt", base)
    refused(tmp_path, checkpoint, f"{key}: of the shape (8,), but (9,) in the base", base=file)


# Planted faults

PRE = "preprocess_model."
MATRIX = f"{PRE}entropy_bottleneck.matrices.2"


def without(key: str) -> Callable[[State], State]:
    return lambda state: {k: v for k, v in state.items() if k != key}


def having(key: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[State], State]:
    return lambda state: {**state, key: change(state.get(key, torch.zeros(1)))}


def not_finite(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    tensor.view(-1)[-1] = torch.inf
    return tensor


def uneven(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    tensor[7] += 0.1
    return tensor


IN = "cond_stage_model.model.transformer.resblocks.3.attn.in_proj_weight"
QUERY = "first_stage_model.encoder.mid.attn_1.q.weight"
FAULTS: dict[str, tuple[Callable[[State], State], str]] = {
    "entropy tensor missing": (without(MATRIX), f"{MATRIX}: missing"),
    "quantiles missing": (
        without(f"{PRE}entropy_bottleneck.quantiles"),
        f"{PRE}entropy_bottleneck.quantiles: missing",
    ),
    "old and new": (
        lambda state: {**state, old_name(MATRIX): state[MATRIX]},
        f"{MATRIX}: the same tensor as {old_name(MATRIX)}",
    ),
    "wrong shape": (
        having(f"{PRE}decoder.g_s0.conv_0.weight", lambda t: t[:-1]),
        "decoder.g_s0.conv_0.weight: of the shape (11, 12, 3, 3), expected (12, 12, 3, 3)",
    ),
    "extra": (having("lpips.weight", torch.ones_like), "lpips.weight: not known"),
    "loss": (having("loss.logvar", torch.ones_like), "loss.logvar: not known"),
    "loss within": (
        having("first_stage_model.loss.logvar", torch.ones_like),
        "first_stage_model.loss.logvar: not known",
    ),
    "extra in a known place": (
        having(f"{PRE}encoder.g_a9.weight", torch.ones_like),
        "encoder.g_a9.weight: not one of the network's (here codec encoder.g_a9.weight)",
    ),
    "adapters": (having(f"{PRE}adapters.gain_y", torch.ones_like), "adapters.gain_y: not known"),
    "zero convolution too many": (
        having("control_model.enc_zero_convs_out.12.0.weight", torch.ones_like),
        "not one of the network's",
    ),
    "number with a zero in front": (
        having("control_model.enc_zero_convs_out.01.0.weight", torch.ones_like),
        "enc_zero_convs_out.01.0.weight: not known",
    ),
    "decoder in the control": (
        having("control_model.control_model.out.2.weight", torch.ones_like),
        "control_model.control_model.out.2.weight: not known",
    ),
    "25th text block": (
        having("cond_stage_model.model.transformer.resblocks.24.ln_1.weight", torch.ones_like),
        "resblocks.24.ln_1.weight: not known",
    ),
    "no size": (
        without("model.diffusion_model.input_blocks.0.0.weight"),
        "model.diffusion_model.input_blocks.0.0.weight: missing or empty, and the size",
    ),
    "empty": (
        having("model.diffusion_model.input_blocks.0.0.weight", lambda t: t[:, :0]),
        "model.diffusion_model.input_blocks.0.0.weight: missing or empty",
    ),
    "not thirds": (having(IN, lambda t: t[1:]), f"{IN}: shape (95, 32), expected three equal"),
    "not 1 x 1": (
        having(QUERY, lambda t: t.repeat(1, 1, 3, 3)),
        f"{QUERY}: shape (96, 96, 3, 3), expected a 1 x 1",
    ),
    "whole numbers": (having(MATRIX, lambda t: t.int()), f"{MATRIX}: holds int32, not weights"),
    "not finite": (
        having(MATRIX, not_finite),
        f"{MATRIX}: holds a value that is not finite",
    ),
    "another schedule": (
        having("betas", lambda t: t * 1.01),
        "betas: not the values that decoding computes with",
    ),
    "a shorter schedule": (having("logvar", lambda t: t[:-1]), "logvar: not the values"),
    "another bound": (
        having(f"{PRE}gaussian_conditional.scale_bound", lambda t: t + 0.2),
        "scale_bound: not the values",
    ),
    "another table": (
        having(f"{PRE}gaussian_conditional.scale_table", lambda t: t.new_ones(64)),
        "scale_table: not the values",
    ),
    "scale missing": (without(SCALE), f"{SCALE}: missing"),
    "scales not constant": (having(SCALE, uneven), "scale_list is not constant"),
    "scales of another number": (having(SCALE, lambda t: t[1:]), "scale_list has the shape (24,)"),
}


# One of each kind; the others are slow.
QUICK = {
    "entropy tensor missing",
    "wrong shape",
    "extra",
    "adapters",
    "not finite",
    "another table",
}


@pytest.mark.parametrize(
    "fault", [pytest.param(f, marks=() if f in QUICK else pytest.mark.slow) for f in FAULTS]
)
def test_faults_are_named_and_nothing_is_written(
    checkpoint: State, tmp_path: Path, fault: str
) -> None:
    change, text = FAULTS[fault]
    refused(tmp_path, change(checkpoint), text)


def test_every_missing_tensor_has_its_published_name(checkpoint: State) -> None:
    """For each tensor of the file in turn: without it, its own name is in the error."""
    taken = {key for key in checkpoint if isinstance(rename(key), tuple)}
    assert len(taken) > 1000
    named = set()
    for key in taken:
        for target in rename(key):
            assert not isinstance(target, Dropped)
            named.add(published_name(target.part, target.name))
    assert named == taken


def test_no_entropy_tensors_at_all(checkpoint: State, tmp_path: Path) -> None:
    left = {k: v for k, v in checkpoint.items() if "entropy_bottleneck" not in k}
    text = refused(tmp_path, left, "15 tensors are unknown, missing or wrong")
    assert len(text.splitlines()) == 16


def test_many_faults_are_counted_and_twenty_are_named(checkpoint: State, tmp_path: Path) -> None:
    extra = {f"extra.{number:02}": torch.zeros(1) for number in range(30)}
    lines = refused(tmp_path, {**checkpoint, **extra}, "30 tensors are").splitlines()
    assert lines[1:21] == [f"  extra.{number:02}: not known" for number in range(20)]
    assert lines[21:] == ["  and 10 more"]


def test_heads_that_do_not_fit(checkpoint: State, tmp_path: Path) -> None:
    text = "heads of 64 channels do not fit into 32; --head-width names the width"
    refused(tmp_path, checkpoint, text, head_width=64)
    with pytest.raises(ConfigError, match="1 is the least"):
        run(tmp_path, checkpoint, head_width=0)


def test_parts_that_do_not_meet(networks: dict[str, State], tmp_path: Path) -> None:
    wide = CLIPTextModel(CLIPTextConfig(**{**TEXT, "hidden_size": 48})).state_dict()
    other = published({**networks, "text": drawn(wide, 3)})
    refused(tmp_path, other, "text and context of prior: 48 and 32 channels")
    codec = build_lfgcm(LfgcmSettings(**{**vars(CODEC), "out_channels": 5}), 0).state_dict()
    other = published({**networks, "codec": drawn(codec, 4)})
    refused(tmp_path, other, "latent of codec and hint of control: 5 and 4 channels")


def test_a_folder_in_use_is_left_alone(checkpoint: State, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(ConfigError, match="not an empty folder"):
        run(tmp_path, checkpoint)
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["mine"]
    with pytest.raises(ConfigError, match="not an empty folder"):
        import_checkpoint(tmp_path / "model.ckpt", tmp_path / "out" / "mine", **HEADS)


class Trap:
    """A pickle of it calls a function as it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_checkpoint_is_not_run(checkpoint: State, tmp_path: Path) -> None:
    text = refused(tmp_path, {**checkpoint, "trap": Trap(tmp_path / "sprung")}, "none of which")
    assert "weights_only" not in text
    assert "posix.mkdir" in text
    assert ".safetensors" in text
    assert not (tmp_path / "sprung").exists()
    pickled = tmp_path / "plain.pt"
    pickled.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(ModelError):
        import_checkpoint(pickled, tmp_path / "out", **HEADS)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["model.ckpt", "model.safetensors", "model.txt"])
def test_files_that_are_none(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    with pytest.raises(ModelError, match="no such file" if "txt" not in name else "neither"):
        import_checkpoint(file, tmp_path / "out")
    file.write_text("this is a text, and not a model\n" * 40)
    with pytest.raises(ModelError, match=name):
        import_checkpoint(file, tmp_path / "out")
    file.write_bytes(b"")
    with pytest.raises(ModelError, match=name):
        import_checkpoint(file, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
def test_cut_and_odd_files(checkpoint: State, tmp_path: Path) -> None:
    for name in ("model.ckpt", "model.safetensors"):
        file = save(tmp_path / name, checkpoint)
        file.write_bytes(file.read_bytes()[:-1000])
        with pytest.raises(ModelError, match=name):
            import_checkpoint(file, tmp_path / "out", **HEADS)
    refused(tmp_path, [1, 2], "it holds a list, not named tensors")
    refused(tmp_path, {**checkpoint, "step": 3}, "'step' is not a plain tensor")
    refused(tmp_path, {**checkpoint, 3: torch.ones(1)}, "3 is not a plain tensor")
    refused(tmp_path, {"betas": torch.ones(3).to_sparse()}, "not a plain tensor")
    torch.save(checkpoint, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    import_checkpoint(tmp_path / "old.pt", tmp_path / "out", **HEADS)


def test_without_transformers(
    checkpoint: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    refused(tmp_path, checkpoint, "cond_stage_model.model.*: the text cannot be built", "transf")


def test_a_write_that_fails_leaves_nothing(
    checkpoint: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importer, "write_json", full)
    with pytest.raises(OSError, match="No space"):
        run(tmp_path, checkpoint)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.ckpt"]


# Names whose shapes agree can only be told apart by what the network computes.


def norm(state: State, name: str, x: torch.Tensor) -> torch.Tensor:
    return functional.group_norm(x, 32, state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-6)


def conv(state: State, name: str, x: torch.Tensor, stride: int = 1, padding: int = 1) -> Any:
    weight = state[f"{name}.weight"]
    padding = padding if weight.shape[-1] == 3 else 0
    return functional.conv2d(x, weight, state[f"{name}.bias"], stride, padding)


def vae_block(state: State, name: str, x: torch.Tensor) -> torch.Tensor:
    h = conv(state, f"{name}.conv1", functional.silu(norm(state, f"{name}.norm1", x)))
    h = conv(state, f"{name}.conv2", functional.silu(norm(state, f"{name}.norm2", h)))
    short = f"{name}.nin_shortcut"
    return h + (conv(state, short, x) if f"{short}.weight" in state else x)


def vae_middle(state: State, name: str, x: torch.Tensor) -> torch.Tensor:
    x = vae_block(state, f"{name}.block_1", x)
    n, c, h, w = x.shape
    normed = norm(state, f"{name}.attn_1.norm", x)
    q, k, v = (conv(state, f"{name}.attn_1.{i}", normed).reshape(n, c, h * w) for i in "qkv")
    weights = torch.softmax(q.transpose(1, 2) @ k * c**-0.5, 2)
    mixed = (v @ weights.transpose(1, 2)).reshape(n, c, h, w)
    x = x + conv(state, f"{name}.attn_1.proj_out", mixed)
    return vae_block(state, f"{name}.block_2", x)


def vae_moments(state: State, x: torch.Tensor) -> torch.Tensor:
    x = conv(state, "encoder.conv_in", x)
    for level in range(4):
        for block in range(2):
            x = vae_block(state, f"encoder.down.{level}.block.{block}", x)
        if level < 3:
            x = functional.pad(x, (0, 1, 0, 1))
            x = conv(state, f"encoder.down.{level}.downsample.conv", x, 2, 0)
    x = vae_middle(state, "encoder.mid", x)
    x = conv(state, "encoder.conv_out", functional.silu(norm(state, "encoder.norm_out", x)))
    return conv(state, "quant_conv", x)


def vae_picture(state: State, z: torch.Tensor) -> torch.Tensor:
    x = conv(state, "decoder.conv_in", conv(state, "post_quant_conv", z))
    x = vae_middle(state, "decoder.mid", x)
    for level in reversed(range(4)):
        for block in range(3):
            x = vae_block(state, f"decoder.up.{level}.block.{block}", x)
        if level:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = conv(state, f"decoder.up.{level}.upsample.conv", x)
    return conv(state, "decoder.conv_out", functional.silu(norm(state, "decoder.norm_out", x)))


def text_states(state: State, tokens: torch.Tensor) -> torch.Tensor:
    """OpenCLIP's text transformer of width 32 (one head), without its last block."""
    x = state["token_embedding.weight"][tokens] + state["positional_embedding"][: tokens.shape[1]]
    mask = torch.full((tokens.shape[1],) * 2, -torch.inf).triu(1)

    def layer_norm(name: str, x: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(x, (32,), state[f"{name}.weight"], state[f"{name}.bias"])

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    for block in range(23):
        name = f"transformer.resblocks.{block}"
        attention = torch.nn.MultiheadAttention(32, 1, batch_first=True)
        attention.load_state_dict(
            {
                key.removeprefix(f"{name}.attn."): tensor
                for key, tensor in state.items()
                if key.startswith(f"{name}.attn.")
            }
        )
        y = layer_norm(f"{name}.ln_1", x)
        x = x + attention(y, y, y, need_weights=False, attn_mask=mask)[0]
        y = functional.gelu(linear(f"{name}.mlp.c_fc", layer_norm(f"{name}.ln_2", x)))
        x = x + linear(f"{name}.mlp.c_proj", y)
    return layer_norm("ln_final", x)


def within(checkpoint: State, prefix: str) -> State:
    return {k.removeprefix(prefix): v for k, v in checkpoint.items() if k.startswith(prefix)}


def close(found: torch.Tensor, wanted: torch.Tensor, tolerance: float = 1e-4) -> bool:
    return bool((found - wanted).abs().max() <= tolerance * wanted.abs().max())


@torch.no_grad()
def test_autoencoder_computes_what_the_published_layers_do(
    checkpoint: State, tmp_path: Path
) -> None:
    run(tmp_path, checkpoint)
    path = tmp_path / "out" / "autoencoder.safetensors"
    state, metadata = load_network(path)
    network = AutoencoderKL(**metadata["network"]).eval()
    fill_network(network, state, path)
    layers = within(checkpoint, "first_stage_model.")
    generator = torch.Generator().manual_seed(1)
    pixels = torch.rand((1, 3, 40, 56), generator=generator) * 2 - 1
    latent = torch.randn((1, 4, 5, 7), generator=generator)
    moments = network.encode(pixels).latent_dist.parameters
    wanted = vae_moments(layers, pixels)
    # diffusers limits the log of the variance.
    assert close(moments[:, :4], wanted[:, :4])
    assert close(moments[:, 4:], wanted[:, 4:].clamp(-30, 20))
    assert close(network.decode(latent).sample, vae_picture(layers, latent))


@torch.no_grad()
def test_text_computes_what_the_published_layers_do(checkpoint: State, tmp_path: Path) -> None:
    run(tmp_path, checkpoint)
    path = tmp_path / "out" / "text.safetensors"
    state, metadata = load_network(path)
    network = CLIPTextModel(CLIPTextConfig(**metadata["network"])).eval()
    fill_network(network, state, path)
    tokens = torch.tensor([[48, 3, 17, 5, 49, 0, 0], [48, 9, 49, 0, 0, 0, 0]])
    wanted = text_states(within(checkpoint, "cond_stage_model.model."), tokens)
    assert close(network(input_ids=tokens).last_hidden_state, wanted)


# The fixtures: official names, weights and numbers


def published_list() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FIXTURES / "published_keys.json").read_text())
    return found


def published_meta() -> State:
    """The whole published model without memory, and its constants with their values."""
    state = {}
    for group in published_list()["keys"].values():
        for name, entry in group.items():
            shape, dtype = entry if entry and isinstance(entry[0], list) else (entry, "float32")
            state[name] = torch.empty(shape, dtype=getattr(torch, dtype), device="meta")
    return {**state, SCALE: torch.ones(25)}


@needs_fixtures
def test_the_published_names_and_shapes_are_those_of_our_networks() -> None:
    state = published_meta()
    assert len(state) == 2557
    conversion: Conversion = convert(state)
    assert not conversion.problems
    with torch.device("meta"):
        sd = {**VAE, "block_out_channels": (128, 256, 512, 512)}
        clip = {
            "hidden_size": 1024,
            "num_hidden_layers": 23,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
            "hidden_act": "gelu",
        }
        unet = build_unet(UnetSettings(), 0).state_dict()
        wanted = {
            "autoencoder": AutoencoderKL(**sd).state_dict(),
            "prior": {f"unet.{name}": tensor for name, tensor in unet.items()},
            "text": CLIPTextModel(CLIPTextConfig(**clip)).state_dict(),
            "codec": build_lfgcm(LfgcmSettings(), 0).state_dict(),
            "control": build_control(UnetSettings(), ControlSettings(), 0).state_dict(),
        }
    for part in PARTS:
        found = {name: t.shape for name, t in conversion.parts[part].tensors.items()}
        assert found == {name: t.shape for name, t in wanted[part].items()}
    settings = {part: conversion.parts[part].settings for part in PARTS}
    assert settings["prior"]["unet"] == UnetSettings().values()
    assert settings["control"] == ControlSettings().values()
    assert settings["codec"] == LfgcmSettings().values()
    assert settings["text"]["num_attention_heads"] == 16
    counts = published_list()["counts"]
    assert {name: group.tensors for name, group in conversion.dropped.items()} == {
        "schedule": counts["(top-level schedule buffers)"]["tensors"],
        "tag model": counts["preprocess_tag_model."]["tensors"],
        "control scale": 1,
        "codec, derived": 12,
        "text, unused": 14,
    }
    # No number is lost: what is taken over and what is dropped make up the whole.
    taken = sum(t.numel() for p in conversion.parts.values() for t in p.tensors.values())
    left = sum(group.elements for group in conversion.dropped.values())
    assert taken + left == sum(group["elements"] for group in counts.values())


@needs_fixtures
def test_the_narrow_published_control() -> None:
    state = published_meta()
    for name, shape in published_list()["control_ratio_0_2_shape_differences"].items():
        state[name] = torch.empty(shape, device="meta")
    conversion = convert(state)
    assert not conversion.problems
    assert conversion.parts["control"].settings["ratio"] == 0.2


@needs_fixtures
def test_the_published_old_names() -> None:
    renames = published_list()["entropy_bottleneck_rename_old_to_current"]
    assert len(renames) == 14
    for old, new in renames.items():
        assert rename(old) == rename(new)
        assert not isinstance(rename(old), Dropped | None)


def fixture_tensors(name: str) -> State:
    path = FIXTURES / f"{name}.safetensors"
    return {key: tensor.float() for key, tensor in load_file(path).items()}


@pytest.fixture(scope="module")
def imported(networks: dict[str, State], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixtures' networks under their published names, imported."""
    small = published(networks)
    parts = ("first_stage_model.", "cond_stage_model.")
    state = {
        **{key: tensor for key, tensor in small.items() if key.startswith(parts)},
        **prefixed("model.diffusion_model.", fixture_tensors("control_tiny.base")),
        **prefixed("control_model.", fixture_tensors("control_tiny.r100")),
        **prefixed("preprocess_model.", fixture_tensors("lfgcm_tiny.weights")),
    }
    folder = tmp_path_factory.mktemp("fixtures")
    run(folder, state)
    return folder / "out"


def read_prior(folder: Path) -> tuple[Any, UnetSettings]:
    state, metadata = load_network(folder / "prior.safetensors")
    settings = UnetSettings.read(metadata["network"]["unet"])
    unet = build_unet(settings, 0)
    fill_network(unet, {k.removeprefix("unet."): v for k, v in state.items()}, folder)
    return unet.eval(), settings


@needs_fixtures
@torch.no_grad()
def test_the_fixtures_prior_and_control(imported: Path) -> None:
    io = fixture_tensors("control_tiny.io")
    unet, settings = read_prior(imported)
    assert settings.channels == (32, 64, 64, 64)
    state, metadata = load_network(imported / "control.safetensors")
    control = build_control(settings, ControlSettings.read(metadata["network"]["control"]), 0)
    fill_network(control, state, imported)
    noisy, hint, context = io["in.x_t"], io["in.hint"], io["in.context"]
    level = torch.tensor([500])
    alone = unet(noisy, level, encoder_hidden_states=context).sample
    assert close(alone, io["base_only.eps.t500"])
    for t in (0, 500, 999):
        steered = predict_noise(unet, control, noisy, hint, torch.tensor([t]), context)
        assert close(steered, io[f"r100.eps.t{t}"])


@needs_fixtures
@pytest.mark.parametrize(("name", "width", "ratio"), [("r050", 8, 0.5), ("r075", 16, 0.75)])
@torch.no_grad()
def test_the_fixtures_narrow_controls(
    imported: Path, networks: dict[str, State], name: str, width: int, ratio: float
) -> None:
    io = fixture_tensors("control_tiny.io")
    unet, settings = read_prior(imported)
    state = {
        **prefixed("model.diffusion_model.", fixture_tensors("control_tiny.base")),
        **prefixed("control_model.", fixture_tensors(f"control_tiny.{name}")),
    }
    part = convert(state, head_width=16, control_head_width=width).parts["control"]
    assert part.settings["ratio"] == ratio
    control = build_control(settings, ControlSettings.read(part.settings), 0)
    fill_network(control, part.tensors, name)
    arguments = io["in.x_t"], io["in.hint"], torch.tensor([500]), io["in.context"]
    assert close(predict_noise(unet, control, *arguments), io[f"{name}.eps.t500"])


@needs_fixtures
@torch.no_grad()
def test_the_fixtures_codec(imported: Path) -> None:
    io = fixture_tensors("lfgcm_tiny.io")
    state, metadata = load_network(imported / "codec.safetensors")
    settings = LfgcmSettings.read(metadata["network"])
    wanted = json.loads((FIXTURES / "lfgcm_tiny.json").read_text())
    assert list(settings.slices) == wanted["config"]["slice_ch"]
    codec = build_lfgcm(settings, 0).eval()
    fill_network(codec, state, imported)
    out = codec(io["x"], io["ref"])
    assert close(out.c, io["c_latent"])
    assert float(out.bits) == pytest.approx(wanted["bits"]["y"] + wanted["bits"]["z"], rel=1e-4)


# ----- from the checkpoint to a picture


def words(folder: Path) -> None:
    """A tokenizer that spells, within the 50 tokens of the small text encoder, and three tags."""
    letters = "abcdefghijklmnopqrstuvw"
    tokens = [*letters, *(f"{c}</w>" for c in letters), ",", ",</w>"]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "tokenizer").mkdir()
    ids = {token: number for number, token in enumerate(tokens)}
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(ids))
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tags.txt").write_text("cat\ndog\nhat\n")


def test_the_words_are_checked_and_copied_at_import(checkpoint: State, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    words(given)
    keys = {"tokenizer": given / "tokenizer", "tags": given / "tags.txt"}
    run(tmp_path, checkpoint, **keys)
    for name in ("tokenizer/vocab.json", "tokenizer/merges.txt", "tags.txt"):
        assert (tmp_path / "out" / name).read_bytes() == (given / name).read_bytes()
    (given / "tags.txt").write_text("cat\ncat\n")
    (tmp_path / "other").mkdir()
    refused(tmp_path / "other", checkpoint, "a name is empty or repeated", tags=given / "tags.txt")
    vocabulary = json.loads((given / "tokenizer" / "vocab.json").read_text())
    (given / "tokenizer" / "vocab.json").write_text(json.dumps({**vocabulary, "z": 50}))
    text = "vocab.json: 51 tokens, the text encoder has 50"
    refused(tmp_path / "other", checkpoint, text, tokenizer=given / "tokenizer")


def test_an_imported_folder_codes_and_decodes(checkpoint: State, tmp_path: Path) -> None:
    """As a user would: import, add the words, encode and decode; texts and words count."""
    # As drawn, the networks' values run away; at a tenth of the weights they stay numbers.
    mild = {k: v / 10 if v.is_floating_point() and v.ndim > 1 else v for k, v in checkpoint.items()}
    import_checkpoint(save(tmp_path / "model.ckpt", mild), tmp_path / "diff-icmh", **HEADS)
    folder = tmp_path / "diff-icmh"
    with pytest.raises(ModelError, match=r"tags\.txt"):
        DiffIcmh(models=tmp_path)
    words(folder)
    codec = DiffIcmh(models=tmp_path)
    assert codec.model.rates == 1
    assert codec.model.codec.defaults["start"] == 999
    assert codec.model.codec.defaults["clip"] is None
    image = make_picture(70, 90)
    stream = codec.encode(image, rate=1)
    shown = [codec.decode(stream, sampler=name, steps=2) for name in ("none", "ddim", "ddim")]
    assert shown[0].shape == image.shape
    assert codec.model.autoencoder.limit == 64 * 8192
    assert codec.remark() == ""
    assert (shown[1] == shown[2]).all()
    assert (shown[0] != shown[1]).any()
    assert dict(codec.describe(stream))["tags"] == "none"
    texts = codec.model.prior.embedder([(0, 2), (1,), ()])
    assert texts.shape == (3, TEXT["max_position_embeddings"], TEXT["hidden_size"])
    assert not torch.equal(texts[0], texts[1])
    assert not torch.equal(texts[1], texts[2])
    (folder / "tags.txt").write_text("cat\ndog\nrat\n")
    with pytest.raises(WrongModel):
        DiffIcmh(models=tmp_path).decode(stream, sampler="none")


def other_rate(checkpoint: State, seed: int) -> State:
    """A checkpoint of another rate: other weights of codec and control, the same frozen ones."""
    generator = torch.Generator().manual_seed(seed)

    def changed(name: str, tensor: torch.Tensor) -> torch.Tensor:
        trained = name.startswith(("preprocess_model.", "control_model."))
        if not (trained and tensor.is_floating_point() and tensor.ndim > 1) or "quantiles" in name:
            return tensor
        return tensor + 0.003 * torch.randn(tensor.shape, generator=generator)

    return {name: changed(name, tensor) for name, tensor in checkpoint.items()}


def test_checkpoints_of_several_rates_are_one_model(
    checkpoint: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen networks are stored and loaded once; every rate codes as its checkpoint alone does."""
    mild = {k: v / 10 if v.is_floating_point() and v.ndim > 1 else v for k, v in checkpoint.items()}
    states = [mild, other_rate(mild, 2), other_rate(mild, 3)]
    files = [save(tmp_path / f"rate{n}.ckpt", state) for n, state in enumerate(states, 1)]
    report = import_checkpoint(files[0], tmp_path / "diff-icmh", further=files[1:], **HEADS)
    assert [found["source"] for found in report.rates] == ["rate2.ckpt", "rate3.ckpt"]
    folder = tmp_path / "diff-icmh"
    words(folder)
    for number in (2, 3):
        held = {path.name for path in (folder / "rates" / str(number)).iterdir()}
        assert held == {"codec.safetensors", "control.safetensors", "tables.safetensors"}
    image = make_picture(70, 90)
    alone = []
    for number, file in enumerate(files, 1):
        place = tmp_path / f"alone{number}"
        import_checkpoint(file, place / "diff-icmh", **HEADS)
        words(place / "diff-icmh")
        codec = DiffIcmh(models=place)
        stream = codec.encode(image, rate=1)
        alone.append(codec.decode(stream, sampler="none"))
    assert not np.array_equal(alone[0], alone[1])
    loads = []
    real = diff_icmh_model.load_conditioned
    monkeypatch.setattr(
        diff_icmh_model, "load_conditioned", lambda place: (loads.append(place), real(place))[1]
    )
    codec = DiffIcmh(models=tmp_path)
    assert codec.model.rates == 3
    streams = [codec.encode(image, rate=rate) for rate in (1, 2, 3)]
    assert len({stream[:10] for stream in streams}) == 3  # every rate has a digest of its own
    sampled = codec.decode_batch(streams, sampler="ddim", steps=2)
    assert len({image.tobytes() for image in sampled}) == 3
    shown = codec.decode_batch(streams, sampler="none")
    for one, other in zip(shown, alone, strict=True):
        assert np.array_equal(one, other)
    assert loads == [folder]
    read = []
    real_digest = layout.sha256_file
    monkeypatch.setattr(layout, "sha256_file", lambda p: (read.append(p), real_digest(p))[1])
    for rate in (1, 2, 3, 1, 2):  # nothing is loaded or read again
        assert codec.encode(image, rate=rate) == streams[rate - 1]
    codec.decode(streams[1], sampler="ddim", steps=2)
    assert loads == [folder]
    assert read == []
    held = [model for model in codec._loaded.values() if "control" in model.__dict__]
    assert len(held) == 2  # the first rate's, and that of the rate which was sampled last
    with pytest.raises(CodecError, match="has the rate 2 alone"):
        DiffICMHModel(folder / "rates" / "2", "cpu").encode(image, b"", rate=3, tags="none")  # type: ignore[arg-type]
    digests = {codec.parse(stream)[1].header.weights_digest for stream in streams}
    assert pack._weights_digests("diff-icmh", folder) == digests
    found = [dict(codec.describe(stream))["rate"] for stream in streams]
    assert found == ["1 of 3", "2 of 3", "3 of 3"]
    with pytest.raises(CodecError, match="rate=4: the model has the rates 1, 2, 3"):
        codec.encode(image, rate=4)
    files_of_all = {path.relative_to(folder).as_posix() for path in given_files(folder)}
    assert {"prior.safetensors", "rates/3/codec.safetensors"} <= files_of_all
    (folder / "rates" / "2" / "codec.safetensors").unlink()
    with pytest.raises(ModelError, match=r"rates/2: codec\.safetensors missing"):
        DiffIcmh(models=tmp_path).decode(streams[2])


def test_a_rate_of_other_frozen_networks_is_refused(checkpoint: State, tmp_path: Path) -> None:
    """And nothing is written."""
    other = other_rate(checkpoint, 2)
    name = next(n for n in other if n.startswith("model.diffusion_model.") and n.endswith("weight"))
    other[name] = other[name] * 1.5
    files = [save(tmp_path / "one.ckpt", checkpoint), save(tmp_path / "two.ckpt", other)]
    with pytest.raises(ModelError) as caught:
        import_checkpoint(files[0], tmp_path / "out", further=files[1:], **HEADS)
    assert "two.ckpt: 1 tensor is unknown, missing or wrong" in str(caught.value)
    assert f"{name}: a frozen network's, and not equal to that of one.ckpt" in str(caught.value)
    assert not (tmp_path / "out").exists()
