"""Common part of mmdet detectors and mmseg segmenters: configurations, building, test pipelines.

A model is named as its library names it: by its configuration, which ships inside the library.
Nothing is downloaded and nothing of a library is changed: weights come from a file that is given.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from icmbench.core.errors import TaskError
from icmbench.core.suggest import unknown
from icmbench.tasks.backends.grammar_cache import import_yapf
from icmbench.tasks.backends.mmcv_ext import REMEDY, ensure_ops
from icmbench.tasks.base import Image

# Of the modules of mmcv.ops those that need no compiled operator but the stand-in's, on any device.
WITHOUT_COMPILED: Final = (
    "mmcv.ops.deprecated_wrappers",
    "mmcv.ops.multi_scale_deform_attn",
    "mmcv.ops.point_sample",
    "mmcv.ops.roi_align",
)
HEADS: Final = ("bbox_head", "decode_head")  # whose classes are the things' or the pixels'
INSTALL: Final = "pip install mmdet mmsegmentation mmcv-lite"
FOLDED: Final = ("backbone", "neck", "decode_head")


def import_library(package: str) -> str:
    """Import mmdet or mmseg and register its modules; return the provider of `mmcv.ops`.

    The provider is "mmcv" or "torchvision" (`ensure_ops`).

    Raises TaskError where the library is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise TaskError(f"{package} is not installed: {INSTALL}")
    import_yapf()
    served = ensure_ops()
    from mmengine.logging import MMLogger

    MMLogger.get_current_instance().setLevel("WARNING")  # else it prints a line per tensor
    importlib.import_module(f"{package}.utils").register_all_modules(init_default_scope=False)
    return served


