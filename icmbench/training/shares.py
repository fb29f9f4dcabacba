"""Shares of a batch: micro-batches one after the other, and processes side by side.

The gradient of a batch is the sum over its shares. Everything random is drawn for the whole batch
in every share, so that an example meets the same values however the batch is divided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeVar

import torch
from numpy.typing import NDArray

from icmbench.core.errors import ConfigError

RowsT = TypeVar("RowsT", bound="torch.Tensor | Sequence[Any] | NDArray[Any]")


@dataclass(frozen=True)
class Share:
    """Examples of a batch that are computed together.

    Attributes:
        whole: examples of the batch.
        first, count: the examples of the share.
    """

    whole: int
    first: int
    count: int

    @property
    def weight(self) -> float:
        """Part of the batch: the weight of the share's means in those of the batch."""
        return self.count / self.whole

    def rows(self, values: RowsT, each: int = 1) -> RowsT:
        """The share's rows of values of the whole batch; `each`: rows of an example."""
        return values[self.first * each : (self.first + self.count) * each]  # type: ignore[return-value]

    def uniform(self, values: torch.Tensor) -> torch.Tensor:
        """Uniform noise in [0, 1) like `values`, whose first axis is that of the share."""
        if self.count == self.whole:
            return torch.rand_like(values)
        return self.rows(torch.rand_like(values.new_empty((self.whole, *values.shape[1:]))))


@dataclass(frozen=True)
class Group:
    """Processes that train a network together, each on its own GPU; by itself: one process.

    Attributes:
        rank: number of this process; the first one, 0, writes files.
        size: number of processes.
        total: the sum of a tensor over the processes, of which each calls it at the same time.
    """

    rank: int = 0
    size: int = 1
    total: Callable[[torch.Tensor], torch.Tensor] | None = None

    @property
    def writes(self) -> bool:
        """True in the process that writes files."""
        return self.rank == 0

    def add_up(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace every tensor by its sum over the processes, which all have the same tensors."""
        assert self.total is not None, "a group of several processes adds up"
        for tensor in tensors:
            tensor.copy_(self.total(tensor))

    def shares(self, batch: int, micro_batch: int = 0) -> list[Share]:
        """This process's shares of a batch, of at most `micro_batch` examples (0: no limit).

        Raises ConfigError where a process would have no example.
        """
        if batch < self.size:
            raise ConfigError(f"batch {batch} for {self.size} processes: at least one example each")
        first, end = (batch * rank // self.size for rank in (self.rank, self.rank + 1))
        starts = [*range(first, end, micro_batch or end - first), end]
        return [Share(batch, start, stop - start) for start, stop in pairwise(starts)]


ALONE: Final = Group()
