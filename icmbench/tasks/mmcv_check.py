"""Compare the stand-in for mmcv's operators with mmcv's own, where a full mmcv is installed.

Run it once on a machine that has one: `python tools/check_mmcv.py`. Without it there is nothing to
compare with; it says so and succeeds.
"""

from __future__ import annotations

import sys

import torch

from icmbench.tasks import mmcv_ext

CASES = 200
LARGEST = 1e-4  # difference of float32 sums in another order


def check_nms(own: object, generator: torch.Generator) -> None:
    """Both keep the same boxes in the same order."""
    for case in range(CASES):
        corners = torch.rand(50, 2, generator=generator) * 60
        boxes = torch.cat([corners, corners + torch.rand(50, 2, generator=generator) * 40], 1)
        scores = torch.rand(50, generator=generator)
        values = {"iou_threshold": 0.1 + 0.8 * case / CASES, "offset": case % 2}
        ours = mmcv_ext.nms(boxes, scores, **values)
        theirs = own.nms(boxes, scores, **values)  # type: ignore[attr-defined]
        if not torch.equal(ours, theirs):
            raise SystemExit(f"nms differs: {values}, {ours.tolist()} and {theirs.tolist()}")


def check_roi_align(own: object, generator: torch.Generator) -> None:
    """Values and gradients agree."""
    worst = 0.0
    for case in range(CASES):
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
        for module in (mmcv_ext, own):
            none = features.new_zeros(0)
            output, gradient = features.new_zeros(7, 3, 3, 5), torch.zeros_like(features)
            module.roi_align_forward(  # type: ignore[attr-defined]
                features, rois, output, none, none, **keys
            )
            module.roi_align_backward(  # type: ignore[attr-defined]
                output.clone(), rois, none, none, gradient, **keys
            )
            found.append((output, gradient))
        for ours, theirs in zip(*found, strict=True):
            worst = max(worst, float((ours - theirs).abs().max()))
    if worst > LARGEST:
        raise SystemExit(f"roi_align differs by {worst:.2g}")


def main() -> None:
    """Compare, or say why not."""
    try:
        from mmcv import _ext
    except ImportError as error:
        print(f"no full mmcv is installed ({error}): nothing to compare with")
        return
    generator = torch.Generator().manual_seed(1)
    check_nms(_ext, generator)
    check_roi_align(_ext, generator)
    print(f"nms and roi_align of mmcv and of torchvision agree in {CASES} cases each")


if __name__ == "__main__":
    sys.exit(main())
