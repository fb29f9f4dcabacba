"""Models of mmdet and mmseg at their published size: their checkpoints, and one inference each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_picture

from icmbench.tasks.backends import openmm
from icmbench.tasks.backends.openmm_source import published_source
from icmbench.tasks.base import Labels
from icmbench.tasks.kinds.mm_detection import MmDetector

MODELS = {
    "faster-rcnn_r50_fpn_1x_coco": "mmdet",
    "mask-rcnn_r50_fpn_1x_coco": "mmdet",
    "rtmdet_l_8xb32-300e_coco": "mmdet",
    "dino-4scale_r50_8xb2-12e_coco": "mmdet",
    "dino-5scale_swin-l_8xb2-12e_coco": "mmdet",
    "mask2former_r50_8xb2-lsj-50e_coco-panoptic": "mmdet",
    "deeplabv3plus_r50-d8_4xb4-80k_ade20k-512x512": "mmseg",
    "deeplabv3plus_r101-d8_4xb2-80k_cityscapes-512x1024": "mmseg",
    "segformer_mit-b0_8xb2-160k_ade20k-512x512": "mmseg",
    "segformer_mit-b5_8xb1-160k_cityscapes-1024x1024": "mmseg",
}


@pytest.mark.parametrize("config", MODELS)
def test_a_checkpoint_is_published_with_its_first_digits(config: str) -> None:
    (file,) = published_source(MODELS[config], config).files
    assert re.fullmatch("[0-9a-f]{8}", file.sha256)
    assert file.urls[0].endswith(f"-{file.sha256}.pth")


@pytest.mark.slow
@pytest.mark.parametrize("config", MODELS)
def test_a_published_size_predicts(config: str) -> None:
    """With random weights and the replacement operators; DINO takes the best 900 places."""
    package = MODELS[config]
    openmm.import_library(package)
    described = openmm.read_config(package, config, {})
    network = openmm.build_network(package, described).eval()
    assert sum(value.numel() for value in network.parameters()) > 3e6
    data = openmm.make_pipeline(package, described, 320)(
        {"img": make_picture(48, 64, 1), "img_id": 0}
    )
    with torch.inference_mode():
        batch = {"inputs": [data["inputs"]], "data_samples": [data["data_samples"]]}
        found = network.test_step(batch)[0]
    if "pred_instances" in found:
        assert np.isfinite(found.pred_instances.scores.numpy()).all()
    else:
        assert found.pred_sem_seg.data.shape == (1, 48, 64)


# DINO (Zhang et al. 2023): millions of parameters as published, levels, channels of the backbone.
DINO = {
    "dino-4scale_r50_8xb2-12e_coco": (47.7, 4, (512, 1024, 2048)),
    "dino-5scale_swin-l_8xb2-12e_coco": (218.4, 5, (192, 384, 768, 1536)),
}


@pytest.mark.parametrize("config", DINO)
def test_names_and_shapes_of_dino(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without memory: 8 heads of 4 points per level, 6 layers, 900 queries, 80 classes."""
    millions, levels, channels = DINO[config]
    state = on_meta(config, monkeypatch)
    assert sum(map(torch.numel, state.values())) / 1e6 == pytest.approx(millions, abs=0.5)
    points = 8 * 4 * levels
    expected: dict[str, tuple[int, ...]] = {
        "level_embed": (levels, 256),
        "query_embedding.weight": (900, 256),
        "dn_query_generator.label_embedding.weight": (80, 256),
        "memory_trans_fc.weight": (256, 256),
        **{f"bbox_head.cls_branches.{n}.weight": (80, 256) for n in range(7)},
        **{f"bbox_head.reg_branches.{n}.4.weight": (4, 256) for n in range(7)},
        **{f"neck.convs.{n}.conv.weight": (256, c, 1, 1) for n, c in enumerate(channels)},
        "neck.extra_convs.0.conv.weight": (256, channels[-1], 3, 3),
    }
    for number in range(6):
        for place in ("encoder.layers.{}.self_attn", "decoder.layers.{}.cross_attn"):
            attention = place.format(number)
            expected[f"{attention}.sampling_offsets.weight"] = (2 * points, 256)
            expected[f"{attention}.attention_weights.weight"] = (points, 256)
            expected[f"{attention}.value_proj.weight"] = (256, 256)
        expected[f"decoder.layers.{number}.self_attn.attn.in_proj_weight"] = (768, 256)
        for part in ("encoder", "decoder"):
            expected[f"{part}.layers.{number}.ffn.layers.0.0.weight"] = (2048, 256)
    assert expected == {name: tuple(state[name].shape) for name in expected}
    absent = ("encoder.layers.6.", "decoder.layers.6.", "bbox_head.cls_branches.7.")
    assert not [name for name in state if name.startswith(absent)]
    assert f"neck.convs.{len(channels)}.conv.weight" not in state
    assert "neck.extra_convs.1.conv.weight" not in state


def on_meta(config: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """The state of a model of mmdet on the meta device."""
    from mmengine.config import ConfigDict
    from mmengine.registry import DefaultScope

    openmm.import_library("mmdet")
    from mmdet.registry import MODELS as REGISTRY

    linspace = torch.linspace  # of which Swin reads numbers
    monkeypatch.setattr(torch, "linspace", lambda *given: linspace(*given, device="cpu"))
    described = openmm.read_config("mmdet", config, {})
    model = ConfigDict(openmm.without_downloads(described.model.to_dict()))
    with torch.device("meta"), DefaultScope.overwrite_default_scope("mmdet"):
        state: dict[str, torch.Tensor] = REGISTRY.build(model).state_dict()
    return state


SMALL: dict[str, Any] = {
    "model.backbone.depth": 18,
    "model.neck.in_channels": [128, 256, 512],
    "model.encoder.num_layers": 1,
    "model.decoder.num_layers": 1,
    "model.num_queries": 30,
    "model.test_cfg.max_per_img": 20,
}


def test_a_small_dino_detects_from_a_file_in_the_published_form(tmp_path: Path) -> None:
    """The task from checkpoint to boxes; the classes are COCO's, by name."""
    config = "dino-4scale_r50_8xb2-12e_coco"
    openmm.import_library("mmdet")
    network = openmm.build_network("mmdet", openmm.read_config("mmdet", config, SMALL))
    path = tmp_path / "dino.pth"
    torch.save({"meta": {"epoch": 12}, "state_dict": network.state_dict()}, path)
    described = openmm.read_config("mmdet", config, SMALL)
    names = openmm.dataset_classes("mmdet", described)
    labels = Labels("coco", {90 - n: name for n, name in enumerate(names)}, ())
    entry = {"config": config, "checkpoint": str(path), "overrides": SMALL, "scale": 96}
    task = MmDetector("boxes", entry)
    task.load(labels, "cpu")
    found = task.predict(make_picture(48, 64, 1), [])
    assert found.boxes.shape == (20, 4)
    assert (found.boxes[:, 2:] >= found.boxes[:, :2]).all()
    assert (np.diff(found.scores) <= 0).all()
    data = openmm.make_pipeline("mmdet", described, 96)(
        {"img": make_picture(48, 64, 1)[:, :, ::-1].copy(), "img_id": 0}
    )
    batch = {"inputs": [data["inputs"]], "data_samples": [data["data_samples"]]}
    with torch.inference_mode():
        own = network.eval().test_step(batch)[0].pred_instances
    np.testing.assert_allclose(found.scores, own.scores.numpy(), rtol=1e-4)
    assert {*found.labels.tolist()} == {90 - int(n) for n in own.labels}
