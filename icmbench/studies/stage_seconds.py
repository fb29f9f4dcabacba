"""Seconds of every stage of Diff-ICMH's encoder and decoder."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from icmbench.bitstream import container
from icmbench.codecs.diff_icmh.diff_icmh_model import DiffICMHModel, Image
from icmbench.codecs.diff_icmh.entropy.stream import Coded, code_sections, read_sections
from icmbench.models.latent import SCALE
from icmbench.reporting.tables.complexity import (
    DECODE,
    DECODING,
    ENCODE,
    ENCODING,
    SAMPLING,
    SAMPLING_STEP,
    STEPS,
)
from icmbench.studies.peak_memory import astronaut, stream_header


def stage_seconds(model: DiffICMHModel, size: int, repeats: int) -> tuple[dict[str, float], bytes]:
    """Measure median seconds of every stage for `astronaut` on one thread; also return its stream.

    The rate is the highest one; sampler and guidance are the model's defaults. `encode` and
    `decode` are sums of their stages.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            return _timed_stages(model, astronaut(size), _Clock(model.device, repeats))
    finally:
        torch.set_num_threads(threads)


def _timed_stages(
    model: DiffICMHModel, image: Image, clock: _Clock
) -> tuple[dict[str, float], bytes]:
    codec, size = model.codec, (image.shape[0], image.shape[1])
    vocabulary = len(model.prior.vocabulary)
    whole = clock.run("latent", lambda: model.autoencoder.latent(image))
    latent = whole.astype(np.float32) / np.float32(SCALE)
    # Without tags there is no guidance: an image without predicted tags gets the first one.
    seen = clock.run("tags", lambda: model.tags(image, latent))
    tags: tuple[int, ...] = seen or ((0,) if vocabulary else ())
    rate = model.rates - 1 if codec.lfgcm.settings.rates else None
    pixels = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32) / 255)
    ref = torch.from_numpy(np.ascontiguousarray(latent.transpose(2, 0, 1)[None]))
    pixels, ref = pixels.to(model.device), ref.to(model.device)
    y, z = clock.run("analysis", lambda: codec.lfgcm.analyse(pixels, ref, rate))
    y, z = y.cpu(), z.cpu()
    sections = clock.run(
        "entropy encoding",
        lambda: tuple(code_sections(codec, size, y, z, rate, tags, vocabulary)[0]),
    )
    coded: Coded = clock.run(
        "entropy decoding", lambda: read_sections(codec, sections, size, vocabulary)
    )
    c = clock.run("synthesis", lambda: model.conditioning(coded))
    how = {key: codec.defaults[key] for key in ("sampler", "guidance")}
    drawn = clock.run(
        SAMPLING, lambda: model.sample(c, [coded.tags], steps=STEPS[0], seeds=[0], **how)
    )
    clock.run("picture", lambda: model.show(drawn, size))
    found = clock.medians
    found[SAMPLING_STEP] = found[SAMPLING] / STEPS[0]
    found[ENCODE] = sum(found[stage] for stage in ENCODING)
    found[DECODE] = sum(found[stage] for stage in DECODING)
    return found, container.pack(stream_header(model, size), list(sections))


class _Clock:
    """Runs a stage once to warm up and `repeats` times more, and keeps the median."""

    def __init__(self, device: str, repeats: int) -> None:
        self.device = device
        self.repeats = repeats
        self.medians: dict[str, float] = {}

    def run(self, stage: str, action: Callable[[], Any]) -> Any:
        result, seconds = action(), []
        for _ in range(self.repeats):
            self._wait()
            begin = time.perf_counter()
            result = action()
            self._wait()
            seconds.append(time.perf_counter() - begin)
        self.medians[stage] = statistics.median(seconds)
        return result

    def _wait(self) -> None:
        if self.device == "cuda":  # which answers before it has finished
            torch.cuda.synchronize()
