"""Every device path of coding, measuring and reporting, on fake CUDA tensors."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from conftest import make_picture
from fake_cuda import fake_cuda
from test_import_diff_icmh import HEADS, other_rate, save, small_networks, words
from test_import_diff_icmh import published as published_names
from test_learned_metrics import random_state, write_pristine_model
from tiny_icmh import tiny_icmh_models
from tiny_model import tiny_models

from icmbench.bitstream.tables import gaussian_tables
from icmbench.classifier.lite0_weights import lite0_lacks
from icmbench.codecs.diff_icmh import diff_icmh_model as icmh_model
from icmbench.codecs.diff_icmh import model_folder as icmh
from icmbench.codecs.diff_icmh.codec import DiffIcmh
from icmbench.codecs.diff_icmh.importing.importer import import_checkpoint
from icmbench.codecs.diff_icmh.networks.unet import UnetSettings
from icmbench.codecs.diff_icmh.text import Conditioned
from icmbench.codecs.mpd import model_folder as mpd
from icmbench.codecs.mpd.codec import Mpd
from icmbench.codecs.mpd.networks import reverse as reversing
from icmbench.codecs.mpd.networks.class_features import class_network
from icmbench.codecs.specs import parse_spec
from icmbench.core.images.image_files import write_png
from icmbench.datasets.records import Record
from icmbench.evaluation import archive
from icmbench.evaluation.codec_process import Setup
from icmbench.evaluation.shard import CodecEntry
from icmbench.metrics import METRICS, available
from icmbench.metrics import weights as metric_files
from icmbench.metrics.meter import Meter
from icmbench.models import codec_model
from icmbench.models import latent as latents
from icmbench.models.entropy_tables import prior_tables
from icmbench.models.latent_autoencoder import LatentAutoencoder, load_autoencoder
from icmbench.studies import complexity, diffusion
from icmbench.studies.complexity import complexity_table, published
from icmbench.studies.framework import framework_rows
from icmbench.studies.hierarchies import hierarchy_figure

IMAGE = make_picture(72, 104)
MPD_ENCODE: list[dict[str, Any]] = [{"palette": "image"}, {"bytes": 2000}, {"alpha": 0.0}]
ICMH_DECODE: list[dict[str, Any]] = [
    {"sampler": "none"},
    {"sampler": "ddim", "steps": 3},
    {"sampler": "ddim", "steps": 3, "guidance": 4.0},
    {"sampler": "ddim", "steps": 3, "start": 500},
    {"sampler": "ddpm-spaced", "steps": 3, "guidance": 1.0},
    {"sampler": "ddim", "steps": 3, "dtype": "bfloat16"},
]


def close(one: np.ndarray, other: np.ndarray) -> None:
    """Two reconstructions of one stream: equal, but for the order of sums."""
    assert one.shape == other.shape
    assert np.abs(one.astype(int) - other).max() <= 1


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of the least size, so that a small picture has several."""
    for name, value in (("TILE", 16), ("LATENT_WHOLE", 50), ("LATENT_TILE", 16)):
        monkeypatch.setattr(latents, name, value)
        if hasattr(reversing, name):
            monkeypatch.setattr(reversing, name, value)


# ----- MPD


BUNDLED = pytest.param(None, id="bundled", marks=pytest.mark.slow)


@pytest.mark.parametrize("models", [pytest.param(tiny_models(), id="tiny"), BUNDLED])
def test_mpd_codes_on_cuda(models: Path | None) -> None:
    """Latents, features and R run on cuda; the reconstructions are the CPU's."""
    with fake_cuda() as machine:
        codec, here = Mpd(models=models, device="cuda"), Mpd(models=models)
        assert codec.device == codec.model.device == "cuda"
        keys = MPD_ENCODE if models else [*MPD_ENCODE, {"guide": "fft"}, {"guide": "mean"}]
        for chosen in keys:
            before = machine.operations
            stream = codec.encode(IMAGE, **chosen)
            assert machine.operations > before
            assert codec.truncate(stream)
        assert not models or machine.operations
        stream = here.encode(IMAGE)
        for decoder in ("mean", "regression", "diffusion"):
            before = machine.operations
            close(codec.decode(stream, decoder=decoder), here.decode(stream, decoder=decoder))
            assert machine.operations > before


