"""Comparison of the replacement operators of mmcv-lite with others, such as a full mmcv's."""

from __future__ import annotations

from typing import Any, Final

import torch

from icmbench.core.errors import TaskError
from icmbench.tasks.backends import mmcv_ext

CASES: Final = 200
LARGEST: Final = 1e-4  # difference of float32 sums in another order


def compare_operators(theirs: Any, ours: Any = mmcv_ext) -> list[tuple[str, int, float]]:
    """Random cases through both: operator, cases and largest difference.

    Args:
        theirs: `mmcv._ext`.

    Raises TaskError naming the operator and the case where nms keeps other boxes or roi_align
    (values, gradients) differs by more than `LARGEST`.
    """
    generator = torch.Generator().manual_seed(1)
    for case in range(CASES):
        _check_nms(theirs, ours, case, generator)
    worst = max(_roi_align_difference(theirs, ours, case, generator) for case in range(CASES))
    return [("nms", CASES, 0.0), ("roi_align", CASES, worst)]


def _check_nms(theirs: Any, ours: Any, case: int, generator: torch.Generator) -> None:
    """Both keep the same boxes in the same order."""
    corners = torch.rand(50, 2, generator=generator) * 60
    boxes = torch.cat([corners, corners + torch.rand(50, 2, generator=generator) * 40], 1)
    scores = torch.rand(50, generator=generator)
    values = {"iou_threshold": 0.1 + 0.8 * case / CASES, "offset": case % 2}
    kept = [module.nms(boxes, scores, **values).tolist() for module in (ours, theirs)]
    if kept[0] != kept[1]:
        raise TaskError(f"nms, {values}: the replacement keeps {kept[0]}, mmcv {kept[1]}")


def _roi_align_difference(theirs: Any, ours: Any, case: int, generator: torch.Generator) -> float:
    """Largest difference of values and gradients."""
    features = torch.rand(2, 3, 15, 20, generator=generator)
    corners = torch.rand(7, 2, generator=generator) * 100
    sides = torch.rand(7, 2, generator=generator) * 60
    picture = torch.randint(2, (7, 1), generator=generator).float()
    rois = torch.cat([picture, corners, corners + sides], 1)
    keys = {
        "aligned_height": 3,
        "aligned_width": 5,
        "spatial_scale": 0.125,
        "sampling_ratio": case % 3,
        "pool_mode": mmcv_ext.AVERAGE,
        "aligned": case % 2 == 0,
    }
    found = []
    for module in (ours, theirs):
        none = features.new_zeros(0)
        output, gradient = features.new_zeros(7, 3, 3, 5), torch.zeros_like(features)
        module.roi_align_forward(features, rois, output, none, none, **keys)
        module.roi_align_backward(output.clone(), rois, none, none, gradient, **keys)
        found.append((output, gradient))
    worst = max(float((one - two).abs().max()) for one, two in zip(*found, strict=True))
    if worst > LARGEST:
        raise TaskError(f"roi_align, {keys}: the replacement and mmcv differ by {worst:.2g}")
    return worst
