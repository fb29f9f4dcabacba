"""Networks on large images: whole up to 4.2 MP, tiles without seams beyond, memory."""

from __future__ import annotations

import weakref
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_picture
from diffusers import AutoencoderKL, AutoencoderTiny
from tiny_icmh import tiny_icmh_models
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from icmbench.codecs.diff_icmh.codec import DiffIcmh
from icmbench.codecs.diff_icmh.networks.control import (
    ControlSettings,
    build_control,
    predict_noise,
)
from icmbench.codecs.diff_icmh.networks.unet import UnetSettings, build_unet
from icmbench.config.resources import PROCESSES_MB, Demand, training_mb
from icmbench.core.errors import CodecError
from icmbench.models.block_autoencoder import BlockAutoencoder, BlockSettings
from icmbench.models.footprint import feature_maps_mb
from icmbench.models.latent import CELL, OVERLAP, SCALE
from icmbench.models.latent_autoencoder import LatentAutoencoder
from icmbench.models.tensors import save_arrays
from icmbench.studies.complexity import PUBLISHED_AUTOENCODER

CHANNELS = 2


class Pooled:
    """An autoencoder whose values depend on the whole input, as with group normalisation.

    A latent cell is the mean of its pixels and the image the cell's value, each plus the mean of
    the input; `sizes` holds those of all inputs.
    """

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def encode(self, pixels: torch.Tensor) -> Any:
        self.sizes.append(tuple(pixels.shape[2:]))
        cells = torch.nn.functional.avg_pool2d(pixels[:, :CHANNELS], CELL)
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: cells + pixels.mean()))

    def decode(self, latent: torch.Tensor) -> Any:
        self.sizes.append(tuple(side * CELL for side in latent.shape[2:]))
        shown = torch.nn.functional.interpolate(latent[:, :1], scale_factor=CELL)
        return SimpleNamespace(sample=(shown + latent.mean()).expand(-1, 3, -1, -1))

    def parameters(self) -> Any:
        return iter([torch.zeros(1)])


def pooled(layout: str | None) -> tuple[LatentAutoencoder, Pooled]:
    network, ones = Pooled(), np.ones(CHANNELS, np.float32)
    metadata = {} if layout is None else {"layout": layout}
    model = LatentAutoencoder(Path("a"), network, 0 * ones, ones, metadata, 8 * SCALE, CHANNELS)  # type: ignore[arg-type]
    return model, network


