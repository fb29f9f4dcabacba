# The weights of a run alone: nothing is coded.

from pathlib import Path

from icmbench.models.layout import CARD

CARDS = [file for file in plan.finished() if Path(file).name == CARD]


rule models:
    """All model folders that the run makes, each with its card."""
    input:
        CARDS or refusal("models: nothing is trained in this run, and no weights are copied"),
    localrule: True