def known_configs(package: str) -> dict[str, Path]:
    """The configurations of models that ship inside a library, by name; TaskError without it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise TaskError(f"{package} is not installed: {INSTALL}")
    folder = Path(spec.origin).parent / ".mim" / "configs"
    paths = sorted(folder.rglob("*.py"), reverse=True)  # of equal names the first path stays
    return {path.stem: path for path in paths if "_base_" not in path.parts}


def find_config(package: str, name: str) -> Path:
    """The configuration of a model: by name among those of the library, or a file `*.py`.

    Raises TaskError for a name that the library does not have, and for a file that is not there.
    """
    if name.endswith(".py"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise TaskError(f"{path}: no such file; a configuration of {package} is expected")
        return path
    found = known_configs(package)
    if name not in found:
        raise TaskError(unknown(f"configuration of {package}", name, found))
    return found[name]


def published_weights(package: str, name: str) -> str:
    """Address of the weights that a library publishes for its configuration `name`; '' if none."""
    for file in sorted(find_config(package, name).parent.glob("metafile.y*ml")):
        for model in yaml.safe_load(file.read_text("utf-8")).get("Models", []):
            if Path(model.get("Config", "")).stem == name:
                weights = model.get("Weights") or ""
                return str(weights[0] if isinstance(weights, list) else weights)
    return ""


def read_config(package: str, name: str, overrides: Mapping[str, Any]) -> Any:
    """The `mmengine.Config` of a model.

    Args:
        overrides: dotted keys and their values, such as `model.backbone.widen_factor: 0.25`.

    Raises TaskError where mmengine refuses the file or a key.
    """
    from mmengine.config import Config

    path = find_config(package, name)
    try:
        config = Config.fromfile(str(path))
        config.merge_from_dict(dict(overrides))
    # A configuration is Python code: it may raise any exception.
    except Exception as error:
        raise TaskError(f"{path}: mmengine refuses it: {type(error).__name__}: {error}") from error
    if "model" not in config:
        raise TaskError(f"{path}: describes no model")
    return config


def without_downloads(value: Any) -> Any:
    """A part of a configuration without the weights that building it would fetch."""
    if isinstance(value, Mapping):
        clean = {key: without_downloads(inner) for key, inner in value.items()}
        for key in ("init_cfg", "pretrained"):
            if key in clean and (key == "pretrained" or "Pretrained" in str(clean[key])):
                clean[key] = None
        return clean
    if isinstance(value, list | tuple):
        return type(value)(without_downloads(inner) for inner in value)
    return value


def build_network(package: str, config: Any, seed: int = 1) -> Any:
    """The network of a configuration with random weights, on the CPU; `import_library` first.

    Norms are those of a single process, and the segmenter predicts whole images.

    Raises TaskError where the library refuses the description, and where the network needs an
    operator that is missing.
    """
    import torch
    from mmengine.config import ConfigDict
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import DefaultScope

    registry = importlib.import_module(f"{package}.registry").MODELS
    description = ConfigDict(without_downloads(config.model.to_dict()))
    if package == "mmseg":
        description.test_cfg = ConfigDict(mode="whole")
    with torch.random.fork_rng(devices=[]), DefaultScope.overwrite_default_scope(package):
        torch.manual_seed(seed)
        try:
            network = registry.build(description)
        # Its parts raise what they like for arguments that they do not know.
        except Exception as error:
            raise TaskError(f"{package} cannot build {description.get('type')}: {error}") from error
        _check_operators(network)
        network.init_weights()
    return revert_sync_batchnorm(network)


def fold_norms(network: Any) -> None:
    """Put batch norms into the convolutions before them: the same function but for rounding.

    An eighth of the bundled RTMDet-Ins's time, a fifth of Fast-SCNN's. The heads of detectors stay:
    RTMDet's share convolutions that have norms of their own per level.
    """
    from mmcv.cnn.utils.fuse_conv_bn import fuse_conv_bn

    for name in FOLDED:
        if hasattr(network, name):
            fuse_conv_bn(getattr(network, name))


def _check_operators(network: Any) -> None:
    """TaskError naming the layers that need operators of a full mmcv where there is none."""
    if ensure_ops() == "mmcv":
        return
    used = {type(module) for module in network.modules()}
    names = {f"{each.__module__}.{each.__name__}" for each in used}
    needed = sorted(
        name
        for name in names
        if name.startswith("mmcv.ops.") and name.rpartition(".")[0] not in WITHOUT_COMPILED
    )
    if needed:
        raise TaskError(f"it has layers {', '.join(needed)}: {REMEDY}")


def make_pipeline(package: str, config: Any, scale: int | None) -> Any:
    """Make the test pipeline of a model: from `{"img": uint8 (H, W, 3), BGR}` to the network.

    Args:
        scale: the longer side in pixels that images are brought to; None: as in `config`.

    Raises TaskError where the configuration has no test pipeline, or none that can be scaled.
    """
    from mmengine.dataset import Compose
    from mmengine.registry import DefaultScope

    steps = [dict(step) for step in _test_steps(config)]
    steps = [step for step in steps if not step["type"].rpartition(".")[2].startswith(LABELLED)]
    for step in steps:
        if step["type"].endswith("LoadImageFromFile"):
            step["type"] = f"{package}.LoadImageFromNDArray"
    if scale is not None:
        _rescale(steps, scale)
    with DefaultScope.overwrite_default_scope(package):
        return Compose(steps)


def thicken(pipeline: Any, image: Image) -> Image:
    """Pad a very thin image (H, W, 3) so that resizing in the pipeline leaves at least one pixel.

    mmcv rounds the shorter side of a very thin image down to 0 pixels, which OpenCV refuses. The
    last row or column of such an image is repeated at the bottom or right; other images are
    unchanged.
    """
    import numpy as np
    from mmcv.image import rescale_size
    from mmcv.transforms import Resize

    height, width = image.shape[:2]
    for step in pipeline.transforms:
        if isinstance(step, Resize) and step.keep_ratio and step.scale is not None:
            _, factor = rescale_size((width, height), tuple(step.scale), return_scale=True)
            least = math.ceil(0.5 / factor)
            height, width = max(height, least), max(width, least)
    more = ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0))
    return np.pad(image, more, mode="edge") if (height, width) != image.shape[:2] else image


LABELLED: Final = ("LoadAnnotations", "LoadPanopticAnnotations")  # steps that read the truth


def _test_steps(config: Any) -> Sequence[Mapping[str, Any]]:
    for dataset in _test_datasets(config):
        if "pipeline" in dataset:
            steps: Sequence[Mapping[str, Any]] = dataset["pipeline"]
            return steps
    raise TaskError(f"{config.filename}: has no test pipeline")


def _test_datasets(config: Any) -> Iterator[Mapping[str, Any]]:
    """Configuration of the test data set and of the data sets that it wraps, outermost first."""
    dataset = (config.get("test_dataloader") or {}).get("dataset")
    while dataset is not None:
        yield dataset
        dataset = dataset.get("dataset") or next(iter(dataset.get("datasets", [])), None)


def _rescale(steps: list[dict[str, Any]], scale: int) -> None:
    """Bring the longer side to `scale` instead, and pad to a square of it where it was padded."""
    resizing = [step for step in steps if step["type"].rpartition(".")[2] == "Resize"]
    if len(resizing) != 1:
        raise TaskError(f"scale={scale}: the test pipeline has {len(resizing)} steps `Resize`")
    resizing[0].update(scale=(scale, scale), keep_ratio=True)
    for step in steps:
        if step["type"].rpartition(".")[2] == "Pad" and "size" in step:
            step["size"] = (scale, scale)


def dataset_classes(package: str, config: Any) -> tuple[str, ...]:
    """Names of the classes of the data set that a configuration tests on; (): it does not say."""
    registry = importlib.import_module(f"{package}.registry").DATASETS
    for dataset in _test_datasets(config):
        kind = registry.get(dataset.get("type", ""))
        given = (dataset.get("metainfo") or {}).get("classes")
        known = given or getattr(kind, "METAINFO", {}).get("classes")
        if known:
            return tuple(name.strip() for name in known)  # mmseg's ADE20K has "bed "
    return ()


def count_classes(network: Any) -> int | None:
    """Number of classes of the network's last head; None if it is not stated."""
    counts = [
        module.num_classes
        for name, module in network.named_modules()
        if name.rpartition(".")[2] in HEADS and hasattr(module, "num_classes")
    ]
    return int(counts[-1]) if counts else None
