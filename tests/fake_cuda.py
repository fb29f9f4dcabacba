"""Fake CUDA: tensors that are on `cuda` and computed on the CPU, for machines without a GPU.

    with fake_cuda():
        network.to("cuda")
        values = network(pixels.to("cuda"))  # values.device.type == "cuda"
        values.cpu().numpy()                 # what the CPU computes
        values.numpy()                       # TypeError, as on a GPU

Every operation that a CUDA tensor takes part in runs on the values, on the CPU: branches on values
and integers on the CPU get true ones. Where anything else than CUDA tensors takes part, it runs on
fake tensors first: torch's `FakeTensorMode` checks devices as a GPU does ("Expected all tensors to
be on the same device"). Speed, memory, kernels and rounding of a GPU are not covered.

Networks too large to compute are built on the device `meta`, without values, and moved to `cuda` as
others are. What they compute has no values either: on the CPU it is zero (a truth value: true).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from icmbench.core.devices import resolve_device

_CUDA = torch.device("cuda", 0)
_COMPOSITE = "CompositeImplicitAutograd"
_SCALAR = torch.ops.aten._local_scalar_dense.default
_READ = torch.ops.aten.index.Tensor
_WRITE = (torch.ops.aten.index_put.default, torch.ops.aten.index_put_.default)


class CudaTensor(torch.Tensor):
    """A tensor on `cuda`: its values are on the CPU (or on `meta`: none).

    Only Python and the checks are told of `cuda`. The wrapper is a CPU tensor to C++, so that
    gradients need neither streams nor a driver, and the CPU's kernels run.
    """

    values: torch.Tensor
    device = property(lambda self: _CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values: torch.Tensor) -> CudaTensor:
        made: CudaTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            layout=values.layout,
            device="cpu",
        )
        made.values = values
        return made

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"CudaTensor({tuple(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        raise RuntimeError(f"{func}: a fake CUDA tensor is used outside `fake_cuda`")

    def numpy(self, *, force: bool = False) -> Any:
        """As on a GPU: only what is on the CPU is an array."""
        if force:
            return self.detach().cpu().numpy()
        raise TypeError(f"can't convert {self.device} device type tensor to numpy: use .cpu()")

    def tolist(self) -> Any:
        """The values, by way of the CPU."""
        return self.detach().cpu().tolist()

    def new_tensor(self, data: Any, *, dtype: Any = None, device: Any = None) -> torch.Tensor:
        """A tensor of data on the GPU."""
        return torch.tensor(data, dtype=dtype or self.dtype, device=device or _CUDA)

    def get_device(self) -> int:
        """The GPU's number."""
        return 0

    def cpu(self, memory_format: Any = torch.preserve_format) -> torch.Tensor:
        """A copy on the CPU."""
        return self.to("cpu", memory_format=memory_format)

    def to(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """As `torch.Tensor.to`, which would take this for a tensor of the CPU."""
        format_ = kwargs.pop("memory_format", torch.preserve_format)
        device, dtype, _, parsed = _parse_to(*args, **kwargs)
        device, dtype = device or self.device, dtype or self.dtype
        format_ = parsed or format_
        kept = format_ is torch.preserve_format or self.is_contiguous(memory_format=format_)
        if device.type == "cuda" and dtype == self.dtype and kept and not kwargs.get("copy"):
            return self
        made: torch.Tensor = _Move.apply(self, device, dtype, format_)
        return made


class _Move(torch.autograd.Function):
    """A copy on another device or of another type; the gradient goes back to where it came from."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, device: Any, dtype: Any, format_: Any) -> Any:
        ctx.before = values.device, values.dtype
        if device.type == "cuda":
            return torch.ops.aten._to_copy(values, dtype=dtype, memory_format=format_)
        plain = values.values
        if plain.is_meta and device.type == "cpu":
            plain = torch.zeros(plain.shape, dtype=dtype)
        return plain.to(device, dtype, copy=True, memory_format=format_)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        device, dtype = ctx.before
        return gradients[0].to(device, dtype), None, None, None


def _to(values: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """`torch.Tensor.to`, which is told the device of another tensor."""
    if args and isinstance(args[0], CudaTensor):
        args = (_CUDA, args[0].dtype, *args[1:])
    return torch._C.TensorBase.to(values, *args, **kwargs)


_parse = torch._C._nn._parse_to


def _parse_to(*args: Any, **kwargs: Any) -> Any:
    """The arguments of `Module.to`, which may be a tensor, too."""
    if args and isinstance(args[0], CudaTensor):
        args = (_CUDA, args[0].dtype, *args[1:])
    return _parse(*args, **kwargs)


def _type_as(values: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return values.to(other)


_plain_one_hot = torch.nn.functional.one_hot


def _one_hot(labels: torch.Tensor, num_classes: int = -1) -> torch.Tensor:
    """`one_hot` of torch, whose C++ compares with a range on the wrapper's device."""
    if not isinstance(labels, CudaTensor):
        return _plain_one_hot(labels, num_classes)
    count = num_classes if num_classes != -1 else int(labels.max()) + 1
    made = torch.zeros(*labels.shape, count, dtype=torch.int64, device=labels.device)
    return made.scatter_(-1, labels.unsqueeze(-1), 1)


class _Autocast(torch.autocast):
    """Autocast of `cuda` by the CPU's rules: its C++ takes the tensors for the CPU's."""

    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        _AUTOCASTS.append(device_type)
        super().__init__("cpu" if device_type == "cuda" else device_type, *args, **kwargs)


_AUTOCASTS: list[str] = []  # device types that the current machine was asked for


class _Machine(TorchDispatchMode):
    """Runs what concerns CUDA tensors on fakes and on values."""

    def __init__(self) -> None:
        super().__init__()
        self.fakes = FakeTensorMode(allow_non_fake_inputs=True)
        self.operations = 0  # that ran on `cuda`
        self.autocasts = _AUTOCASTS  # their device types

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        given = tree_leaves((args, kwargs))
        if not any(_on_cuda(value) for value in given):
            return func(*args, **kwargs)
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _COMPOSITE):
            with self:  # in inference mode: made of others, `cpu()` for instance
                return func.decompose(*args, **kwargs)
        self.operations += 1
        if kwargs.get("device") == torch.device("cpu"):
            kwargs["device"] = _CUDA  # from C++: the device of a wrapper
        if func is _SCALAR and args[0].values.is_meta:
            return args[0].dtype == torch.bool
        for value in given:
            if isinstance(value, torch.Generator) and value.device.type != "cuda":
                raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        hollow = any(_is_hollow(value) for value in given)
        args = self._with_zeros_of_gradient(func, args)
        tensors = [value for value in given if isinstance(value, torch.Tensor)]
        mixed = not tensors or not all(isinstance(value, CudaTensor) for value in tensors)
        if mixed:
            _check_places(func, args, given, told=self._run_on_fakes(func, args, kwargs))
        args_, kwargs_ = tree_map(functools.partial(_to_values, hollow), (args, kwargs))
        owner = {
            id(v.values): v for v in given if isinstance(v, CudaTensor)
        }  # for what is in place
        found = func(*args_, **kwargs_)

        # In inference mode, too, a view of a tensor that has gradients is such a tensor.
        tracked = func.is_view and not any(v.is_inference() for v in owner.values())

        def wrap(value: Any) -> Any:
            if not isinstance(value, torch.Tensor) or id(value) in owner:
                return owner.get(id(value), value)
            with torch.inference_mode(False) if tracked else contextlib.nullcontext():
                return CudaTensor(value)

        return tree_map(wrap, found)

    def _run_on_fakes(self, func: Any, args: Any, kwargs: Any) -> bool:
        """Run an operation on fake tensors; False where they cannot say. Raises as a GPU would."""
        with self.fakes:
            args, kwargs = tree_map(self._to_fake, (args, kwargs))
            try:
                func(*args, **kwargs)
            except (DataDependentOutputException, DynamicOutputShapeException):
                return False
        return True

    def _with_zeros_of_gradient(self, func: Any, args: Any) -> Any:
        """Arguments with the zeros on `cuda` that a gradient has where a tensor was written to.

        C++ makes them where the wrapper of what was written is. What was written was on `cuda`, or
        it had no dimensions: with anything else the step forward had failed.
        """
        node = torch._C._current_autograd_node() if func in _WRITE else None
        if node is None or node.name() != "IndexPutBackward0" or _on_cuda(args[2]):
            return args
        return (*args[:2], CudaTensor(args[2]), *args[3:])

    def _to_fake(self, value: Any) -> Any:
        if isinstance(value, CudaTensor):
            return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=_CUDA)
        return self.fakes.from_tensor(value) if isinstance(value, torch.Tensor) else value


