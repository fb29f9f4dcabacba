"""What is trained, and the models of tasks, on fake CUDA tensors (`fake_cuda`): nothing is left.

Every step's losses are those of the CPU, since the harness computes real values; and a module, a
buffer or a call of numpy that is left behind is an error, as on a GPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import test_diff_icmh_training as icmh
import test_features
import test_landmarks
import test_training
import test_vgg
import torch
from conftest import make_picture
from fake_cuda import fake_cuda
from test_sampled import classifier
from tiny_model import tiny_models

from icmbench.codecs.diff_icmh.training import sampled
from icmbench.codecs.diff_icmh.training.codec_alone import make_codec_alone
from icmbench.codecs.diff_icmh.training.losses import LossWeights, SampledWeights, load_frozen
from icmbench.codecs.mpd.model_folder import NAME
from icmbench.codecs.mpd.training import features as train_features
from icmbench.codecs.mpd.training import vgg as train_vgg
from icmbench.codecs.mpd.training.autoencoder import make_autoencoder
from icmbench.codecs.mpd.training.contexts import train_contexts
from icmbench.codecs.mpd.training.pseudo_labels import draw_patches
from icmbench.codecs.mpd.training.representation import load_taps, make_pseudo_labels
from icmbench.codecs.mpd.training.reverse import train_reverse
from icmbench.core.files import write_bytes
from icmbench.datasets.scenes import Scenes
from icmbench.models.tensors import load_network, save_network
from icmbench.tasks.backends import openmm
from icmbench.tasks.backends.mmcv_ext import SERVED
from icmbench.training.loop import Session

pytestmark = pytest.mark.usefixtures("one_thread")

State = dict[str, torch.Tensor]
SCHEDULE = replace(test_training.SCHEDULE, steps=2, batch=2, checkpoint_every=9)
REDUCED = replace(SCHEDULE, precision="bfloat16")


def on_both(folder: Path, train: Callable[[Path, str], State], *, casts: bool) -> None:
    """A training on the CPU and on fake CUDA: the same losses, and weights that end on the CPU.

    Weights are not compared: where a gradient is nearly zero, its sign decides the first steps.

    Args:
        casts: whether its forward passes are under autocast, then of the device's type.
    """
    (folder / "cpu").mkdir()
    (folder / "cuda").mkdir()
    expected = train(folder / "cpu", "cpu")
    with fake_cuda() as machine:
        found = train(folder / "cuda", "cuda")
        assert machine.operations > 50
        assert ("cuda" in machine.autocasts) == casts
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert type(tensor) in (torch.Tensor, torch.nn.Parameter), name
    losses = [pd.read_csv(folder / device / "losses.csv") for device in ("cpu", "cuda")]
    np.testing.assert_allclose(losses[1].iloc[0], losses[0].iloc[0], rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(losses[1]["loss"], losses[0]["loss"], rtol=2e-2)


def session(folder: Path, device: str) -> Session:
    return Session(folder / "c.pt", folder / "losses.csv", device=device)


@pytest.mark.parametrize("schedule", [SCHEDULE, REDUCED])
def test_the_autoencoder(schedule: Any, tmp_path: Path) -> None:
    def train(folder: Path, device: str) -> State:
        path = folder / "autoencoder.safetensors"
        make_autoencoder(
            path, schedule, test_training.make_pool(), session(folder, device), crop=32,
            carried=test_training.CARRIED, settings=test_training.TINY,
        )  # fmt: skip
        return load_network(path)[0]

    on_both(tmp_path, train, casts=True)


def large_pool() -> Any:
    """Images that a crop of the reverse process fits into."""
    pool = test_training.make_pool()
    return replace(pool, images=tuple(make_picture(136, 144, seed) for seed in range(2)))


def test_the_entropy_coders_tables(tmp_path: Path) -> None:
    expected = train_contexts(tiny_models() / NAME, large_pool(), 2)
    with fake_cuda() as machine:
        found = train_contexts(tiny_models() / NAME, large_pool(), 2, "cuda")
        assert machine.operations > 50
    for name, table in expected.items():
        np.testing.assert_array_equal(found[name], table)


def test_the_reverse_process(tmp_path: Path) -> None:
    def train(folder: Path, device: str) -> State:
        home = tiny_models() / NAME
        return train_reverse(home, REDUCED, large_pool(), session(folder, device), crop=128)[0]

    on_both(tmp_path, train, casts=True)


@pytest.mark.parametrize("objective", train_vgg.OBJECTIVES)
def test_the_vgg(objective: str, tmp_path: Path) -> None:
    def train(folder: Path, device: str) -> State:
        return train_vgg.train_vgg(
            REDUCED, large_pool(), 32, objective, session(folder, device), settings=test_vgg.TINY,
        )[0]  # fmt: skip

    on_both(tmp_path, train, casts=True)


def test_pseudo_labels(tmp_path: Path) -> None:
    network = train_vgg.build_vgg(test_vgg.TINY, 1)
    path = tmp_path / "vgg.safetensors"
    save_network(path, network.state_dict(), {"network": test_vgg.TINY.values()})
    pool = large_pool()
    patches = draw_patches(pool.images, 24, 32, seed=1)
    settings: dict[str, Any] = {"counts": [2, 3], "clusters": [3] * 5, "seed": 1}
    expected, values = make_pseudo_labels(load_taps(path), pool, patches, "fft", **settings)
    with fake_cuda() as machine:
        taps = load_taps(path, "cuda")
        found, others = make_pseudo_labels(taps, pool, patches, "fft", **settings)
        assert machine.operations > 50
    for one, other in zip(values, others, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    for level, other in zip(expected.levels, found.levels, strict=True):
        np.testing.assert_array_equal(level.labels, other.labels)


def test_the_features(tmp_path: Path) -> None:
    def train(folder: Path, device: str) -> State:
        schedule = replace(test_features.SCHEDULE, steps=2, checkpoint_every=9)
        schedule = replace(schedule, precision="bfloat16")
        state, _ = train_features.train_features(
            tiny_models() / NAME, schedule, test_features.make_pool(),
            test_features.make_labels(), session(folder, device), settings=test_features.TINY,
        )  # fmt: skip
        # Of two components that weigh the same either may come first.
        return {k: v for k, v in state.items() if k not in ("mean", "components")}

    on_both(tmp_path, train, casts=True)


def test_retrieval(tmp_path: Path) -> None:
    from icmbench.studies.clusters import retrieve

    folder = tmp_path / "model"
    home = tiny_models() / NAME
    write_bytes(folder / "autoencoder.safetensors", (home / "autoencoder.safetensors").read_bytes())
    state, about = test_features.run(tmp_path)
    save_network(folder / "features-fft.safetensors", state, about)
    expected = retrieve(folder, ["fft"], scenes=3, patch=64)
    with fake_cuda() as machine:
        found = retrieve(folder, ["fft"], scenes=3, patch=64, device="cuda")
        assert machine.operations > 50
    for name, vectors in expected.vectors.items():
        np.testing.assert_allclose(found.vectors[name], vectors, atol=1e-3)


# Diff-ICMH.


@pytest.fixture(scope="module")
def folder_of_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return icmh.models.__wrapped__(tmp_path_factory)  # type: ignore[attr-defined,no-any-return]


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return icmh.pool.__wrapped__(tmp_path_factory)  # type: ignore[attr-defined]


@pytest.mark.parametrize("part", ["prior", "tagger"])
def test_the_prior_and_its_tagger(
    part: str, folder_of_models: Path, tagged: Any, tmp_path: Path
) -> None:
    schedule = replace(icmh.SCHEDULE, steps=2, checkpoint_every=9)

    def train(folder: Path, device: str) -> State:
        run = icmh.run_prior if part == "prior" else icmh.run_tagger
        run(folder, folder_of_models, tagged, schedule, device=device)
        return load_network(folder / f"{part}.safetensors")[0]

    on_both(tmp_path, train, casts=part == "prior")


@pytest.mark.parametrize(
    ("stage", "weights"),
    [
        (1, icmh.WEIGHTS),
        (2, LossWeights(lambda_rate=(8.0, 4.0, 1.0), timesteps=2, freeze_codec=True)),
    ],
)
def test_the_codec_and_its_control_network(
    stage: int, weights: LossWeights, folder_of_models: Path, tagged: Any, tmp_path: Path
) -> None:
    schedule = replace(icmh.SCHEDULE, steps=2, checkpoint_every=9)

    def train(folder: Path, device: str) -> State:
        prior = folder_of_models / "prior.safetensors"
        loaded = load_frozen(folder_of_models, prior, device)
        icmh.run_stage(
            folder, folder_of_models, tagged, schedule, stage,
            weights=weights, loaded=loaded, device=device,
        )  # fmt: skip
        names = ("codec", "control")
        states = {name: load_network(folder / f"{name}.safetensors")[0] for name in names}
        return {f"{name}.{k}": v for name, state in states.items() for k, v in state.items()}

    on_both(tmp_path, train, casts=True)


def test_the_control_network_through_the_sampler(
    folder_of_models: Path, tagged: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh classifier per device: one that is kept would stay on the other."""
    monkeypatch.setattr(sampled, "_classifier", lambda device: classifier().to(device))
    weights = replace(icmh.WEIGHTS, freeze_codec=True, levels=151, sampled=SampledWeights(steps=2))
    schedule = replace(icmh.SCHEDULE, steps=2, checkpoint_every=9)

    def train(folder: Path, device: str) -> State:
        loaded = load_frozen(folder_of_models, folder_of_models / "prior.safetensors", device)
        icmh.run_stage(
            folder, folder_of_models, tagged, schedule, 2,
            weights=weights, loaded=loaded, device=device,
        )  # fmt: skip
        return load_network(folder / "control.safetensors")[0]

    on_both(tmp_path, train, casts=True)