@pytest.mark.skipif(bool(lite0_lacks()), reason="no EfficientNet-Lite0")
def test_what_a_class_network_guides_on_cuda() -> None:
    """Clustering features and the perceptual metric: the stream is made, the network on cuda."""
    class_network.cache_clear()
    with fake_cuda() as machine:
        codec = Mpd(models=tiny_models(), device="cuda")
        for chosen in ({"guide": "lite", "keep": 0.1}, {"distortion": "perception"}):
            before = machine.operations
            assert codec.truncate(codec.encode(IMAGE, **chosen))
            assert machine.operations > before + 50
    class_network.cache_clear()


@pytest.mark.usefixtures("small_tiles")
def test_mpd_in_tiles() -> None:
    """Tiles meet on the CPU."""
    with fake_cuda():
        codec, here = Mpd(models=tiny_models(), device="cuda"), Mpd(models=tiny_models())
        image = make_picture(200, 136)
        assert len(latents.tiles(25, 17, latents.TILE**2, latents.TILE)) > 1
        stream = here.encode(image)
        codec.encode(image)
        for decoder in ("regression", "diffusion"):
            close(codec.decode(stream, decoder=decoder), here.decode(stream, decoder=decoder))


def hollow_vae() -> Any:
    """The autoencoder of Stable Diffusion 2.1, without values."""
    return published().autoencoder.eval().requires_grad_(False)


def test_mpd_with_a_published_autoencoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As imported with `icmbench` from Stable Diffusion 2.1: its size, without its values."""
    loaded = load_autoencoder(mpd.part_file(tiny_models() / mpd.NAME, "autoencoder"))
    hollow = dataclasses.replace(loaded, network=hollow_vae())
    monkeypatch.setattr(codec_model, "load_autoencoder", lambda path: hollow)
    with fake_cuda() as machine:
        codec = Mpd(models=tiny_models(), device="cuda")
        shown = codec.decode(codec.encode(IMAGE), decoder="regression")
        assert shown.shape == IMAGE.shape
        assert machine.operations > 300


# ----- Diff-ICMH


@pytest.mark.parametrize("models", [pytest.param(tiny_icmh_models(), id="tiny"), BUNDLED])
def test_diff_icmh_codes_on_cuda(models: Path | None) -> None:
    """Every rate and sampler; the gains of the rates are used on both devices."""
    with fake_cuda() as machine:
        codec, here = DiffIcmh(models=models, device="cuda"), DiffIcmh(models=models)
        rates = range(1, here.model.rates + 1)
        streams = [here.encode(IMAGE, rate=rate) for rate in rates]
        for rate in rates:
            before = machine.operations
            stream = codec.encode(IMAGE, rate=rate)
            assert machine.operations > before
            assert codec.decode(stream, sampler="none").shape == IMAGE.shape
        for keys in ICMH_DECODE:
            before = machine.operations
            close(codec.decode(streams[-1], **keys), here.decode(streams[-1], **keys))
            assert machine.operations > before


def test_diff_icmh_in_batches() -> None:
    """Streams of one size are sampled together, on cuda."""
    with fake_cuda():
        codec = DiffIcmh(models=tiny_icmh_models(), device="cuda")
        here = DiffIcmh(models=tiny_icmh_models())
        images = [IMAGE, make_picture(130, 64), make_picture(72, 104, 5)]
        streams = [here.encode(image, tags=tags) for image in images for tags in ("auto", "none")]
        keys: dict[str, Any] = {"sampler": "ddim", "steps": 2, "guidance": 3.0, "batch": 8}
        for one, other in zip(
            codec.decode_batch(streams, **keys), here.decode_batch(streams, **keys), strict=True
        ):
            close(one, other)


@pytest.mark.usefixtures("small_tiles")
def test_diff_icmh_in_tiles() -> None:
    """The autoencoder's tiles of a latent that was sampled whole."""
    with fake_cuda():
        codec = DiffIcmh(models=tiny_icmh_models(), device="cuda")
        here = DiffIcmh(models=tiny_icmh_models())
        image = make_picture(200, 136)
        stream = here.encode(image)
        codec.encode(image)
        close(*(c.decode(stream, sampler="ddim", steps=2) for c in (codec, here)))


