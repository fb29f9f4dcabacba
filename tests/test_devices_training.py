"""What is trained, and the models of tasks, on fake CUDA tensors (`fake_cuda`): nothing is left.

Every step's losses are those of the CPU, since the harness computes real values; and a module, a
buffer or a call of numpy that is left behind is an error, as on a GPU.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fake_cuda import fake_cuda

from icmbench.tasks import openmm
from icmbench.tasks.mmcv_ext import SERVED


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
