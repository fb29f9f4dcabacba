"""Distance of a network's features of a reconstruction to those of the original, by depth.

What a codec does to the features that tasks are made of, before any head has judged them: 1 -
cosine between the two feature vectors of a position, mean over positions (Diff-ICMH, figure 3).
"""

from __future__ import annotations

import contextlib
import logging
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import MeasurementError, TaskError
from icmbench.core.images.image_files import read_image
from icmbench.core.progress import progress
from icmbench.datasets.records import Record
from icmbench.evaluation import archive
from icmbench.evaluation.shard import DECODED, read_rows
from icmbench.tasks.attempt import OK, Failure, attempt
from icmbench.tasks.backends.openmm import thicken
from icmbench.tasks.backends.openmm_task import OpenMMTask
from icmbench.tasks.base import Image

if TYPE_CHECKING:
    import pandas as pd
    import torch

log = logging.getLogger(__name__)

Features = NDArray[np.float32]
_Original = tuple[tuple[int, ...], dict[str, Features]]  # shape, features by stage
_Gap = tuple[int, str, float, str]  # depth, stage, gap, status
COLUMNS: Final = ("dataset", "family", "codec", "image", "depth", "stage", "gap", "status")
# Where backbones of mmdet and mmseg name their stages: those of the CSP kind, those of the ResNet
# kind. Others give no more than their outputs.
STAGE_LISTS: Final = ("layers", "res_layers")
STEM: Final = "stem"


def gap(original: Features, decoded: Features) -> float:
    """Mean over positions of 1 - cosine between two feature maps (C, h, w): 0 to 2.

    Of unit vectors u and v that is |u - v|^2 / 2, which is exactly 0 for equal ones and loses no
    digits for close ones. A vector of zeros has no direction: beside another it counts 0, beside
    any other vector 1, as orthogonal ones do.

    Raises MeasurementError where shapes differ, there is no position, or a value is not finite.
    """
    if original.shape != decoded.shape or original.ndim != 3 or not original.size:
        raise MeasurementError(f"features {original.shape} and {decoded.shape}: expected (C, h, w)")
    first, second = (_directions(features) for features in (original, decoded))
    gaps = np.square(first - second).sum(axis=0) / 2
    gaps[first.any(axis=0) != second.any(axis=0)] = 1.0
    if not np.isfinite(gaps).all():
        raise MeasurementError("a feature is not finite")
    return float(gaps.mean())


def _directions(features: Features) -> NDArray[np.float64]:
    """Unit vectors (C, positions), zeros where there is none."""
    vectors = features.reshape(len(features), -1).astype(np.float64)
    lengths = np.sqrt(np.square(vectors).sum(axis=0))
    return vectors / np.where(lengths == 0, 1.0, lengths)


def stage_features(task: OpenMMTask, image: Image) -> dict[str, Features]:
    """Features of every stage of a loaded detector or segmenter for an image uint8 (H, W, 3), sRGB.

    The backbone's stages from the shallowest on, without its stem, then the neck's levels, if
    there is a neck: `stage 1` to `stage 4`, `neck 1` and so on, each (C, h, w). Positions that lie
    in what the model's test pipeline pads an image with are left out.

    Raises TaskError where the network has no backbone, or one of another kind of features.
    """
    network = task._network
    if getattr(network, "backbone", None) is None:
        raise TaskError(f"{task.model} has no backbone to look into")
    inputs, shape = _inputs(task, image)
    found: dict[str, torch.Tensor] = {}
    with _watched(_modules(network), found):
        import torch

        with torch.no_grad():
            network.extract_feat(inputs)
    return {name: _inside(task.model, name, maps, shape) for name, maps in found.items()}


def _inputs(task: OpenMMTask, image: Image) -> tuple[torch.Tensor, tuple[float, float]]:
    """The network's input (1, 3, h, w), and the share of its rows and columns that is image."""
    image = thicken(task._pipeline, image)
    data = task._pipeline({"img": np.ascontiguousarray(image[:, :, ::-1]), "img_id": 0})
    wide, tall = data["data_samples"].metainfo.get("scale_factor", (1.0, 1.0))
    batch = {"inputs": [data["inputs"]], "data_samples": [data["data_samples"]]}
    inputs: torch.Tensor = task._network.data_preprocessor(batch, False)["inputs"]
    height, width = round(image.shape[0] * tall), round(image.shape[1] * wide)
    return inputs, (height / inputs.shape[-2], width / inputs.shape[-1])


