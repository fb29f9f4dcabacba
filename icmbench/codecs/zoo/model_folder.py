"""Model folders of the zoo's codecs: one folder per training, made by `icmbench import-zoo`.

<models>/<codec>/<metric>-<quality>/codec.safetensors    the published weights
<models>/<codec>/<metric>-<quality>/tables.safetensors   integer tables of the entropy coder
<models>/<codec>/<metric>-<quality>/card.json            source, checksum, licence

No weights are bundled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from icmbench.codecs.zoo.published import METRICS, NAMES, QUALITIES, Training
from icmbench.core.errors import ModelError
from icmbench.models.layout import CARD, ModelLayout

if TYPE_CHECKING:  # the workflow reads names without loading torch
    from icmbench.bitstream.tables import Tables
    from icmbench.codecs.zoo.networks import FactorizedPrior

CODEC: Final = "codec"
TABLES: Final = "tables"
PARTS: Final = (CODEC, TABLES)
PRIOR: Final = "prior"  # tables of the factorised prior: one per channel
GAUSSIAN: Final = "gaussian"  # tables of y, one per scale
LICENCE: Final = "BSD-3-Clause-Clear (CompressAI, InterDigital)"
CONTENTS: Final = {
    CODEC: "transforms, hyperprior and factorised prior",
    TABLES: "integer tables of the entropy coder",
}
LAYOUTS: Final = {
    name: ModelLayout(name, f"published weights of {name} (CompressAI)", PARTS, (), CONTENTS)
    for name in NAMES
}


@dataclass(frozen=True)
class LoadedCodec:
    """Networks and tables of one training.

    Attributes:
        network: in evaluation mode; what decides bits in float64.
        prior: tables of the factorised prior.
        gaussian: tables of y; None: y has the factorised prior.
    """

    network: FactorizedPrior
    prior: Tables
    gaussian: Tables | None


def member_folder(models: Path, training: Training) -> Path:
    """The folder of a training."""
    return models / training.codec / training.member


def member_files(models: Path, training: Training) -> list[Path]:
    """The files that a training's streams depend on, and its card."""
    names = (*(f"{part}.safetensors" for part in PARTS), CARD)
    return [member_folder(models, training) / name for name in names]


def trainings(folder: Path) -> list[Training]:
    """The trainings in the model folder of a codec, sorted."""
    pattern = re.compile(rf"({'|'.join(METRICS)})-([1-8])")
    found = [pattern.fullmatch(path.name) for path in folder.glob("*") if path.is_dir()]
    return sorted(
        Training(folder.name, match[1], int(match[2]))
        for match in found
        if match and int(match[2]) in QUALITIES
    )


def load_codec(name: str, folder: Path) -> LoadedCodec:
    """The codec of a training's folder; ModelError naming file and tensor that are wrong."""
    from icmbench.bitstream.tables import Tables
    from icmbench.codecs.zoo.networks import ScaleHyperprior, ZooSettings, build_network
    from icmbench.models.tensors import load_arrays, load_built

    path, tables = (LAYOUTS[name].part_file(folder, part) for part in PARTS)
    network, settings, _ = load_built(path, ZooSettings, build_network)
    if settings.codec != name:
        raise ModelError(f"{path}: it holds {settings.codec}, expected {name}")
    arrays, _ = load_arrays(tables)
    gaussian = None
    try:
        prior = Tables.from_arrays(arrays, PRIOR)
        if isinstance(network, ScaleHyperprior):
            network.entropy_to_double()
            gaussian = Tables.from_arrays(arrays, GAUSSIAN)
    except ModelError as error:
        raise ModelError(f"{tables}: {error}") from None
    if len(prior) != (channels := len(network.entropy_bottleneck.quantiles)):
        raise ModelError(f"{tables}: {len(prior)} tables, the factorised prior has {channels}")
    return LoadedCodec(network, prior, gaussian)
