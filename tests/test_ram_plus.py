"""RAM++: its published names and sizes, strict reading, and its values against other programs."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_picture
from fake_cuda import fake_cuda
from official import DIFF_ICMH, needs
from test_import_diff_icmh import HEADS, published, save, small_networks, words
from tiny_icmh import tiny_icmh_models
from tiny_ram import SETTINGS, State, checkpoint, meta_network, published_shapes, tiny_state
from transformers import SwinConfig, SwinModel

from icmbench.bitstream import container
from icmbench.cli.main import main
from icmbench.codecs.diff_icmh.codec import CELL, CODEC_ID
from icmbench.codecs.diff_icmh.diff_icmh_model import DiffICMHModel
from icmbench.codecs.diff_icmh.importing.importer import import_checkpoint
from icmbench.codecs.diff_icmh.importing.ram_plus import (
    convert_ram_plus,
    read_ram_plus,
    read_thresholds,
)
from icmbench.codecs.diff_icmh.importing.ram_plus_names import published_names
from icmbench.codecs.diff_icmh.networks.ram_plus import (
    MEAN,
    STD,
    RamPlus,
    RamPlusSettings,
    reweighted,
)
from icmbench.codecs.diff_icmh.tagging import ImageTagging, load_tagging
from icmbench.core.errors import ConfigError, ModelError
from icmbench.core.files import sha256_file
from icmbench.core.images.image_files import write_png
from icmbench.sources.catalogue import shipped_sources
from icmbench.studies.peak_memory import stream_header

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = ("cat", "dog", "hat")


@pytest.fixture
def state() -> State:
    return tiny_state()


def folder_of_tags(folder: Path, thresholds: str = "0.5\n0.5\n0.5\n") -> Path:
    """A model folder that holds the names of the tags alone; the thresholds lie beside it."""
    (folder / "diff-icmh").mkdir()
    (folder / "diff-icmh" / "tags.txt").write_text("\n".join(NAMES) + "\n")
    (folder / "thresholds.txt").write_text(thresholds)
    return folder / "diff-icmh"


def loaded(folder: Path, state: State, thresholds: str = "0.5\n0.5\n0.5\n") -> RamPlus:
    """The network that is written and read for a state."""
    place = folder_of_tags(folder, thresholds)
    path = save(folder / "ram.pth", checkpoint(state))
    read_ram_plus(path, place / "tags.txt", folder / "thresholds.txt").write(place)
    found = load_tagging(place / "tagger.safetensors", NAMES, "cpu")
    assert isinstance(found, ImageTagging)
    return found.network


# ----- the published size


def test_published_names_and_shapes() -> None:
    """All tensors of the published state: each has its place, in its shape, or is derived."""
    shapes, settings = published_shapes(RamPlusSettings()), RamPlusSettings()
    assert (len(shapes), sum(map(math.prod, shapes.values()))) == (402, 332_396_086)
    assert settings.image == 384
    ours = {name: tuple(t.shape) for name, t in meta_network(settings).state_dict().items()}
    assert ours.pop("thresholds") == (4585,)
    names = dict(published_names(settings))
    assert {names[name]: shape for name, shape in shapes.items() if name in names} == ours
    left = shapes.keys() - names.keys()
    assert all(name.endswith(("relative_position_index", "attn_mask")) for name in left)
    assert len(left) == 24 + 11


def test_the_published_file_is_as_large_as_its_tensors() -> None:
    """Its state and the two moments of AdamW; archive and pickle are 0.016 % of it."""
    shapes = published_shapes(RamPlusSettings())
    wide = [name for name in shapes if name.endswith("relative_position_index")]
    model = sum(math.prod(shape) * (8 if name in wide else 4) for name, shape in shapes.items())
    names = dict(published_names(RamPlusSettings()))
    trained = sum(math.prod(shapes[name]) for name in names if name != "label_embed")
    (file, *_) = shipped_sources()["ram-plus"].files
    assert file.size is not None
    assert 0 < file.size - (model + 8 * trained) < 500_000


@needs(DIFF_ICMH / "published_keys.json")
def test_a_published_checkpoint_of_diff_icmh_holds_the_same() -> None:
    told = json.loads((DIFF_ICMH / "published_keys.json").read_text())["keys"]
    found = {}
    for name, shape in told["preprocess_tag_model."].items():
        plain = all(isinstance(side, int) for side in shape)
        name = name.removeprefix("preprocess_tag_model.").removeprefix("model.")
        found[name] = tuple(shape if plain else shape[0])
    for name in ("preprocess_normalize_mean", "preprocess_normalize_std"):
        assert found.pop(name) == (1, 3, 1, 1)
    assert found == published_shapes(RamPlusSettings())


# ----- reading


@pytest.mark.parametrize("form", ["own", "codec", "former", "safetensors", "without derived"])
def test_every_tensor_comes_back(state: State, tmp_path: Path, form: str) -> None:
    """From RAM++'s file, a checkpoint of Diff-ICMH, older names, and tensors alone."""
    name, content = "ram.pth", checkpoint(state)
    given = dict(state)
    if form == "codec":
        given = {f"preprocess_tag_model.model.{k}": v for k, v in state.items()}
        prefix = "preprocess_tag_model.preprocess_normalize_"
        given |= {f"{prefix}mean": torch.tensor(MEAN).view(1, 3, 1, 1)}
        given |= {f"{prefix}std": torch.tensor(STD).view(1, 3, 1, 1)}
        given |= {"model.diffusion_model.out.2.bias": torch.ones(1)}
        content = {"state_dict": given, "epoch": 3}
    elif form == "former":
        content["model"] = {
            k.replace("tagging_head.", "vision_multi."): v for k, v in state.items()
        }
    elif form == "safetensors":
        name, content = "ram.safetensors", given
    elif form == "without derived":
        content["model"] = {
            k: v for k, v in state.items() if "_mask" not in k and "_index" not in k
        }
    settings, tensors = convert_ram_plus(save(tmp_path / name, content), 3)
    assert settings == SETTINGS
    ours = dict(published_names(SETTINGS))
    assert tensors.keys() == set(ours.values())
    for published_name, own in ours.items():
        assert torch.equal(tensors[own], state[published_name])