def _on_cuda(value: Any) -> bool:
    return isinstance(value, CudaTensor) or (
        isinstance(value, torch.device) and value.type == "cuda"
    )


def _is_hollow(value: Any) -> bool:
    value = value.values if isinstance(value, CudaTensor) else value
    return isinstance(value, torch.Tensor) and value.is_meta


def _to_values(hollow: bool, value: Any) -> Any:
    """An argument for the CPU; for `meta`, where values are missing."""
    if isinstance(value, torch.device) and value.type == "cuda":
        return torch.device("meta" if hollow else "cpu")
    if isinstance(value, torch.device):
        return torch.device("meta") if hollow else value
    if isinstance(value, torch.Generator):
        return None
    if isinstance(value, CudaTensor):
        value = value.values
    if isinstance(value, torch.Tensor):
        return value.to("meta") if hollow else value
    return value


def _check_places(func: Any, args: Any, given: list[Any], *, told: bool) -> None:
    """Raise as a GPU does for mixed devices where fakes do not look at them.

    Args:
        told: whether fakes could say what the operation gives.
    """
    if func is _READ or func in _WRITE:  # of a tensor on the GPU, indices on the CPU will do
        if not _on_cuda(args[0]):
            raise RuntimeError("indices should be either on cpu or on the same device (cpu)")
        return
    placed = [_on_cuda(value) for value in given if isinstance(value, torch.Tensor)]
    if (not told or func.namespace == "torchvision") and not all(placed):
        raise RuntimeError(f"Expected all tensors to be on the same device: {func}")


