"""Models of mmdet and mmseg at their published size: their checkpoints, and one inference each."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from conftest import make_picture

from icmbench.tasks.backends import openmm
from icmbench.tasks.backends.openmm_source import published_source

MODELS = {
    "faster-rcnn_r50_fpn_1x_coco": "mmdet",
    "mask-rcnn_r50_fpn_1x_coco": "mmdet",
    "rtmdet_l_8xb32-300e_coco": "mmdet",
    "dino-4scale_r50_8xb2-12e_coco": "mmdet",
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
