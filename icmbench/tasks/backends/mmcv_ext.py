"""The operators of mmcv that need no compiler: a stand-in for its module `mmcv._ext`.

`mmcv-lite` holds everything of mmcv but the compiled operators, and `mmcv.ops` looks all of them
up when it is imported. What most models call of them is also in torchvision: suppression of
overlapping boxes, and RoIAlign. Multi-scale deformable attention, which mmcv computes in PyTorch on
a CPU and by a compiled operator on a GPU, is computed in PyTorch on both. A full mmcv, where one is
installed, serves instead.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from icmbench.core.errors import TaskError

if TYPE_CHECKING:
    import torch

MODULE: Final = "mmcv._ext"
REMEDY: Final = (
    "mmcv-lite has no compiled operators, and torchvision none that serves: install mmcv with its "
    "operators (MMCV_WITH_OPS=1 pip install --no-binary mmcv 'mmcv<2.2') in place of mmcv-lite"
)
AVERAGE: Final = 1  # mmcv's number of the pooling mode


def ensure_ops() -> str:
    """Make `mmcv.ops` importable; whose operators serve: "mmcv" or "torchvision".

    Call it before anything imports mmdet or mmseg. The answer belongs beside the numbers.

    Raises TaskError where neither mmcv nor mmcv-lite is installed.
    """
    present = sys.modules.get(MODULE)
    if present is None:
        if importlib.util.find_spec("mmcv") is None:
            raise TaskError("mmcv is not installed; mmdet and mmsegmentation need it or mmcv-lite")
        if importlib.util.find_spec(MODULE) is not None:
            return "mmcv"
        present = sys.modules[MODULE] = StandIn(MODULE, "Operators of torchvision.")
        # mmengine checks for this loader: without one it assumes that there is no full mmcv.
        present.__spec__ = importlib.machinery.ModuleSpec(MODULE, None)
    return "torchvision" if isinstance(present, StandIn) else "mmcv"


class StandIn(ModuleType):
    """A module that has every name: those of `SERVED`, and others that fail when called."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):  # Python's own look-ups, such as __path__
            raise AttributeError(name)
        return SERVED.get(name) or _missing(name)


def _missing(name: str) -> Callable[..., Any]:
    def operator(*args: Any, **kwargs: Any) -> None:
        raise TaskError(f"the operator {name!r} of mmcv is missing: {REMEDY}")

    return operator


@cache
def _operators() -> Any:
    """torchvision's compiled operators, which its import registers."""
    import torch

    importlib.import_module("torchvision")
    return torch.ops.torchvision


def nms(
    boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float, offset: int
) -> torch.Tensor:
    """Indices, by falling score, of the boxes that no better one overlaps by more than a share.

    Args:
        boxes: (n, 4), x1 y1 x2 y2.
        offset: what is added to a side: 1 where x2 and y2 are of the last pixel inside.
    """
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    kept: torch.Tensor = _operators().nms(boxes, scores, iou_threshold)
    return kept


def roi_align_forward(
    features: torch.Tensor,
    rois: torch.Tensor,
    output: torch.Tensor,
    argmax_y: torch.Tensor,
    argmax_x: torch.Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign (He et al. 2017, section 3) of features (N, C, H, W) into `output`.

    Args:
        rois: (n, 5), number of the image and x1 y1 x2 y2.
        output: (n, C, aligned_height, aligned_width), written in place.

    Raises TaskError for the largest sample instead of the mean (`pool_mode` 0).
    """
    _check_pooling(pool_mode)
    size = (aligned_height, aligned_width)
    ratio = _ratio(sampling_ratio)
    output.copy_(_operators().roi_align(features, rois, spatial_scale, *size, ratio, aligned))


def roi_align_backward(
    gradient: torch.Tensor,
    rois: torch.Tensor,
    argmax_y: torch.Tensor,
    argmax_x: torch.Tensor,
    grad_input: torch.Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """The gradient of `roi_align_forward` by its features, written into `grad_input`."""
    _check_pooling(pool_mode)
    backward = _operators()._roi_align_backward
    size = (aligned_height, aligned_width, *grad_input.shape)
    ratio = _ratio(sampling_ratio)
    grad_input.copy_(backward(gradient, rois, spatial_scale, *size, ratio, aligned))


def ms_deform_attn_forward(
    value: torch.Tensor,
    value_spatial_shapes: torch.Tensor,
    value_level_start_index: torch.Tensor,
    sampling_locations: torch.Tensor,
    attention_weights: torch.Tensor,
    *,
    im2col_step: int,
) -> torch.Tensor:
    """Multi-scale deformable attention (Zhu et al. 2021, *Deformable DETR*, section 4.1).

    Args:
        value: (N, keys, heads, D), the levels' cells one after the other.
        value_spatial_shapes: (levels, 2), height and width.
        value_level_start_index: (levels,); follows from the shapes, not used.
        sampling_locations: (N, queries, heads, levels, points, 2), x and y as shares of the level.
        attention_weights: (N, queries, heads, levels, points).
        im2col_step: of the compiled operator, not used.

    Returns (N, queries, heads * D).
    """
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    # Sides as numbers: on a GPU each would be fetched from its memory several times.
    shapes = value_spatial_shapes.tolist()
    found: torch.Tensor = multi_scale_deformable_attn_pytorch(
        value, shapes, sampling_locations, attention_weights
    )
    return found


def ms_deform_attn_backward(
    value: torch.Tensor,
    value_spatial_shapes: torch.Tensor,
    value_level_start_index: torch.Tensor,
    sampling_locations: torch.Tensor,
    attention_weights: torch.Tensor,
    grad_output: torch.Tensor,
    grad_value: torch.Tensor,
    grad_sampling_loc: torch.Tensor,
    grad_attn_weight: torch.Tensor,
    *,
    im2col_step: int,
) -> None:
    """The gradients of `ms_deform_attn_forward`, written into the three tensors `grad_*`."""
    import torch

    with torch.enable_grad():
        inputs = [
            tensor.detach().requires_grad_()
            for tensor in (value, sampling_locations, attention_weights)
        ]
        output = ms_deform_attn_forward(
            inputs[0], value_spatial_shapes, value_level_start_index, *inputs[1:],
            im2col_step=im2col_step,
        )  # fmt: skip
        found = torch.autograd.grad(output, inputs, grad_output)
    for target, gradient in zip(
        (grad_value, grad_sampling_loc, grad_attn_weight), found, strict=True
    ):
        target.copy_(gradient)


def _ratio(sampling_ratio: int) -> int:
    """mmcv says 0 where as many samples are taken as a bin needs, torchvision -1."""
    return sampling_ratio if sampling_ratio > 0 else -1


def _check_pooling(pool_mode: int) -> None:
    if pool_mode != AVERAGE:
        raise TaskError(f"the operator 'roi_align' of mmcv with pool_mode 'max': {REMEDY}")


SERVED: Final[dict[str, Callable[..., Any]]] = {
    "nms": nms,
    "roi_align_forward": roi_align_forward,
    "roi_align_backward": roi_align_backward,
    "ms_deform_attn_forward": ms_deform_attn_forward,
    "ms_deform_attn_backward": ms_deform_attn_backward,
}