@pytest.mark.parametrize("layout", ["diffusers-kl", "blocks", None])
def test_autoencoders_take_images_whole_up_to_4_mp(layout: str | None) -> None:
    """Above, no tile is larger than that; of the small AutoencoderKL, in any case, less."""
    most = 768 if layout is None else 2048
    for height, width, whole in ((most, most, True), (most + 8, most, False), (500, 400, True)):
        model, network = pooled(layout)
        latent = model.scaled_latent(np.zeros((height, width, 3), np.uint8))
        model.image(latent / np.float32(SCALE), (height, width))
        assert all(max(size) <= most for size in network.sizes)
        assert (len(network.sizes) == 2) == whole
        if whole:
            assert network.sizes[0] == (-(-height // CELL) * CELL, -(-width // CELL) * CELL)


def test_tiles_have_no_seams() -> None:
    """Where tiles differ by a constant, they fade into each other over the whole overlap.

    The left half of the image is dark and the right half light, so that the tiles are. Where only
    the tile's mean makes a difference, no step between columns is larger than an even ramp's; a cut
    would be one step.
    """
    model, network = pooled("diffusers-kl")
    width = 4096
    latent = np.zeros((8 * 17, width // CELL, CHANNELS), np.float32)
    latent[..., 1] = np.linspace(-0.5, 0.5, width // CELL)  # decoded by its mean alone
    shown = model.image(latent, (8 * 8 * 17, width)).astype(int)
    assert len(network.sizes) > 1
    row = shown[500, :, 0]
    assert np.array_equal(shown, np.broadcast_to(row[None, :, None], shown.shape))
    gap = np.ptp(row)
    assert gap > 20  # or the tiles are equal
    assert np.abs(np.diff(row)).max() <= gap / (OVERLAP * CELL) + 1


class Live(TorchDispatchMode):
    """Bytes of all tensors that live at once, and the operations."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()
        self.operations: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = function(*args, **(kwargs or {}))
        self.operations[str(function)] += 1
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        self.peak = max(self.peak, self.now)
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.now += size
            weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


SIDE = 512


def stub(path: Path, metadata: dict[str, Any]) -> Path:
    path.parent.mkdir(exist_ok=True)
    save_arrays(path, {"a": np.zeros(1, np.float32)}, metadata)
    return path


def test_memory_of_the_autoencoder_of_blocks_is_that_of_its_live_tensors(tmp_path: Path) -> None:
    """Of the decoder at every width, of the encoder where that is the wider one."""
    for number, settings in enumerate(
        (
            BlockSettings(),
            BlockSettings(latent=4, encoder=(8, 8), decoder=(640, 16, 8), blocks=(1, 1, 1)),
            BlockSettings(latent=4, encoder=(8, 8), decoder=(8, 160, 8), blocks=(1, 1, 1)),
            BlockSettings(latent=4, encoder=(128, 8), decoder=(8, 8, 8), blocks=(1, 1, 1)),
        )
    ):
        with torch.device("meta"), torch.inference_mode():
            network = BlockAutoencoder(settings)
            with Live() as live:
                network.decode(torch.zeros(1, settings.latent, SIDE // 8, SIDE // 8))
            with Live() as other:
                network.encode(torch.zeros(1, 3, SIDE, SIDE))
        about = {"layout": "blocks", "network": settings.values()}
        file = stub(tmp_path / str(number) / "autoencoder.safetensors", about)
        megabytes = max(live.peak, other.peak) / 1e6
        assert megabytes <= feature_maps_mb([file], SIDE**2 / 1e6) <= 1.1 * megabytes, settings


@pytest.mark.parametrize("kind", ["kl", "tiny"])
def test_memory_of_an_autoencoder_is_that_of_its_live_tensors(kind: str, tmp_path: Path) -> None:
    """In its decoder, which needs most, at the size of Stable Diffusion and of the tiny ones."""
    with torch.device("meta"), torch.inference_mode():
        network = AutoencoderKL(**PUBLISHED_AUTOENCODER) if kind == "kl" else AutoencoderTiny()
        with Live() as live:
            network.decode(torch.zeros(1, 4, SIDE // 8, SIDE // 8))
        with Live() as other:
            network.encode(torch.zeros(1, 3, SIDE, SIDE))
    settings = {name: value for name, value in network.config.items() if "channels" in name}
    about = {
        "layout": f"diffusers-{kind}",
        "network": {k: settings[k] for k in settings if "channels" in k},
    }
    if kind == "tiny":
        settings.pop("block_out_channels")  # as an import leaves it out
    file = stub(tmp_path / "autoencoder.safetensors", about)
    megabytes = max(live.peak, other.peak) / 1e6
    found = feature_maps_mb([file], SIDE**2 / 1e6)
    assert megabytes <= found <= 1.1 * megabytes
    assert feature_maps_mb([file], 16) == feature_maps_mb([file], 2048**2 / 1e6)  # tiles
    attentions = live.operations["aten.scaled_dot_product_attention.default"]
    assert attentions == (1 if kind == "kl" else 0)
    assert not {"aten.bmm.default", "aten._softmax.default"} & {*live.operations}


def test_memory_of_sampling_is_that_of_its_live_tensors(tmp_path: Path) -> None:
    """Of the published denoising and control network, by scaled dot products alone."""
    with torch.device("meta"), torch.inference_mode():
        unet = build_unet(UnetSettings(), seed=0)
        control = build_control(UnetSettings(), ControlSettings(ratio=1.0, head_width=16), seed=0)
        with Live() as live:
            x_t, step = torch.zeros(2, 4, SIDE // 8, SIDE // 8), torch.zeros(2, dtype=torch.long)
            predict_noise(unet, control, x_t, x_t, step, torch.zeros(2, 77, 1024))
    network = {"kind": "clip", "unet": UnetSettings().values()}
    file = stub(tmp_path / "prior.safetensors", {"network": network})
    megabytes = live.peak / 1e6
    assert megabytes <= feature_maps_mb([file], SIDE**2 / 1e6) <= 1.1 * megabytes
    assert feature_maps_mb([file], 1, batch=8) == 8 * feature_maps_mb([file], 1)
    assert live.operations["aten.scaled_dot_product_attention.default"] == 46
    assert not {"aten.bmm.default", "aten._softmax.default"} & {*live.operations}


def test_jobs_ask_for_the_memory_of_published_networks(tmp_path: Path) -> None:
    """On the CPU: those of the bundled ones are as before, and a GPU holds the maps itself."""
    vae = {"layout": "diffusers-kl", "network": {"block_out_channels": [128, 256, 512, 512]}}
    files = [
        stub(tmp_path / "autoencoder.safetensors", vae),
        stub(
            tmp_path / "prior.safetensors",
            {"network": {"kind": "clip", "unet": UnetSettings().values()}},
        ),
    ]
    own = [
        stub(tmp_path / "own" / name, {"network": {"unet": UnetSettings().values()}})
        for name in ("autoencoder.safetensors", "prior.safetensors")
    ]
    point = SimpleNamespace(decode=(("batch", 8),))
    entries = {
        "single": SimpleNamespace(codec="diff-icmh", points=[SimpleNamespace(decode=())]),
        "eight": SimpleNamespace(codec="diff-icmh", points=[point]),
    }
    sets = {"a": SimpleNamespace(megapixels=SimpleNamespace(largest=2.0))}

    def demand(device: str) -> Demand:
        run: Any = SimpleNamespace(config={"device": device}, codecs=entries, datasets=sets)
        return Demand(run, cluster=False)

    coding_mb = demand("cpu").coding_mb
    assert coding_mb(own, ["a"], ["eight"]) == PROCESSES_MB + 1500 * 2
    decoder = 1.6 * 3.1 * 256 * 4 * 2
    assert coding_mb(files, ["a"], ["single"]) == pytest.approx(PROCESSES_MB + decoder, abs=2)
    maps = 1.6 * 40.2 * 320 * 4 * 2 / 64 * 2 * 8
    assert coding_mb(files, ["a"], ["eight"]) == pytest.approx(PROCESSES_MB + maps, abs=2)
    assert demand("cuda").coding_mb(files, ["a"], ["eight"]) == PROCESSES_MB + 1500 * 2
    assert training_mb(files[:1]) - training_mb(own[:1]) == round(1.6 * 3.1 * 256 * 4 * 1.05)


def test_a_gpu_that_is_too_small_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the work, the memory that is there, and the remedy; another image is coded after it."""
    codec = DiffIcmh(models=tiny_icmh_models())
    stream = codec.encode(make_picture(64, 64), rate=1)

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    found = SimpleNamespace(total_memory=8_000_000_000)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: found)
    with monkeypatch.context() as patch:
        patch.setattr(codec.model, "sample", full)
        text = r"2 images of up to 0\.00 MP at once: the GPU has 8\.0 GB.*; take batch=1, dtype="
        with pytest.raises(CodecError, match=text):
            codec.decode_batch([stream, stream], batch=2, steps=2)
        patch.setattr(codec.model, "latent", full)
        with pytest.raises(CodecError, match=r"an image of 64x64 pixels: the GPU has 8\.0 GB"):
            codec.encode(make_picture(64, 64), rate=1)
    assert codec.decode(stream, steps=2).shape == (64, 64, 3)