@contextlib.contextmanager
def fake_cuda() -> Iterator[_Machine]:
    """A machine with a GPU, as far as devices go; see the module. Tensors made inside end with it.

    Gives the machine: `operations` counts what ran on `cuda`, `autocasts` lists the device types
    of every `torch.autocast`.
    """
    answers: dict[str, Any] = {
        "_lazy_init": None,
        "is_available": True,
        "device_count": 1,
        "get_device_name": "fake",
        "synchronize": None,
        "empty_cache": None,
        "reset_peak_memory_stats": None,
        "max_memory_allocated": 0,
        "max_memory_reserved": 0,
        "memory_allocated": 0,
    }
    resolve_device.cache_clear()
    _AUTOCASTS.clear()
    before = torch._C._only_lift_cpu_tensors()
    torch._C._ensureCUDADeviceGuardSet()
    with contextlib.ExitStack() as stack:
        for name, answer in answers.items():
            patch = mock.patch.object(torch.cuda, name, lambda *_, answer=answer, **__: answer)
            stack.enter_context(patch)
        stack.callback(resolve_device.cache_clear)
        # `torch.tensor(..., device="cuda")` makes its tensor on the CPU and moves it.
        torch._C._set_only_lift_cpu_tensors(True)
        stack.callback(torch._C._set_only_lift_cpu_tensors, before)
        stack.enter_context(mock.patch.object(torch, "autocast", _Autocast))
        stack.enter_context(mock.patch.object(torch.Tensor, "to", _to))
        stack.enter_context(mock.patch.object(torch.Tensor, "type_as", _type_as))
        stack.enter_context(mock.patch.object(torch._C._nn, "_parse_to", _parse_to))
        stack.enter_context(mock.patch.object(torch.nn.functional, "one_hot", _one_hot))
        # A parameter cannot change its kind of tensor in place: `Module.to` makes new ones.
        stack.callback(
            torch.__future__.set_overwrite_module_params_on_conversion,
            torch.__future__.get_overwrite_module_params_on_conversion(),
        )
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        yield stack.enter_context(_Machine())