FAULTS: dict[str, tuple[Callable[[State], object], str]] = {
    "missing": (lambda s: s.pop("fc.bias"), "fc.bias: missing"),
    "extra": (lambda s: s.update(extra=torch.ones(2)), "extra: not known"),
    "self-attention": (
        lambda s: s.update({"tagging_head.encoder.layer.0.attention.x": torch.ones(1)}),
        "attention.x: not known",
    ),
    "shape": (
        lambda s: s.update({"image_proj.bias": torch.ones(9)}),
        r"image_proj.bias: of the shape \(9,\), expected \(8,\)",
    ),
    "not finite": (lambda s: s["label_embed"].fill_(math.inf), "label_embed: holds a value"),
    "integers": (
        lambda s: s.update({"fc.bias": torch.ones(1, dtype=torch.int64)}),
        "fc.bias: holds int64, not weights",
    ),
    "another index": (
        lambda s: s["visual_encoder.layers.0.blocks.0.attn.relative_position_index"].add_(1),
        "relative_position_index: not the values that follow",
    ),
    "another mask": (
        lambda s: s["visual_encoder.layers.0.blocks.1.attn_mask"].mul_(2),
        "attn_mask: not the values that follow",
    ),
    "no stage": (
        lambda s: [s.pop(k) for k in list(s) if "layers." in k],
        "no RAM.. of 3 tags is of these sizes: .*_table is missing",
    ),
    "no labels": (lambda s: s.pop("label_embed"), "label_embed is missing"),
    "heads": (
        lambda s: s.update(
            {
                "visual_encoder.layers.0.blocks.0.attn.relative_position_bias_table": torch.ones(
                    49, 3
                )
            }
        ),
        "8 channels in 3 heads",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_another_checkpoint_is_refused(state: State, tmp_path: Path, fault: str) -> None:
    """The error names the file and the tensor."""
    change, text = FAULTS[fault]
    change(state)
    place = folder_of_tags(tmp_path)
    path = save(tmp_path / "ram.pth", checkpoint(state))
    with pytest.raises(ModelError, match=text) as caught:
        read_ram_plus(path, place / "tags.txt", tmp_path / "thresholds.txt")
    assert str(caught.value).startswith(f"{path}: ")


def test_other_files_are_refused(state: State, tmp_path: Path) -> None:
    place, thresholds = folder_of_tags(tmp_path), tmp_path / "thresholds.txt"
    path = save(tmp_path / "ram.pth", checkpoint(state))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"ram\.pth: damaged"):
        read_ram_plus(path, place / "tags.txt", thresholds)
    path.write_bytes(whole)
    (place / "tags.txt").write_text("cat\ndog\nhat\nrat\n")
    thresholds.write_text("0.5\n" * 4)
    with pytest.raises(ModelError, match="label_embed has 15 rows, no multiple of 4"):
        read_ram_plus(path, place / "tags.txt", thresholds)
    (place / "tags.txt").unlink()
    with pytest.raises(ModelError, match=r"tags\.txt"):
        read_ram_plus(path, place / "tags.txt", thresholds)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("0.5\n0.5\n", "2 thresholds, expected one for each of 3 tags"),
        ("0.5\nhigh\n0.5\n", "line 2: 'high' is no threshold from 0 to 1"),
        ("0.5\n0.5\n1.5\n", "line 3: '1.5'"),
        ("nan\n0.5\n0.5\n", "line 1: 'nan'"),
    ],
)
def test_thresholds_that_do_not_fit(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(ModelError, match=match) as caught:
        read_thresholds(tmp_path / "t.txt", 3)
    assert str(tmp_path / "t.txt") in str(caught.value)


def test_a_tagger_of_other_tags_is_refused(state: State, tmp_path: Path) -> None:
    loaded(tmp_path, state)
    path = tmp_path / "diff-icmh" / "tagger.safetensors"
    with pytest.raises(ModelError, match=r"tagger\.safetensors: of 3 tags, the prior has 2"):
        load_tagging(path, NAMES[:2], "cpu")


# ----- values


def swin(state: State) -> SwinModel:
    """The same Swin by transformers."""
    config = SwinConfig(
        image_size=SETTINGS.image,
        embed_dim=SETTINGS.channels,
        depths=SETTINGS.depths,
        num_heads=SETTINGS.heads,
        window_size=SETTINGS.window,
    )
    model = SwinModel(config, add_pooling_layer=False).eval()
    renamed: State = {}
    for name, tensor in state.items():
        if not name.startswith("visual_encoder.") or name.endswith(("_index", "_mask")):
            continue
        name = name.removeprefix("visual_encoder.")
        for theirs, ours in (
            ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
            ("patch_embed.norm", "embeddings.norm"),
            ("norm1", "layernorm_before"),
            ("norm2", "layernorm_after"),
            ("attn.proj", "attention.o_proj"),
            ("attn.relative", "attention.relative_position_bias.relative"),
        ):
            name = name.replace(theirs, ours)
        name = re.sub("^norm", "layernorm", re.sub("^layers", "encoder.layers", name))
        if "attn.qkv" in name:
            for which, part in zip("qkv", tensor.chunk(3), strict=True):
                renamed[name.replace("attn.qkv", f"attention.{which}_proj")] = part
        else:
            renamed[name] = tensor
    model.load_state_dict(renamed, strict=True)
    return model


def attention(state: State, block: str) -> torch.nn.MultiheadAttention:
    """Cross-attention of a block of the decoder by torch's own module."""
    width, inner = SETTINGS.hidden, SETTINGS.clip
    found = torch.nn.MultiheadAttention(
        width, SETTINGS.decoder_heads, kdim=inner, vdim=inner, batch_first=True
    )
    parts = [f"{block}crossattention.self.{name}" for name in ("query", "key", "value")]
    matrices = {f"{n}_proj_weight": state[f"{p}.weight"] for n, p in zip("qkv", parts, strict=True)}
    bias = torch.cat([state[f"{part}.bias"] for part in parts])
    out = {f"out_proj.{k}": state[f"{block}crossattention.output.dense.{k}"] for k in LEAVES}
    found.load_state_dict({**matrices, "in_proj_bias": bias, **out}, strict=True)
    return found.eval()


LEAVES = ("weight", "bias")


def linear(state: State, name: str, values: torch.Tensor) -> torch.Tensor:
    return values @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def normed(state: State, name: str, values: torch.Tensor) -> torch.Tensor:
    centred = values - values.mean(-1, keepdim=True)
    deviation = (centred**2).mean(-1, keepdim=True).sqrt()
    return centred / deviation * state[f"{name}.weight"] + state[f"{name}.bias"]


def other_scores(state: State, images: torch.Tensor) -> torch.Tensor:
    """RAM++ from its description: transformers' Swin, torch's attention, loops over tags."""
    tokens = swin(state)(images).last_hidden_state
    tokens = linear(state, "image_proj", torch.cat([tokens.mean(1, keepdim=True), tokens], 1))
    scores = []
    for image in tokens:
        direction = image[0] / (image[0] ** 2).sum().sqrt()
        labels = []
        for tag in range(SETTINGS.tags):
            rows = state["label_embed"][tag * SETTINGS.descriptions :][: SETTINGS.descriptions]
            weights = ((rows @ direction) * state["reweight_scale"].exp()).exp()
            labels.append((weights[:, None] * rows).sum(0) / weights.sum())
        queries = linear(state, "wordvec_proj", torch.stack(labels)).clamp(min=0)[None]
        for number in range(SETTINGS.layers):
            block = f"tagging_head.encoder.layer.{number}."
            found, _ = attention(state, block)(queries, image[None], image[None])
            queries = normed(state, f"{block}crossattention.output.LayerNorm", queries + found)
            inner = linear(state, f"{block}intermediate.dense", queries)
            inner = inner * (1 + torch.erf(inner / 2**0.5)) / 2  # GELU by its definition
            inner = linear(state, f"{block}output.dense", inner)
            queries = normed(state, f"{block}output.LayerNorm", queries + inner)
        scores.append(linear(state, "fc", queries)[0, :, 0])
    return torch.stack(scores)


def test_scores_are_those_of_another_program(state: State, tmp_path: Path) -> None:
    """Shifted windows, position biases, the mean token, re-weighting and the decoder."""
    network = loaded(tmp_path, state)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        scores, expected = network(images), other_scores(state, images)
    assert scores.shape == (2, 3)
    assert torch.allclose(scores, expected, atol=2e-5), scores - expected
    assert (expected[0] - expected[1]).abs().max() > 0.01  # or the test is about nothing


def test_reweighting_by_hand() -> None:
    """Image (3, 4) of length 5; factor ln 3, so that a likeness of 1 weighs thrice one of 0."""
    descriptions = torch.tensor([[[0.6, 0.8], [0.8, -0.6]], [[2.0, 0.0], [2.0, 0.0]]])
    log_scale = torch.tensor(math.log(math.log(3)))
    found = reweighted(descriptions, torch.tensor([[3.0, 4.0]]), log_scale)
    first = [0.75 * 0.6 + 0.25 * 0.8, 0.75 * 0.8 - 0.25 * 0.6]
    assert torch.allclose(found, torch.tensor([[first, [2.0, 0.0]]]))


def test_thresholds_are_exceeded(state: State, tmp_path: Path) -> None:
    """A score equal to its threshold is not enough, and 1 is never exceeded (ten tags have it)."""
    network = loaded(tmp_path, state, "0.5\n0.88\n1\n")
    assert network.thresholds.tolist() == pytest.approx([0.5, 0.88, 1.0])
    logit = math.log(0.88 / 0.12)
    assert network.chosen(torch.tensor([0.0, logit + 0.01, 200.0])) == (1,)
    assert network.chosen(torch.tensor([0.01, logit - 0.01, 200.0])) == (0,)
    assert network.chosen(torch.tensor([-9.0, -9.0, -9.0])) == ()


def test_pixels_are_resized_without_a_filter(state: State, tmp_path: Path) -> None:
    """Of four columns the middle two count at a quarter of the size, as in the published codec."""
    network = loaded(tmp_path, state)
    pixels = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(2))
    rows = (pixels[:, :, 1::4] + pixels[:, :, 2::4]) / 2
    small = (rows[..., 1::4] + rows[..., 2::4]) / 2
    expected = [(small[0, c] - MEAN[c]) / STD[c] for c in range(3)]
    assert torch.allclose(network.prepared(pixels)[0], torch.stack(expected), atol=1e-6)


