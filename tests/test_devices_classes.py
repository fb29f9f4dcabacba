"""Image classification on fake CUDA tensors (`fake_cuda`): its answers are those of the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from fake_cuda import fake_cuda
from test_resources import FLAGS

from icmbench.tasks.answers.class_scores import ClassScores
from icmbench.tasks.base import Labels
from icmbench.tasks.kinds.classification import Classification


@pytest.fixture(autouse=True)
def settings_of_before() -> Iterator[None]:
    """Keep a GPU's settings of this process."""
    before = [getattr(place, name) for place, name, _ in FLAGS]
    yield
    for (place, name, _), value in zip(FLAGS, before, strict=True):
        setattr(place, name, value)


def answer(device: str) -> ClassScores:
    task = Classification("classes", {"crops": [1, 2]})
    task.device = device
    task.load(Labels("photographs", {}, ()), device)
    return task.predict(skimage.data.astronaut(), ())


def test_classes_on_cuda() -> None:
    """Every tensor of the network and its input is on the device; the answer is numbers again."""
    expected = answer("cpu")
    with fake_cuda() as machine:
        found = answer("cuda")
        assert machine.operations > 50
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    np.testing.assert_allclose(found.features, expected.features, atol=1e-4)
    assert found.names == expected.names


def test_a_layer_that_stays_on_the_cpu_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    load = Classification.load

    def partly(task: Classification, *given: Any) -> None:
        load(task, *given)
        assert task._classifier is not None
        layers = [m for m in task._classifier._network.modules() if isinstance(m, torch.nn.Conv2d)]
        layers[-1].cpu()

    monkeypatch.setattr(Classification, "load", partly)
    with fake_cuda(), pytest.raises(RuntimeError, match="device"):
        answer("cuda")
