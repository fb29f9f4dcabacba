"""Peak memory of encoding and decoding an image with Diff-ICMH, measured in a fresh process.

`python -m icmbench.studies.peak_memory FOLDER DEVICE SIZE` encodes an image; with a stream on
standard input, it decodes the stream instead.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from PIL import Image as PillowImage

from icmbench.bitstream import container
from icmbench.codecs.diff_icmh.codec import CODEC_ID
from icmbench.codecs.diff_icmh.diff_icmh_model import DiffICMHModel, Image
from icmbench.codecs.diff_icmh.networks.lfgcm import STRIDE
from icmbench.core.errors import MeasurementError
from icmbench.core.memory import process_peak
from icmbench.core.processes import end_quickly, start_python
from icmbench.reporting.tables.complexity import STEPS


def astronaut(size: int) -> Image:
    """Image of all complexity measurements: scikit-image's astronaut, uint8 (size, size, 3)."""
    image = PillowImage.fromarray(skimage.data.astronaut())  # type: ignore[no-untyped-call]
    return np.asarray(image.resize((size, size), PillowImage.Resampling.LANCZOS))


def stream_header(model: DiffICMHModel, size: tuple[int, int]) -> container.Header:
    """Container header of the stream of an image of this height and width."""
    return container.image_header(CODEC_ID, model.digest, *size, STRIDE)


def peak_memory(folder: Path, device: str, size: int, stream: bytes = b"") -> float:
    """Measure the peak memory, in 10^6 bytes, of a fresh process that encodes `astronaut`.

    With `stream`, the process decodes it instead. On the CPU the peak is that of the whole
    process, with Python, torch and the model; on a GPU, of torch's allocations there. Raises
    MeasurementError where the process fails.
    """
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    module = "icmbench.studies.peak_memory"
    with start_python("-m", module, folder, device, size, **pipes) as process:
        output, errors = process.communicate(stream)
    if process.returncode:
        lines = errors.decode(errors="replace").strip().splitlines()
        raise MeasurementError(f"peak memory: the process failed: {lines[-1] if lines else ''}")
    return float(output.decode().split()[-1]) / 1e6


def _measure_peak(folder: str, device: str, size: str) -> None:
    """Encode or decode in this process; print its peak memory in bytes."""
    end_quickly()
    torch.set_num_threads(1)
    stream = sys.stdin.buffer.read()
    model = DiffICMHModel(Path(folder), device)
    if stream:
        parsed = container.parse(stream, codec_id=CODEC_ID, weights_digest=model.digest)
        model.decode(stream, parsed, sampler="model", steps=STEPS[0], guidance=0.0)
    else:
        image = astronaut(int(size))
        header = stream_header(model, (image.shape[0], image.shape[1]))
        model.encode(image, header, rate=model.own_rates[-1], tags="auto")
    print(torch.cuda.max_memory_allocated() if device == "cuda" else process_peak())


if __name__ == "__main__":
    _measure_peak(*sys.argv[1:])