# ----- from a real file


def likely(state: State, image: np.ndarray[Any, Any]) -> str:
    """Thresholds that the second tag alone exceeds for an image."""
    pixels = torch.from_numpy(image.transpose(2, 0, 1)[None]).float() / 255
    scores = other_scores(state, RamPlus(SETTINGS).prepared(pixels))[0].sigmoid().tolist()
    return "".join(f"{s / 2 if n == 1 else (1 + s) / 2:.6f}\n" for n, s in enumerate(scores))


def here(*arguments: str) -> int:
    return main(arguments)


def fresh(*arguments: str) -> int:
    """The command in a process of its own, which takes seconds to load."""
    return subprocess.call([sys.executable, "-m", "icmbench", *arguments])


@pytest.mark.parametrize("last", [here, pytest.param(fresh, marks=pytest.mark.slow)])
def test_tags_guide_the_reconstruction_of_a_file(
    state: State, tmp_path: Path, last: Callable[..., int]
) -> None:
    """Predicted in the encoder, coded in the file, and used where no tagger is."""
    folder = tmp_path / "models" / "diff-icmh"
    mild = {
        k: v / 10 if v.is_floating_point() and v.ndim > 1 else v
        for k, v in published(small_networks()).items()
    }
    import_checkpoint(save(tmp_path / "m.ckpt", mild), folder, **HEADS)
    words(folder)
    png, ram, thresholds = (tmp_path / name for name in ("in.png", "ram.pth", "thresholds.txt"))
    image = make_picture(128, 128)
    write_png(png, image)
    thresholds.write_text(likely(state, image))
    save(ram, checkpoint(state))
    with pytest.raises(ConfigError, match="needs the names of its tags and thresholds"):
        import_checkpoint(tmp_path / "m.ckpt", tmp_path / "b", tagger=ram, **HEADS)
    tagged = {"tags": folder / "tags.txt", "tagger": ram, "thresholds": thresholds}
    import_checkpoint(tmp_path / "m.ckpt", tmp_path / "b", **tagged, **HEADS)
    how = ("--models", str(tmp_path / "models"))

    def import_tagger() -> str:
        given = ("--model", str(folder), "--thresholds", str(thresholds))
        assert here("import-ram-plus", str(ram), *given) == 0
        return sha256_file(folder / "tagger.safetensors")

    def encode(tags: str) -> bytes:
        path = tmp_path / f"{tags}.icb"
        spec = f"diff-icmh:rate=1,tags={tags}"
        assert here("encode", str(png), str(path), "--codec", spec, *how) == 0
        return path.read_bytes()

    def decode(tags: str, guidance: int, call: Callable[..., int] = here) -> bytes:
        path = tmp_path / "out.png"
        keys = f"sampler=ddim,steps=2,start=300,guidance={guidance}"
        assert call("decode", str(tmp_path / f"{tags}.icb"), str(path), "--set", keys, *how) == 0
        return path.read_bytes()

    assert import_tagger() == import_tagger() == sha256_file(tmp_path / "b" / "tagger.safetensors")
    auto, none = encode("auto"), encode("none")
    assert auto == encode("dog")
    assert len(auto) == len(none) + 1
    (folder / "tagger.safetensors").unlink()
    guided = decode("auto", 5)
    assert len({guided, decode("auto", 1), decode("none", 5)}) == 3
    assert decode("auto", 5, last) == guided


