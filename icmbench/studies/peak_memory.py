"""Peak memory of coding a picture with Diff-ICMH, measured in a process of its own.

`python -m icmbench.studies.peak_memory FOLDER DEVICE SIZE` measures it of encoding, or of decoding
the stream on standard input.
"""

from __future__ import annotations

import resource
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
from icmbench.core.processes import end_quickly, start_python
from icmbench.reporting.tables.complexity import STEPS


def timed_picture(size: int) -> Image:
    """The picture that is timed: scikit-image's astronaut at size x size, uint8 (H, W, 3)."""
    picture = PillowImage.fromarray(skimage.data.astronaut())  # type: ignore[no-untyped-call]
    return np.asarray(picture.resize((size, size), PillowImage.Resampling.LANCZOS))


def picture_header(model: DiffICMHModel, size: tuple[int, int]) -> container.Header:
    """The container header of a stream of a picture of this height and width."""
    return container.image_header(CODEC_ID, model.digest, *size, STRIDE)


def peak_memory(folder: Path, device: str, size: int, stream: bytes = b"") -> float:
    """Peak memory in 10^6 bytes of a fresh process that loads the model and encodes a picture.

    That is `timed_picture`. With a stream, of a process that decodes the stream instead. On the
    CPU the whole process's, with Python and torch; on a GPU, what torch had allocated there.
    Raises MeasurementError where the process fails.
    """
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    module = "icmbench.studies.peak_memory"
    with start_python("-m", module, folder, device, size, **pipes) as process:
        output, errors = process.communicate(stream)
    if process.returncode:
        said = errors.decode(errors="replace").strip().splitlines()
        raise MeasurementError(f"peak memory: the process failed: {said[-1] if said else ''}")
    return float(output.decode().split()[-1]) / 1e6


def _measure_peak(folder: str, device: str, size: str) -> None:
    """The measuring process: print the peak in bytes."""
    end_quickly()
    torch.set_num_threads(1)
    stream = sys.stdin.buffer.read()
    model = DiffICMHModel(Path(folder), device)
    if stream:
        parsed = container.parse(stream, codec_id=CODEC_ID, weights_digest=model.digest)
        model.decode(stream, parsed, sampler="model", steps=STEPS[0], guidance=0.0)
    else:
        image = timed_picture(int(size))
        header = picture_header(model, (image.shape[0], image.shape[1]))
        model.encode(image, header, rate=model.rates, tags="auto")
    print(torch.cuda.max_memory_allocated() if device == "cuda" else _process_peak())


def _process_peak() -> int:
    """Bytes that this process had resident at most."""
    status = Path("/proc/self/status")
    if not status.is_file():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    # Linux hands `ru_maxrss` down through fork and exec: it would be the parent's peak.
    line = next(
        line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM")
    )
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    _measure_peak(*sys.argv[1:])
