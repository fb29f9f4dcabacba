"""`bmshj2018-factorized`, `bmshj2018-hyperprior`, `mbt2018-mean`: the learned codecs of reference.

Networks and weights are CompressAI's, entropy coder and container are ours: every rate is that of a
file. The weights are fetched and imported (docs/zoo.md).
"""

from __future__ import annotations

from icmbench.codecs.zoo.base import ZooCodec
from icmbench.codecs.zoo.published import FACTORIZED, HYPERPRIOR, MEAN


class FactorizedCodec(ZooCodec):
    """Factorised prior (Ballé et al. 2018, arXiv 1802.01436)."""

    name = FACTORIZED
    title = "bmshj2018-factorized"
    model_name = FACTORIZED
    codec_id = 3
    settings = "published weights (CompressAI), GDN transforms, factorised prior in integer tables"


class HyperpriorCodec(ZooCodec):
    """Scale hyperprior (Ballé et al. 2018, arXiv 1802.01436)."""

    name = HYPERPRIOR
    title = "bmshj2018-hyperprior"
    model_name = HYPERPRIOR
    codec_id = 4
    settings = (
        "published weights (CompressAI), GDN transforms, scale hyperprior in float64 and integer "
        "tables"
    )


class MeanCodec(ZooCodec):
    """Mean and scale hyperprior (Minnen et al. 2018, arXiv 1809.02736), no context model."""

    name = MEAN
    title = "mbt2018-mean"
    model_name = MEAN
    codec_id = 5
    settings = (
        "published weights (CompressAI), GDN transforms, mean and scale hyperprior in float64 and "
        "integer tables"
    )
