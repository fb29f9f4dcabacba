"""YOLOX-nano from its published ONNX export into mmdet's own network of that name.

The export has the batch norms folded into the convolutions. Here the norms become identities that
add the folded bias, so every tensor of the network has its value and the outputs are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from icmbench.core.errors import ModelError

if TYPE_CHECKING:
    import torch

CONFIG: Final = "yolox_nano_8xb8-300e_coco"
EPSILON: Final = 1e-3  # of the norms in that configuration
BLOCKS: Final = (1, 3, 3, 1)  # bottlenecks per stage of the backbone, at a depth of 0.33
FLOAT: Final = 1  # ONNX's number of float32


def yolox_from_onnx(path: Path) -> dict[str, torch.Tensor]:
    """The state dictionary of mmdet's `yolox_nano_8xb8-300e_coco`, without the norms' counters.

    Raises ModelError where the file is missing, is no ONNX file or of another network.
    """
    import torch

    convolutions = read_convolutions(path)
    names = list(module_names())
    if len(convolutions) != len(names):
        raise ModelError(f"{path}: {len(convolutions)} convolutions, YOLOX-nano has {len(names)}")
    state: dict[str, torch.Tensor] = {}
    for name, (weight, bias) in zip(names, convolutions, strict=True):
        weights, biases = torch.from_numpy(weight.copy()), torch.from_numpy(bias.copy())
        if name.startswith("bbox_head.multi_level_conv_"):  # the last layers have no norms
            state |= {f"{name}.weight": weights, f"{name}.bias": biases}
            continue
        state |= {
            f"{name}.conv.weight": weights,
            f"{name}.bn.weight": torch.ones_like(biases),
            f"{name}.bn.bias": biases,
            f"{name}.bn.running_mean": torch.zeros_like(biases),
            f"{name}.bn.running_var": torch.full_like(biases, 1 - EPSILON),
        }
    return state


def module_names() -> Iterator[str]:
    """Names in mmdet of the convolutions, in the order in which the export computes them."""
    yield "backbone.stem.conv"
    for stage, blocks in enumerate(BLOCKS, start=1):
        where = f"backbone.stage{stage}"
        yield from _separable(f"{where}.0")
        if stage == len(BLOCKS):  # spatial pyramid pooling before the last stage's blocks
            yield from (f"{where}.1.conv1", f"{where}.1.conv2")
        yield from _csp(f"{where}.{2 if stage == len(BLOCKS) else 1}", blocks)
    for level in range(2):
        yield f"neck.reduce_layers.{level}"
        yield from _csp(f"neck.top_down_blocks.{level}", 1)
    for level in range(2):
        yield from _separable(f"neck.downsamples.{level}")
        yield from _csp(f"neck.bottom_up_blocks.{level}", 1)
    for level in range(3):
        yield f"neck.out_convs.{level}"
        for branch, lasts in (("cls", ("cls",)), ("reg", ("reg", "obj"))):
            for layer in range(2):
                yield from _separable(f"bbox_head.multi_level_{branch}_convs.{level}.{layer}")
            yield from (f"bbox_head.multi_level_conv_{last}.{level}" for last in lasts)


def _separable(name: str) -> Iterator[str]:
    yield from (f"{name}.depthwise_conv", f"{name}.pointwise_conv")


def _csp(name: str, blocks: int) -> Iterator[str]:
    """A cross-stage-partial layer: two entries, its bottlenecks, and the layer that joins them."""
    yield from (f"{name}.main_conv", f"{name}.short_conv")
    for block in range(blocks):
        yield f"{name}.blocks.{block}.conv1"
        yield from _separable(f"{name}.blocks.{block}.conv2")
    yield f"{name}.final_conv"


def read_convolutions(path: Path) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Weight and bias of every convolution of an ONNX file, in the order of its graph."""
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    model = _onnx_model()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ModelError(f"{path}: not an ONNX file: {error}") from error
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type == "Conv"]
    found = []
    for node in nodes:
        if len(node.input) != 3 or not all(name in tensors for name in node.input[1:]):
            raise ModelError(
                f"{path}: a convolution {node.name!r} without constant weight and bias"
            )
        found.append((_array(path, tensors[node.input[1]]), _array(path, tensors[node.input[2]])))
    return found


def _array(path: Path, tensor: Any) -> NDArray[np.float32]:
    shape = tuple(tensor.dims)
    if tensor.data_type != FLOAT or len(tensor.raw_data) != 4 * int(np.prod(shape)):
        raise ModelError(f"{path}: {tensor.name} is not stored as float32 {shape}")
    return np.frombuffer(tensor.raw_data, "<f4").reshape(shape)


def _onnx_model() -> Any:
    """An empty message of the parts of onnx.proto that are read; others are passed over.

    The package onnx has all of them, for this one file.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="icmbench_onnx.proto", package="icmbench_onnx")
    messages: dict[str, list[tuple[str, int, int, bool, str]]] = {
        "Tensor": [
            ("dims", 1, kinds.TYPE_INT64, True, ""),
            ("data_type", 2, kinds.TYPE_INT32, False, ""),
            ("name", 8, kinds.TYPE_STRING, False, ""),
            ("raw_data", 9, kinds.TYPE_BYTES, False, ""),
        ],
        "Node": [
            ("input", 1, kinds.TYPE_STRING, True, ""),
            ("name", 3, kinds.TYPE_STRING, False, ""),
            ("op_type", 4, kinds.TYPE_STRING, False, ""),
        ],
        "Graph": [
            ("node", 1, kinds.TYPE_MESSAGE, True, ".icmbench_onnx.Node"),
            ("initializer", 5, kinds.TYPE_MESSAGE, True, ".icmbench_onnx.Tensor"),
        ],
        "Model": [("graph", 7, kinds.TYPE_MESSAGE, False, ".icmbench_onnx.Graph")],
    }
    for message, fields in messages.items():
        added = file.message_type.add(name=message)
        for name, number, kind, many, of in fields:
            label = kinds.LABEL_REPEATED if many else kinds.LABEL_OPTIONAL
            added.field.add(name=name, number=number, type=kind, label=label, type_name=of or None)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("icmbench_onnx.Model"))()
