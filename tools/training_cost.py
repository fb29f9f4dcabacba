"""Cost of training Diff-ICMH's codec at published size, computed from shapes: memory and GPU-hours.

    python tools/training_cost.py                 # a table: GPU memory of micro-batches of 512 px
    python tools/training_cost.py --share 0.3     # hours at another share of a GPU's peak

Nothing is measured: memory is that of the tensors that live at once, hours are operations over a
share of the GPU's dense peak.
"""

from __future__ import annotations

import argparse

from icmbench.codecs.diff_icmh.networks.control import ControlSettings
from icmbench.codecs.diff_icmh.networks.transforms import LfgcmSettings
from icmbench.codecs.diff_icmh.networks.unet import UnetSettings
from icmbench.codecs.diff_icmh.training.losses import LossWeights
from icmbench.studies.complexity import PUBLISHED_AUTOENCODER, PUBLISHED_TEXT, PUBLISHED_TOKENS
from icmbench.studies.training_cost import CONTEXT, MARGIN, TrainedSizes, step_cost

RATES = (32.0, 16.0, 8.0, 4.0, 2.0)
STEPS, BATCH, CROP = 400_000, 16, 512  # both stages
# 10^12 operations a second, dense, of vendors' data sheets: bfloat16 on tensor cores, and float32.
PEAKS = {"A100": (312, 19.5), "H100": (989, 67)}
PUBLISHED = TrainedSizes(
    UnetSettings(),
    LfgcmSettings(rates=len(RATES)),
    ControlSettings(),
    "diffusers-kl",
    {**PUBLISHED_AUTOENCODER},
    PUBLISHED_TOKENS,
    PUBLISHED_TEXT,
)


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--share", type=float, default=0.4, help="of a GPU's peak, assumed")
    share = parser.parse_args().share
    gpus = " | ".join(f"{name}, hours" for name in PEAKS)
    print(f"| precision | recompute | micro-batch | memory, GB | TFLOP a crop | {gpus} |")
    print("|---|---|---|---|---|" + "---|" * len(PEAKS))
    for bfloat16, recompute, micro_batch in (
        (False, False, 1), (False, True, 1), (True, False, 1), (True, False, 4), (True, True, 1),
        (True, True, 4), (True, True, 16),
    ):  # fmt: skip
        cost = step_cost(
            PUBLISHED, LossWeights(lambda_rate=RATES), crop=CROP, micro_batch=micro_batch,
            bfloat16=bfloat16, recompute=recompute, averaged=False,
        )  # fmt: skip
        memory = (cost.memory * MARGIN + CONTEXT) / 1e9
        crop = cost.flops / micro_batch / 1e12
        hours = [
            STEPS * BATCH * crop / (peaks[not bfloat16] * share) / 3600 for peaks in PEAKS.values()
        ]
        cells = ["bfloat16" if bfloat16 else "float32", "yes" if recompute else "no", micro_batch]
        values = [*cells, f"{memory:.0f}", f"{crop:.1f}", *(f"{hour:,.0f}" for hour in hours)]
        print(f"| {' | '.join(map(str, values))} |", flush=True)


if __name__ == "__main__":
    main()
