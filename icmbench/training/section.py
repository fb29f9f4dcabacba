"""Contract of a section of `training`: the keys that a trained codec adds to the configuration.

A codec declares its section in its own folder (`Codec.training_section` names the module, whose
`SECTION` it is). It is plain data and checks: no network is imported to plan a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from icmbench.core.errors import IcmbenchError
from icmbench.core.schema import Schema, integer, number, section

Values = Mapping[str, Any]
Keys = Sequence[Values]  # of every point of a model's codec entries: the keys of the encoder


def network(
    batch: int, rate: float, unit: str, text: str = "", keys: Mapping[str, Schema] | None = None
) -> Schema:
    """Schema of a trained network: steps, batch size in a unit, learning rate, and more keys."""
    return section(
        {
            "steps": integer(0, "optimiser steps; 0: not trained", low=0),
            "batch": integer(batch, f"{unit} per step", low=1),
            "learning_rate": number(rate, "of the optimiser", above=0),
            **(keys or {}),
        },
        text,
    )


class TrainingSection:
    """Section `training.<key>`; subclasses set the class attributes and override the methods.

    `training` is always the complete section `training` of the configuration.

    Class attributes:
        key: name of the section.
        model: the model folder that its parts make up; "": none.
        keys: schema of every key, in the order of training.
        amounts: for every trained part the key of its amount; an amount of 0: not trained.
        needs: by another section, the parts of it that this section's model contains.
    """

    key: ClassVar[str]
    model: ClassVar[str] = ""
    keys: ClassVar[Mapping[str, Schema]]
    amounts: ClassVar[Mapping[str, str]]
    needs: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def schema(self) -> Schema:
        """JSON Schema of the section."""
        return section(self.keys)

    def amount_keys(self, parts: Sequence[str]) -> str:
        """Key paths of the amounts of parts, for error texts."""
        return ", ".join(f"training.{self.key}.{part}.{self.amounts[part]}" for part in parts)

    def with_amount(self, training: Values) -> list[str]:
        """The parts whose amount is not 0."""
        values = training[self.key]
        return [part for part, amount in self.amounts.items() if values[part][amount]]

    def check(self, training: Values) -> None:
        """ConfigError where values of the section contradict each other, in every run."""

    def trained(self, training: Values, points: Keys, parts: Sequence[str] | None) -> list[str]:
        """The parts that a run trains; the others are the bundled ones.

        Args:
            training: the section `training`.
            points: of the entries whose codec uses the model.
            parts: those that other models need, where no entry uses this one; None: all.

        Raises ConfigError where a part is left untrained that must be trained.
        """
        raise NotImplementedError

    def encoder_parts(self, training: Values, points: Keys, trained: Sequence[str]) -> list[str]:
        """The parts that only the encoder uses and that this run makes; none by default."""
        return []

    def check_model(self, folder: Path | None, points: Keys, encoder_parts: Sequence[str]) -> None:
        """ModelError where a given folder (None: the bundled one) lacks a part that is used."""
        raise NotImplementedError

    def wrong_points(
        self, training: Values, points: Keys, models: Path | None
    ) -> list[IcmbenchError]:
        """Errors of the points of one codec entry that only the model can tell.

        `models` is the given folder of all models; None: this run makes its own.
        """
        return []

    def settings(self, training: Values, part: str, **wildcards: str) -> dict[str, Any]:
        """Job parameters of the training of a part: its own keys, and the shared ones it uses."""
        raise NotImplementedError
