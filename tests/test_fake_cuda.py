"""The harness of fake CUDA tensors: it computes what the CPU does, and catches planted faults."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from fake_cuda import fake_cuda
from torch import nn

from icmbench.core.devices import resolve_device

MIXED = "Expected all tensors to be on the same device"


class Net(nn.Module):
    """Parameters, a buffer, and a plain list of modules that `Module.to` does not find."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.hidden = [nn.Conv2d(8, 8, 1)]
        self.register_buffer("scale", torch.arange(1.0, 9.0).reshape(1, 8, 1, 1))
        self.last = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.nn.functional.silu(self.norm(self.first(x))) * self.scale
        return self.last(self.hidden[0](h).mean((2, 3)))


def whole_net() -> Net:
    """On `cuda`, all of it."""
    net = Net()
    net.hidden[0].to("cuda")
    return net.to("cuda", memory_format=torch.channels_last)


def test_values_and_gradients_are_the_cpus() -> None:
    """A step of training gives the weights that it gives on the CPU."""
    pixels = torch.rand(2, 3, 8, 8)
    found = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(1)
        with fake_cuda() as machine:
            net = Net()
            net.hidden[0].to(device)
            net.to(device)
            optimiser = torch.optim.SGD(net.parameters(), 0.1)
            for _ in range(2):
                loss = net(pixels.to(device)).square().mean()
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimiser.step()
            assert loss.device.type == device
            assert next(net.parameters()).grad.device.type == device
            assert bool(machine.operations) == (device == "cuda")
            found.append({name: value.cpu().numpy() for name, value in net.state_dict().items()})
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_inference_with_branches_on_values() -> None:
    """Values decide on the CPU what the CPU decides, and come back by `cpu` alone."""
    with fake_cuda(), torch.inference_mode():
        assert resolve_device("auto") == "cuda"
        net = whole_net().eval()
        y = net(torch.rand(1, 3, 8, 8).to("cuda"))
        assert bool(torch.isfinite(y).all())
        assert y[y > y.mean()].numel() == int((y > y.mean()).sum())
        assert y.cpu().numpy().shape == (1, 4)
        assert torch.tensor([3], device="cuda").item() == 3
        assert torch.full((2,), 3, device=y.device).device.type == "cuda"
        assert y.to("cpu").device.type == y.to(torch.zeros(1)).device.type == "cpu"
    assert not torch.cuda.is_available()


def test_autocast_is_recorded() -> None:
    """Half precision works in an autocast of cuda; the device types are kept for the tests."""
    with fake_cuda() as machine:
        net = whole_net()
        with torch.autocast("cuda", torch.bfloat16):
            made = net(torch.rand(1, 3, 8, 8).to("cuda"))
        assert made.dtype == torch.bfloat16
        made.float().mean().backward()
        assert machine.autocasts == ["cuda"]


def test_a_network_too_large_to_compute() -> None:
    """40 GB of weights take no memory; results have no values."""
    with fake_cuda():
        net = nn.Linear(100_000, 100_000, device="meta").to("cuda")
        made = net(torch.rand(2, 100_000).to("cuda"))
        assert made.device.type == "cuda"
        assert bool(torch.isfinite(made).all())
        np.testing.assert_array_equal(made.detach().cpu().numpy(), np.zeros((2, 100_000)))


def test_written_and_chosen_values_are_the_cpus() -> None:
    """What is written by a mask or by indices, its gradients, and classes as vectors."""
    start = torch.arange(6.0).reshape(2, 3)
    found = []
    with fake_cuda():
        for device in ("cpu", "cuda"):
            x = start.clone().to(device).requires_grad_()
            y = x * 2
            y[y > 5] = torch.ones(3).to(device) * x.mean()
            y[torch.tensor([0]), torch.tensor([1]).to(device)] = x.sum()
            y[:, 2][torch.tensor([0]).to(device)] = 7
            classes = torch.nn.functional.one_hot(torch.tensor([0, 2]).to(device), 4)
            named = torch.nn.functional.one_hot(torch.tensor([0, 2]).to(device))
            (y.square() * classes[:, :3]).sum().backward()
            assert {t.device.type for t in (y, x.grad, classes, named)} == {device}
            assert classes.dtype == torch.int64
            found.append([t.detach().cpu().numpy() for t in (y, x.grad, classes, named)])
    for here, there in zip(*found, strict=True):
        np.testing.assert_array_equal(there, here)