def test_the_codec_alone(folder_of_models: Path, tagged: Any, tmp_path: Path) -> None:
    """With its linear transform, float32 under autocast, too, and the error of the image."""

    def train(folder: Path, device: str) -> State:
        make_codec_alone(
            folder,
            folder_of_models,
            replace(REDUCED, steps=2),
            tagged,
            session(folder, device),
            weights=LossWeights(lambda_rate=(0.8, 0.2, 0.05)),
            image=(0.5, 0.5),
            crop=icmh.CROP,
            settings=replace(icmh.CODEC, latent=16, slices=(4, 12), linear=True),
        )
        return load_network(folder / "codec.safetensors")[0]

    on_both(tmp_path, train, casts=True)


# Task models.


def test_the_fan(tmp_path: Path) -> None:
    from icmbench.tasks.training.fan import train_fan

    def train(folder: Path, device: str) -> State:
        pool = test_landmarks.tiny_pool()
        return train_fan(SCHEDULE, pool, session(folder, device), features=16)[0]

    on_both(tmp_path, train, casts=False)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from icmbench.training.data import read_training_data

    folder = tmp_path_factory.mktemp("scenes")
    made = Scenes("scenes", {"seed": 5, "size": 96, "train": 2, "test": 0}, folder)
    made.provide(made.image_ids(), folder)
    paths = [path for path in folder.glob("*.png") if ".semantic" not in path.name]
    return read_training_data([("scenes", paths)], smallest=32)


