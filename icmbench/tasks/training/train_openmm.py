"""Training of the small detector and segmenter of the default run, on scenes.

Networks and losses are those of mmdet and mmseg, named by their configurations; only widths differ.
The bundled models are trained on originals only: the benchmark measures scores after coding. The
option `adapt` of a task alone trains on reconstructions (`icmbench.tasks.training.adapt`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch

from icmbench.core.errors import ConfigError
from icmbench.core.files import seed_from
from icmbench.models.tensors import load_network, state_digest
from icmbench.scenes.labels import SEMANTIC_CLASSES, THINGS
from icmbench.tasks.backends.openmm import build_network, import_library, read_config
from icmbench.tasks.backends.openmm_task import describe_network
from icmbench.tasks.backends.openmm_weights import COUNTER, fill
from icmbench.tasks.training.scene_views import VIEWS, Example, Examples, boxes_of
from icmbench.training.data import TrainingData
from icmbench.training.loop import Losses, Schedule, Session, train

DETECTOR: Final = "rtmdet-ins_tiny_8xb32-300e_coco"
DETECTOR_OVERRIDES: Final[Mapping[str, Any]] = {
    "model.backbone.widen_factor": 0.1875,
    "model.neck.in_channels": [48, 96, 192],
    "model.neck.out_channels": 48,
    "model.bbox_head.in_channels": 48,
    "model.bbox_head.feat_channels": 48,
    "model.bbox_head.stacked_convs": 1,
    "model.bbox_head.num_classes": len(THINGS),
    "model.test_cfg.nms_pre": 300,
    "model.test_cfg.max_per_img": 20,
}
SEGMENTER: Final = "fast_scnn_8xb4-160k_cityscapes-512x1024"
SEGMENTER_OVERRIDES: Final[Mapping[str, Any]] = {
    "model.decode_head.num_classes": len(SEMANTIC_CLASSES),
    "model.decode_head.loss_decode.use_sigmoid": False,
    "model.auxiliary_head": None,
}
STRIDE: Final = 2  # of the pixels that the segmenter is judged at: its own stride is 8
SETTLING: Final = (32, 8)  # batches, and images in each, that the norms are settled on


def train_openmm(
    package: str, schedule: Schedule, data: TrainingData, size: int, session: Session
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Train the network of a library; returns its weights and metadata.

    `mmdet` is RTMDet-Ins (Lyu et al. 2022) of a narrow width. `mmseg` is Fast-SCNN (Poudel et al.
    2019) without its auxiliary heads, judged at every second row and column: of a step's time, the
    losses at all pixels took most.

    Args:
        package: mmdet or mmseg.
        data: scenes with their annotations beside them.
        size: side of the network's input in pixels, a multiple of 32.
        session: its start is a file of such a network that `save_network` wrote.

    Raises DatasetError where annotations are missing, ModelError where the start is of another
    network, ConfigError for another size.
    """
    if size < 64 or size % 32:
        raise ConfigError(f"size {size}: a multiple of 32, at least 64")
    import_library(package)
    examples, network, state = Examples(data, size), make_network(package, schedule.seed), None
    if session.start is not None:
        state, _ = load_network(session.start)
        fill(network, state, session.start)
    network.to(session.device, memory_format=torch.channels_last)

    def losses(rng: np.random.Generator) -> Losses:
        inputs, samples = _batch(package, network, examples.draw(rng, schedule.batch))
        total, terms = network.parse_losses(network.loss(inputs, samples))
        return {"loss": total, **{k: v for k, v in terms.items() if k != "loss"}}

    train(
        package,
        network,
        schedule,
        losses,
        session,
        describe={
            "network": [*model_of(package)],
            "pool": data.digest,
            "size": size,
            "start": state_digest(state),
            "views": [*VIEWS, STRIDE, *SETTLING],
        },
        # Of some of the libraries' losses there is no deterministic algorithm on a GPU.
        exact=session.device == "cpu",
    )
    settle_norms(package, network, examples, schedule.seed)
    config, overrides, classes = model_of(package)
    return trained_state(network.cpu()), describe_network(package, config, overrides, classes, size)


def model_of(package: str) -> tuple[str, dict[str, Any], list[str]]:
    """Configuration, overrides and classes of the network that is trained for a library."""
    if package == "mmdet":
        return DETECTOR, dict(DETECTOR_OVERRIDES), list(THINGS)
    return SEGMENTER, dict(SEGMENTER_OVERRIDES), list(SEMANTIC_CLASSES)


def make_network(package: str, seed: int) -> Any:
    """The network that is trained for a library, with random weights."""
    config, overrides, _ = model_of(package)
    return build_network(package, read_config(package, config, overrides), seed)


def trained_state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The network's weights without the norms' counters, which nothing reads any more."""
    return {k: v for k, v in network.state_dict().items() if not k.endswith(COUNTER)}


@torch.no_grad()
def settle_norms(package: str, network: Any, examples: Examples, seed: int) -> None:
    """Give the batch norms the statistics of the final weights, over `SETTLING` views, in place.

    The moving statistics are of the weights of the last steps, not of their average.
    """
    rng = np.random.default_rng(seed_from(seed, package, "norms"))
    norms = [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    network.train()
    for _ in range(SETTLING[0]):
        inputs, _ = _batch(package, network, examples.draw(rng, SETTLING[1]))
        network(inputs, mode="tensor")
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _batch(package: str, network: Any, examples: list[Example]) -> tuple[torch.Tensor, list[Any]]:
    """Input of the network, made by its own preprocessor, and targets in its classes."""
    make = _detection_sample if package == "mmdet" else _semantic_sample
    pictures = [torch.from_numpy(e.pixels[:, :, ::-1].transpose(2, 0, 1).copy()) for e in examples]
    data = {"inputs": pictures, "data_samples": [make(e) for e in examples]}
    data = network.data_preprocessor(data, False)
    return data["inputs"].contiguous(memory_format=torch.channels_last), data["data_samples"]


def _detection_sample(example: Example) -> Any:
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    size = example.semantic.shape
    things = InstanceData(
        bboxes=torch.from_numpy(boxes_of(example.masks)),
        labels=torch.from_numpy(example.labels),
        masks=BitmapMasks(example.masks.astype(np.uint8), *size),
    )
    meta = {"img_shape": size, "ori_shape": size, "pad_shape": size, "scale_factor": (1.0, 1.0)}
    return DetDataSample(gt_instances=things, metainfo={**meta, "batch_input_shape": size})


def _semantic_sample(example: Example) -> Any:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    size = example.semantic.shape
    seen = example.semantic[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
    labels = torch.from_numpy(seen.astype(np.int64))[None]
    meta = {"img_shape": size, "ori_shape": size, "pad_shape": size}
    return SegDataSample(gt_sem_seg=PixelData(data=labels), metainfo=meta)