def left_module(x: torch.Tensor) -> None:
    """A list of modules is not moved with its owner."""
    Net().to("cuda")(x)


def left_buffer(x: torch.Tensor) -> None:
    """A buffer that was overwritten with a tensor of the CPU."""
    net = whole_net()
    net.scale = torch.ones(1, 8, 1, 1)
    net(x)


def left_input(x: torch.Tensor) -> None:
    """Pixels that were not moved."""
    whole_net()(x.cpu())


def left_network(x: torch.Tensor) -> None:
    """A whole network on the CPU."""
    Net()(x)


def numpy_call(x: torch.Tensor) -> None:
    """An array of a tensor on cuda."""
    x.numpy()


def numpy_protocol(x: torch.Tensor) -> None:
    """The same by way of numpy."""
    np.asarray(whole_net()(x).detach())


def cpu_generator(x: torch.Tensor) -> None:
    """Noise on cuda from a generator of the CPU."""
    torch.randn(x.shape, generator=torch.Generator().manual_seed(1), device=x.device)


def mixed_target(x: torch.Tensor) -> None:
    """A loss against labels of the CPU."""
    torch.nn.functional.cross_entropy(whole_net()(x), torch.tensor([1]))


def read_on_cpu(x: torch.Tensor) -> None:
    """Values of the CPU at places on cuda."""
    x.cpu()[x > 0]


def written_on_cpu(x: torch.Tensor) -> None:
    """A number into a tensor of the CPU, at places on cuda."""
    x.cpu()[x > 0] = 1


def written_from_cpu(x: torch.Tensor) -> None:
    """Values of the CPU into a tensor on cuda."""
    x.clone()[:, 0] = 1
    x.clone()[torch.zeros(1, dtype=torch.int64)] = torch.ones(1, 3, 8, 8)


def mask_on_cpu(x: torch.Tensor) -> None:
    """Values at places of the CPU, of which there are as many as values say."""
    x.masked_select(torch.ones(1, 3, 8, 8, dtype=torch.bool))


def scores_on_cpu(x: torch.Tensor) -> None:
    """Boxes on cuda whose scores are not."""
    torchvision.ops.nms(x[0, 0, :, :4], torch.ones(8), 0.5)


def classes_on_cpu(x: torch.Tensor) -> None:
    """Vectors of classes against scores on cuda."""
    torch.nn.functional.one_hot(torch.zeros(8, dtype=torch.int64), 8) * x


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (read_on_cpu, "indices should be"),
        (written_on_cpu, "indices should be"),
        (written_from_cpu, "Mismatching .* device"),
        (mask_on_cpu, MIXED),
        (scores_on_cpu, MIXED),
        (classes_on_cpu, MIXED),
        (left_module, MIXED),
        (left_buffer, MIXED),
        (left_input, MIXED),
        (left_network, MIXED),
        (mixed_target, MIXED),
        (numpy_call, "can't convert cuda"),
        (numpy_protocol, "can't convert cuda"),
        (cpu_generator, "generator"),
    ],
)
def test_faults_are_caught(fault: object, message: str, grad: bool) -> None:
    """What fails on a GPU only fails here, with gradients and without."""
    with fake_cuda(), torch.inference_mode(not grad):
        x = torch.rand(1, 3, 8, 8).to("cuda")
        with pytest.raises((RuntimeError, TypeError), match=message):
            fault(x)