def _modules(network: Any) -> dict[str, Any]:
    """The parts whose outputs are looked at, by the name that their outputs get."""
    backbone = network.backbone
    for listed in STAGE_LISTS:
        names = [name for name in getattr(backbone, listed, ()) if name != STEM]
        if names and all(isinstance(name, str) for name in names):
            parts = {f"stage {n}": getattr(backbone, name) for n, name in enumerate(names, 1)}
            break
    else:
        parts = {"stage": backbone}
    neck = getattr(network, "neck", None)
    return parts if neck is None else {**parts, "neck": neck}


@contextlib.contextmanager
def _watched(parts: Mapping[str, Any], found: dict[str, torch.Tensor]) -> Iterator[None]:
    """Record outputs of network parts in `found` while the block runs; several are numbered."""

    def watcher(name: str) -> Callable[[Any, Any, Any], None]:
        def keep(_module: Any, _inputs: Any, output: Any) -> None:
            if isinstance(output, tuple | list):
                found.update({f"{name} {n}": one for n, one in enumerate(output, 1)})
            else:
                found[name] = output

        return keep

    handles = [part.register_forward_hook(watcher(name)) for name, part in parts.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _inside(model: str, name: str, maps: Any, share: tuple[float, float]) -> Features:
    """A stage's output without batch dimension and padding."""
    if getattr(maps, "ndim", 0) != 4 or len(maps) != 1:
        raise TaskError(f"{model}: {name} gives no feature map (1, C, h, w)")
    rows, columns = (
        # A hair less, so that what divides evenly takes no position of the padding.
        min(side, max(1, int(np.ceil(part * side - 1e-6))))
        for part, side in zip(share, maps.shape[-2:], strict=True)
    )
    features: Features = maps[0, :, :rows, :columns].float().cpu().numpy()
    return features


def _original_features(task: OpenMMTask, path: Path) -> tuple[tuple[int, ...], dict[str, Features]]:
    """Shape of an original, and its features."""
    image, _ = read_image(path)
    return image.shape, stage_features(task, image)


def _decoded_gaps(
    task: OpenMMTask,
    source: zipfile.ZipFile,
    member: str,
    original: tuple[tuple[int, ...], dict[str, Features]],
) -> list[tuple[int, str, float, str]]:
    """Depth, stage, gap and status of a reconstruction; none where it is of another size."""
    shape, before = original
    image = archive.read_picture(source, member)
    if image.shape != shape:
        # No measurement either, so the image is not among those that are compared.
        log.warning("%s: another size, left out", member)
        return []
    after = stage_features(task, image)
    return [
        (depth, stage, gap(features, after[stage]), OK)
        for depth, (stage, features) in enumerate(before.items(), 1)
    ]


def shard_gaps(
    task: OpenMMTask,
    failure: Failure | None,
    dataset: str,
    family: str,
    records: Sequence[Record],
    folder: Path,
    *,
    pictures: Path,
    decoded: Path,
) -> pd.DataFrame:
    """The gaps of every image that a shard's decoding job wrote: `COLUMNS`, depth from 1.

    An image that the model fails on is one row of depth 0 without a gap, its reason as `status`;
    where it fails on the original, so are all images of the image.

    Args:
        task: loaded, or with the `failure` to load it.
        records: of the shard's usable images; `folder` is where their relative paths start.
        pictures, decoded: what `icmbench.evaluation.decode.decode_shard` wrote; failed rows and
            images of another size have no gap.
    """
    import pandas as pd  # half a second; every job with a task imports this module

    held: dict[str, list[str]] = {}
    for row in read_rows(decoded, DECODED):
        if row["status"] == "ok":
            held.setdefault(row["image"], []).append(row["codec"])
    rows = []
    with archive.reader(pictures) as source:
        for record in progress(records, desc=f"{task.name} {family}", unit="image"):
            if record.image not in held:
                continue
            what, path = f"task {task.name!r}, image {record.image!r}", folder / record.path
            before: _Original | Failure
            if failure is None:
                before = attempt(what, partial(_original_features, task, path))
            else:
                before = failure
            for codec in held[record.image]:
                found: list[_Gap] | Failure
                if isinstance(before, Failure):
                    found = before
                else:
                    member = archive.picture_member(codec, record.image)
                    decode = partial(_decoded_gaps, task, source, member, before)
                    found = attempt(f"{what} of {codec}", decode)
                if isinstance(found, Failure):
                    found = [(0, "", np.nan, found.reason)]
                rows += [(dataset, family, codec, record.image, *each) for each in found]
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"depth": "int64", "gap": "float64"})
    return frame.sort_values(["codec", "image", "depth"], kind="stable", ignore_index=True)