def train_openmm_on(kind: str, scenes: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A short training of the detector or the segmenter, by folder and device."""
    from icmbench.tasks.training import train_openmm

    monkeypatch.setattr(train_openmm, "SETTLING", (1, 2))
    # One step of the detector is 6000 operations.
    schedule = replace(SCHEDULE, steps=1) if kind == "detector" else SCHEDULE

    def train(folder: Path, device: str) -> State:
        package = {"detector": "mmdet", "segmenter": "mmseg"}[kind]
        return train_openmm.train_openmm(package, schedule, scenes, 64, session(folder, device))[0]

    return train


@pytest.mark.parametrize("kind", ["detector", "segmenter"])
def test_the_bundled_task_models(
    kind: str, scenes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_both(tmp_path, train_openmm_on(kind, scenes, monkeypatch), casts=False)


def test_a_checkpoint_of_the_cpu_goes_on_on_a_gpu(tmp_path: Path) -> None:
    """The result is that of a training that was never interrupted."""
    schedule = replace(SCHEDULE, steps=4, checkpoint_every=3)
    expected = test_training.run(tmp_path, schedule)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert kept["step"] == 3
    with fake_cuda() as machine:
        found = test_training.run(tmp_path, schedule, device="cuda")
        assert machine.operations > 50
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5)


# Faults that such a test must find.


def test_crops_that_stay_on_the_cpu_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Left(torch.Tensor):
        def to(self, *args: Any, **kwargs: Any) -> torch.Tensor:
            return self.as_subclass(torch.Tensor)

    given = torch.from_numpy
    monkeypatch.setattr(torch, "from_numpy", lambda array: given(array).as_subclass(Left))
    with fake_cuda(), pytest.raises(RuntimeError, match="same device"):
        test_training.run(tmp_path, SCHEDULE, device="cuda")


def leave_labels(network: Any, samples: list[Any]) -> None:
    """Classes of things that the preprocessor would have moved."""
    for sample in samples:
        sample.gt_instances.labels = sample.gt_instances.labels.cpu()


def leave_kernels(network: Any, samples: list[Any]) -> None:
    """The layers that give the masks' kernels."""
    network.bbox_head.rtm_kernel.cpu()


@pytest.mark.parametrize("fault", [leave_labels, leave_kernels])
def test_what_a_detector_trains_on_is_found_on_the_cpu(
    fault: Any, scenes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from icmbench.tasks.training import train_openmm

    batch = train_openmm._batch

    def partly(package: str, network: Any, examples: Any) -> Any:
        inputs, samples = batch(package, network, examples)
        fault(network, samples)
        return inputs, samples

    monkeypatch.setattr(train_openmm, "_batch", partly)
    train = train_openmm_on("detector", scenes, monkeypatch)
    with fake_cuda(), pytest.raises(RuntimeError, match="device"):
        train(tmp_path, "cuda")


def test_a_call_of_numpy_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from icmbench.codecs.mpd.training import features as module

    monkeypatch.setattr(module, "Features", lambda network, scale: BareFeatures(network))
    schedule = replace(test_features.SCHEDULE, steps=1, checkpoint_every=9)
    with fake_cuda(), pytest.raises(TypeError, match="numpy"):
        test_features.run(tmp_path, schedule=schedule, device="cuda")


class BareFeatures:
    """Features whose embedding forgets the way to the CPU."""

    def __init__(self, network: Any) -> None:
        self.network = network

    def embedding(self, latent: np.ndarray) -> np.ndarray:
        values = torch.from_numpy(latent.transpose(2, 0, 1)[None].astype(np.float32))
        found: np.ndarray = self.network(values.to("cuda"))[0].numpy()
        return found


# Operators of mmcv, and task models.


def attention_inputs(generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Two levels of 6 x 5 and 3 x 2 cells, 3 heads of 4 channels, 7 queries of 2 points."""
    shapes = torch.tensor([[6, 5], [3, 2]])
    keys = int(shapes.prod(1).sum())
    weights = torch.rand(2, 7, 3, 2, 2, generator=generator)
    return {
        "value": torch.randn(2, keys, 3, 4, generator=generator),
        "value_spatial_shapes": shapes,
        "value_level_start_index": torch.tensor([0, 30]),
        # Some lie outside.
        "sampling_locations": torch.rand(2, 7, 3, 2, 2, 2, generator=generator) * 1.4 - 0.2,
        "attention_weights": weights / weights.sum((3, 4), keepdim=True),
    }


def test_deformable_attention_is_mmcvs_with_its_gradients() -> None:
    openmm.import_library("mmdet")
    from mmcv.ops.multi_scale_deform_attn import (
        MultiScaleDeformableAttnFunction,
        multi_scale_deformable_attn_pytorch,
    )

    given = attention_inputs(torch.Generator().manual_seed(1))
    learnt = ("value", "sampling_locations", "attention_weights")
    found = []
    for served in (True, False):
        inputs = {k: v.clone().requires_grad_(k in learnt) for k, v in given.items()}
        if served:
            output = MultiScaleDeformableAttnFunction.apply(*inputs.values(), 64)
        else:
            plain = [v for k, v in inputs.items() if k != "value_level_start_index"]
            output = multi_scale_deformable_attn_pytorch(*plain)
        output.square().sum().backward()
        found.append([output.detach(), *(inputs[name].grad for name in learnt)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    assert (found[0][2] != 0).any()


DEFORMABLE = {
    "model.encoder.num_layers": 1,
    "model.decoder.num_layers": 1,
    "model.num_queries": 20,
    "model.backbone.depth": 18,
    "model.neck.in_channels": [128, 256, 512],
    "model.test_cfg.max_per_img": 10,
}


def test_a_deformable_detector_reaches_the_served_operator_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    openmm.import_library("mmdet")
    import mmcv.ops.multi_scale_deform_attn as attention

    config = openmm.read_config("mmdet", "deformable-detr_r50_16xb2-50e_coco", DEFORMABLE)
    network = openmm.build_network("mmdet", config).eval()
    image = torch.randint(256, (3, 64, 96), dtype=torch.uint8)
    calls = []
    forward = SERVED["ms_deform_attn_forward"]

    def counted(*args: Any, **kwargs: Any) -> torch.Tensor:
        calls.append(args[0].device.type)
        return forward(*args, **kwargs)

    def detect() -> torch.Tensor:
        from mmdet.structures import DetDataSample

        size = {"img_shape": (64, 96), "ori_shape": (64, 96), "scale_factor": (1.0, 1.0)}
        batch = {"inputs": [image], "data_samples": [DetDataSample(metainfo=size)]}
        with torch.no_grad():
            return network.test_step(batch)[0].pred_instances.cpu().scores

    expected = detect()
    assert not calls
    monkeypatch.setattr(attention, "IS_CUDA_AVAILABLE", True)  # as mmcv finds it on such a machine
    monkeypatch.setattr(attention.ext_module, "ms_deform_attn_forward", counted, raising=False)
    with fake_cuda():
        network.to("cuda")
        found = detect()
    assert calls == ["cuda", "cuda"]
    torch.testing.assert_close(found, expected)


def agree(kind: type[Any], labels: Any, faces: list[list[float]]) -> None:
    """A bundled task's prediction on fake CUDA is that of the CPU."""
    image = make_picture(96, 96, 3)
    predictions = []
    task = kind("t", {})
    task.load(labels, "cpu")
    predictions.append(task.predict(image, faces))
    with fake_cuda() as machine:
        task = kind("t", {})
        task.load(labels, "cuda")
        predictions.append(task.predict(image, faces))
        assert machine.operations > 50
    # A pixel of a map, a point on the edge of two cells: rounding may decide either.
    assert np.mean(predictions[0] == predictions[1]) > 0.95


def test_the_bundled_segmenter_predicts() -> None:
    from icmbench.scenes.labels import SEMANTIC_CLASSES
    from icmbench.tasks.base import Labels
    from icmbench.tasks.kinds.mm_segmentation import MmSegmenter

    agree(MmSegmenter, Labels("scenes", {}, tuple(SEMANTIC_CLASSES)), [])


@pytest.mark.slow
def test_the_bundled_fan_predicts() -> None:
    from icmbench.tasks.base import Labels
    from icmbench.tasks.kinds.fan import FaceAlignment

    agree(FaceAlignment, Labels("faces", {}, ()), [[20.0, 20.0, 50.0, 50.0]])


def test_the_bundled_detector_predicts() -> None:
    """Boxes and masks of a rendered scene, with torchvision's non-maximum suppression."""
    from icmbench.scenes import render_scene
    from icmbench.scenes.labels import CATEGORIES
    from icmbench.tasks.base import Labels
    from icmbench.tasks.kinds.mm_detection import MmDetector

    names = {each["id"]: each["name"] for each in CATEGORIES}
    image = np.ascontiguousarray(render_scene(1, "test", 0, 192, 192).image)
    found = []
    for device in ("cpu", "cuda"):
        with fake_cuda() if device == "cuda" else contextlib.nullcontext() as machine:
            task = MmDetector("t", {})
            task.load(Labels("scenes", names, ()), device)
            found.append(task.predict(image, []))
            assert machine is None or machine.operations > 50
    here, there = found
    strong = here.scores > 0.3  # of the weak ones rounding may keep another
    assert strong.any()
    np.testing.assert_allclose(there.scores[: strong.sum()], here.scores[strong], atol=1e-3)
    np.testing.assert_allclose(there.boxes[: strong.sum()], here.boxes[strong], atol=0.1)
    assert there.masks is not None
    assert len(there.masks) == len(there.scores)
