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
Keys = Sequence[Values]  # encode keys of every operating point of a model's codec entries


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
        model: name of the model folder that holds its parts; "": none.
        keys: schema of every key, in the order of training.
        count_keys: for every trained part the key of its number of steps or images; a number of 0:
            not trained, the bundled part is used.
        needs: other section -> its parts that this section's model contains.
    """

    key: ClassVar[str]
    model: ClassVar[str] = ""
    keys: ClassVar[Mapping[str, Schema]]
    count_keys: ClassVar[Mapping[str, str]]
    needs: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def schema(self) -> Schema:
        """JSON Schema of the section."""
        return section(self.keys)

    def sets(self, training: Values) -> list[str]:
        """Names of the training sets that the section's parts are trained on, in their order.

        They are those without a key `use`, and those whose `use` names the section.
        """
        data = training["data"]
        return [name for name, entry in data.items() if self.key in entry.get("use", [self.key])]

    def count_paths(self, parts: Sequence[str]) -> str:
        """Key paths of the counts of parts, for error texts."""
        return ", ".join(f"training.{self.key}.{part}.{self.count_keys[part]}" for part in parts)

    def with_count(self, training: Values) -> list[str]:
        """Parts with a count above 0."""
        values = training[self.key]
        return [part for part, key in self.count_keys.items() if values[part][key]]

    def check(self, training: Values) -> None:
        """ConfigError where values of the section contradict each other, in every run."""

    def needed(self, training: Values) -> Mapping[str, tuple[str, ...]]:
        """`needs`, of this configuration."""
        return self.needs

    def notices(self, training: Values, trained: Sequence[str]) -> list[str]:
        """Sentences to print before a run that trains these parts; none by default."""
        return []

    def trained(self, training: Values, points: Keys, parts: Sequence[str] | None) -> list[str]:
        """Parts that a run trains; all other parts are the bundled ones.

        Args:
            training: the section `training`.
            points: encode keys of every operating point that uses the model.
            parts: the parts that other models need, where no codec entry uses this one; None: all.

        Raises ConfigError where a part is left untrained that must be trained.
        """
        raise NotImplementedError

    def encoder_parts(self, training: Values, points: Keys, trained: Sequence[str]) -> list[str]:
        """Parts used by the encoder only that this run makes; none by default."""
        return []

    def check_model(self, folder: Path | None, points: Keys, encoder_parts: Sequence[str]) -> None:
        """Check that a given folder (None: the bundled one) has all used parts; else ModelError."""
        raise NotImplementedError

    def wrong_points(
        self, training: Values, points: Keys, models: Path | None
    ) -> list[IcmbenchError]:
        """Errors in the points of one codec entry that only its model can reveal, as unknown tags.

        `models` is the configured folder of all models; None: this run makes them.
        """
        return []

    def settings(self, training: Values, part: str, **wildcards: str) -> dict[str, Any]:
        """Job parameters of the training of a part: its own keys, and the shared ones it uses."""
        raise NotImplementedError