def hollow_folder(*_: Any) -> tuple[LatentAutoencoder, icmh.Codec, Conditioned, Any]:
    """The published sizes: nothing has values but what decides bits, where they are zero."""
    whole = published()
    lfgcm = whole.lfgcm.eval().requires_grad_(False)
    for module in (*lfgcm.entropy_modules(), lfgcm.entropy_bottleneck):
        module.to_empty(device="cpu")
        for parameter in module.parameters():
            parameter.zero_()
    quantiles = lfgcm.entropy_bottleneck.quantiles
    quantiles.copy_(torch.tensor([-2.0, 0.0, 2.0]).expand(quantiles.shape))
    lfgcm.entropy_to_double()
    defaults = {"sampler": "ddim", "steps": 2, "guidance": 5.0, "start": 999, "clip": None}
    tables = gaussian_tables(), prior_tables(lfgcm.entropy_bottleneck)
    codec = icmh.Codec(lfgcm, *tables, defaults, {})
    zeros, ones = np.zeros(4, np.float32), np.ones(4, np.float32)
    autoencoder = LatentAutoencoder(Path(), hollow_vae(), zeros, ones, {}, 32767, 4)

    class Embedder(torch.nn.Module):
        """Texts of the published size."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(
                torch.empty(77, 1024, device="meta"), requires_grad=False
            )

        def forward(self, sets: Any) -> torch.Tensor:
            return self.weight.repeat(len(sets), 1, 1)

    unet = whole.unet.eval().requires_grad_(False)
    control = whole.control.eval().requires_grad_(False)
    return (
        autoencoder,
        codec,
        Conditioned(unet, Embedder(), ("cat", "dog"), UnetSettings()),
        control,
    )


@pytest.mark.slow
def test_diff_icmh_of_the_published_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stable Diffusion 2.1 with its control network and codec, guided, in a batch."""
    autoencoder, codec, prior, control = hollow_folder()
    monkeypatch.setattr(codec_model, "load_autoencoder", lambda path: autoencoder)
    loaders = {"load_codec": codec, "load_conditioned": prior, "load_control": control}
    for name, value in loaders.items():
        monkeypatch.setattr(icmh_model, name, lambda folder, value=value: value)
    with fake_cuda() as machine:
        coder = DiffIcmh(models=tiny_icmh_models(), device="cuda")
        monkeypatch.setattr(coder.model, "tags", lambda image, latent: (0, 1))
        streams = [coder.encode(image) for image in (IMAGE, make_picture(72, 104, 3))]
        for sampler in ("none", "ddim", "ddpm-spaced"):
            for shown in coder.decode_batch(streams, sampler=sampler, steps=2):
                assert shown.shape == IMAGE.shape
        assert machine.operations > 5000


def test_an_imported_diff_icmh(tmp_path: Path) -> None:
    """The layout of published checkpoints: no adapters, a text encoder, attention."""
    state = published_names(small_networks())
    mild = {k: v / 10 if v.is_floating_point() and v.ndim > 1 else v for k, v in state.items()}
    first = save(tmp_path / "model.ckpt", mild)
    second = save(tmp_path / "second.ckpt", other_rate(mild, 2))
    import_checkpoint(first, tmp_path / icmh.NAME, further=[second], **HEADS)
    words(tmp_path / icmh.NAME)
    with fake_cuda():
        codec, here = DiffIcmh(models=tmp_path, device="cuda"), DiffIcmh(models=tmp_path)
        keys = {"sampler": "ddim", "steps": 2, "guidance": 3.0}
        for rate in (1, 2):  # the second shares the frozen networks of the first
            codec.encode(IMAGE, rate=rate, tags="cat+hat")
            stream = here.encode(IMAGE, rate=rate, tags="cat+hat")
            close(codec.decode(stream, **keys), here.decode(stream, **keys))