def test_all_rates_of_an_image_share_its_tags(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tagger is loaded once and runs once an image."""
    model = DiffICMHModel(tiny_icmh_models() / "diff-icmh", "cpu")
    network, runs = loaded(tmp_path, state), []
    monkeypatch.setattr(network, "chosen", lambda scores: (runs.append(len(scores)), (1, 2))[1])
    monkeypatch.setitem(model.__dict__, "tagging", ImageTagging(network, "cpu"))
    header = stream_header(model, (64, 64))
    images = [make_picture(64, 64, seed=seed) for seed in (1, 2, 1)]
    for image in images:
        for rate in (1, 2, 3):
            stream = model.encode(image, header, rate=rate, tags="auto")
            parsed = container.parse(stream, codec_id=CODEC_ID, unit=CELL)
            assert model.read(parsed).tags == (1, 2)
    assert runs == [3, 3, 3]


def test_ram_plus_runs_on_the_device_of_the_model(state: State, tmp_path: Path) -> None:
    """Every tensor of it lies there; the scores are the CPU's."""
    network = loaded(tmp_path, state, "0.4\n0.5\n0.6\n")
    path, image = tmp_path / "diff-icmh" / "tagger.safetensors", make_picture(64, 96)
    latent = np.zeros((8, 12, 4), np.float32)
    with fake_cuda() as machine:
        tagging = load_tagging(path, NAMES, "cuda")
        before = machine.operations
        assert tagging(image, latent) == ImageTagging(network, "cpu")(image, latent)
        assert machine.operations > before + 50
