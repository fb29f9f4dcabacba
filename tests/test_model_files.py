"""Metadata of model files: sizes are compared with tensors before they are built."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save
from tiny_icmh import make_tiny_icmh
from tiny_model import tiny_models

from icmbench.codecs.registry import codec_class
from icmbench.core.errors import ModelError
from icmbench.models.tensors import KEY, load_arrays, load_network, make_network, save_network

Change = Callable[[dict[str, Any]], Any]


def rewrite(path: Path, change: Change) -> None:
    """Change the metadata of a model file; its tensors stay."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    metadata = json.loads(header["__metadata__"][KEY])
    found = change(metadata)
    header["__metadata__"][KEY] = json.dumps(metadata if found is None else found)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


def setting(name: str, value: Any) -> Change:
    return lambda metadata: metadata["network"].__setitem__(name, value)


def unet(name: str, value: Any) -> Change:
    return lambda metadata: metadata["network"]["unet"].__setitem__(name, value)


def entry(name: str, value: Any) -> Change:
    return lambda metadata: metadata.__setitem__(name, value)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    shutil.copytree(tiny_models() / "mpd", models / "mpd")
    make_tiny_icmh(models)
    return models


FAULTS = {
    "channels": ("mpd", "autoencoder", setting("channels", [10**6]), "channels.0 is 1000000"),
    "layers": ("mpd", "autoencoder", setting("layers", 10**7), "layers is 10000000"),
    "negative": ("mpd", "autoencoder", setting("latent", -1), "latent is -1"),
    "no group": ("mpd", "autoencoder", setting("groups", 0), "describe no network"),
    "empty": ("mpd", "autoencoder", setting("channels", []), "describe no network"),
    "text": ("mpd", "reverse", setting("blocks", "x"), "blocks is 'x', not a whole"),
    "nothing": ("mpd", "reverse", entry("network", None), "network is None"),
    "unknown": ("mpd", "reverse", setting("depth", 1), "network.depth is unknown"),
    "missing": ("mpd", "reverse", lambda m: m["network"].pop("blocks") and m, "blocks is missing"),
    "truth": ("mpd", "reverse", setting("blocks", True), "blocks is True, not a whole"),
    "no list": ("mpd", "autoencoder", setting("channels", 8), "channels is 8, not a list"),
    "a list": ("mpd", "reverse", setting("channels", [8]), "channels is [8], not a whole"),
    "unknown, nested": ("diff-icmh", "control", unet("depth", 1), "network.unet.depth is unknown"),
    "mean": ("mpd", "autoencoder", entry("mean", [float("nan")] * 4), "NaN"),
    "deviation": ("mpd", "autoencoder", entry("std", [float("inf")] * 4), "Infinity"),
    "beyond float32": ("mpd", "autoencoder", entry("std", [1e300] * 4), "mean and std"),
    "noise": ("mpd", "reverse", entry("noise", [float("-inf")] * 8), "-Infinity"),
    "list": ("mpd", "autoencoder", lambda _: [1], "are a list"),
    "hyper": ("diff-icmh", "codec", setting("hyper", -1), "hyper is -1"),
    "hyper text": ("diff-icmh", "codec", setting("hyper", "x"), "hyper is 'x', not a whole"),
    "nested": ("diff-icmh", "control", unet("layers", 10**9), "layers"),
    "prior": ("diff-icmh", "prior", unet("context", 10**9), "context"),
    "steps": ("diff-icmh", "codec", lambda m: m["decoding"].update(steps=10**9), "from 2 to 1000"),
    "sampler": ("diff-icmh", "codec", lambda m: m["decoding"].update(sampler="best"), "none of"),
    "clip": ("diff-icmh", "codec", lambda m: m["decoding"].update(clip=-1), "not positive"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_metadata_that_do_not_fit_are_refused(originals: Path, tmp_path: Path, fault: str) -> None:
    codec, part, change, text = FAULTS[fault]
    models = tmp_path / "models"
    shutil.copytree(originals, models)
    file = models / codec / f"{part}.safetensors"
    rewrite(file, change)
    with pytest.raises(ModelError) as caught:
        codec_class(codec)(models=models)
    assert text in str(caught.value)
    assert str(file) in str(caught.value)


def test_tables_of_other_integers_are_refused(originals: Path, tmp_path: Path) -> None:
    """The least integer has no absolute value in its own type."""
    changes = {
        "weights": lambda array: np.full_like(array, -(2**31)),
        "palette.means": lambda array: np.full(array.shape, -(2**63), np.int64),
    }
    for number, (name, change) in enumerate(changes.items()):
        models = tmp_path / str(number)
        shutil.copytree(originals, models)
        file = models / "mpd" / "contexts.safetensors"
        header = load_arrays(file)[1]
        arrays = dict(load_file(file))
        arrays[name] = change(arrays[name])
        file.write_bytes(save(arrays, {KEY: json.dumps(header)}))
        with pytest.raises(ModelError, match="mixer" if name == "weights" else "int32"):
            codec_class("mpd")(models=models)


def test_buffers_that_no_file_holds_are_computed(tmp_path: Path) -> None:
    """The positions of a text encoder, for instance."""
    path = tmp_path / "a.safetensors"
    save_network(path, {"weight": torch.ones(3, 2), "bias": torch.zeros(3)}, {})

    def build(sizes: dict[str, int]) -> torch.nn.Module:
        layer = torch.nn.Linear(sizes["inputs"], sizes["outputs"])
        layer.register_buffer("positions", torch.arange(4), persistent=False)
        return layer

    state, _ = load_network(path)
    layer = make_network(path, state, {"inputs": 2, "outputs": 3}, build)
    assert layer.get_buffer("positions").tolist() == [0, 1, 2, 3]
    assert torch.equal(layer.weight, state["weight"])


def test_nothing_of_a_wrong_size_is_made(tmp_path: Path) -> None:
    """The network is built on the meta device; only weights that fit it become memory."""
    path = tmp_path / "a.safetensors"
    state = {"weight": torch.ones(3, 2), "bias": torch.zeros(3)}
    save_network(path, state, {})
    made: list[str] = []

    def build(sizes: dict[str, int]) -> torch.nn.Module:
        layer = torch.nn.Linear(sizes["inputs"], sizes["outputs"])
        made.append(layer.weight.device.type)
        return layer

    layer = make_network(path, state, {"inputs": 2, "outputs": 3}, build)
    assert made == ["meta"]
    assert torch.equal(layer.weight, state["weight"])
    assert layer.weight.requires_grad
    assert layer(torch.ones(1, 2)).device.type == "cpu"
    made.clear()
    with pytest.raises(ModelError, match="has the shape"):
        make_network(path, state, {"inputs": 3, "outputs": 3}, build)
    assert made == ["meta"]
    with pytest.raises(ModelError, match=r"network\.inputs is 4"):
        make_network(path, state, {"inputs": 4, "outputs": 3}, build)
    assert made == ["meta"]