# ----- measuring


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Random files of LPIPS, DISTS and NIQE under their published names."""
    folder = tmp_path_factory.mktemp("weights")
    states = {
        "ALEXNET": random_state(torchvision.models.alexnet, 1),
        "VGG16": random_state(torchvision.models.vgg16, 2),
        "DISTS": {name: torch.rand(1, 1475, 1, 1) for name in ("alpha", "beta")},
    }
    with pytest.MonkeyPatch.context() as patch:
        for constant, state in states.items():
            file = getattr(metric_files, constant)
            torch.save(state, folder / file.name)
            digest = hashlib.sha256((folder / file.name).read_bytes()).hexdigest()
            if file.sha256:
                changed = dataclasses.replace(file, sha256=digest[:8])
                patch.setattr(metric_files, constant, changed)
        write_pristine_model(folder)
        yield folder


def test_every_metric_on_cuda(weights: Path) -> None:
    """Learned metrics run on cuda, the others on the CPU: their values are the same everywhere."""
    image = make_picture(176, 192)
    other = np.clip(image.astype(int) + make_picture(176, 192, 9) // 16, 0, 255).astype(np.uint8)
    with fake_cuda() as machine:
        for name in available(weights)[0]:
            before = machine.operations
            found = Meter([name], weights, "cuda")(image, other)
            wanted = Meter([name], weights)(image, other)
            if METRICS[name].uses_device:
                assert machine.operations - before > 20
                assert found[name] == pytest.approx(wanted[name], rel=1e-4), name
            else:
                assert machine.operations == before
                assert found == wanted


# ----- reporting


@pytest.mark.slow
def test_complexity_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages are timed on cuda; the memory of a process of its own is a number from there."""
    monkeypatch.setattr(complexity, "peak_memory", lambda *_: 1.0)
    monkeypatch.setattr(complexity, "STEPS", (2, 50))
    with fake_cuda() as machine:
        found = complexity_table(tiny_icmh_models() / icmh.NAME, "cuda", size=64, repeats=1)
        assert machine.operations > 1000
    assert set(found["device"]) == {"cuda", ""}


def test_unconditional_samples_on_cuda() -> None:
    """The prior with control and without."""
    with fake_cuda():
        codec = DiffIcmh(models=tiny_icmh_models(), device="cuda")
        point = parse_spec("diff-icmh:rate=2,sampler=ddim,steps=2,guidance=2")
        stream = codec.encode(IMAGE, rate=2)
        samples, _ = diffusion.prior_samples("i", IMAGE, stream, point, codec)
        assert [sample.kind for sample in samples].count("prior alone") == 3
        model, parsed = codec.parse(stream)
        assert diffusion.uncropped(model, stream, parsed, point).shape == (128, 128, 3)


def stored(tmp_path: Path, family: CodecEntry, stream: bytes) -> Path:
    """A shard of one image."""
    encoding, point = next(iter(family.encodings().items()))
    name = archive.stream_member(encoding, "i", point.codec.file_extension(**dict(point.encode)))
    with archive.create(tmp_path / "0.zip") as out:
        out.add(name, stream)
    write_png(tmp_path / "i.png", IMAGE)
    return tmp_path / "0.zip"


def test_palette_hierarchy_and_framework_on_cuda(tmp_path: Path) -> None:
    """Figure and table that run R and the autoencoder in their own process."""
    point = parse_spec("mpd:state=0")
    family = CodecEntry("mpd", "mpd", (point,), Setup("mpd", tiny_models(), device="cuda"))
    with fake_cuda() as machine:
        codec = Mpd(models=tiny_models(), device="cuda")
        stream = codec.encode(IMAGE)
        streams = stored(tmp_path, family, stream)
        record = Record("i", "i.png", width=104, height=72)
        before = machine.operations
        hierarchy_figure("d", record, tmp_path, streams, family)
        assert machine.operations > before
        rows = list(framework_rows(codec.model, IMAGE, stream))
        assert len(rows) == 1 + 2 * (8 + 6)
