"""`make bench`, second part: where MPD's time goes, and how it grows from 0.4 to 12 megapixels.

Each size runs in a process of its own, with the bundled weights; peak memory is that process's. The
image is the bundled motorcycle, resampled, with grain, so that a large image has as many
different cells as a small one.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
from PIL import Image as PillowImage

from icmbench.core.processes import run_python

SIZES = ((768, 512), (4000, 3000))


def picture(width: int, height: int) -> np.ndarray:
    """The photograph at a size, with grain of two code values."""
    from icmbench.datasets.photos import PHOTOS

    source = PillowImage.fromarray(np.asarray(PHOTOS["motorcycle"].load()))
    large = np.asarray(source.resize((width, height), PillowImage.Resampling.LANCZOS))
    grain = np.random.default_rng(1).normal(0, 2, large.shape)
    return np.clip(np.rint(large + grain), 0, 255).astype(np.uint8)


def measure(width: int, height: int, repeat: int, threads: int) -> None:
    """Print one Markdown row per stage."""
    import torch

    torch.set_num_threads(threads)
    from icmbench.codecs.mpd.codec import Mpd
    from icmbench.codecs.mpd.networks.reverse import reverse
    from icmbench.codecs.mpd.palette.clustering import default_features
    from icmbench.codecs.mpd.stream.encoder import encode_latent
    from icmbench.codecs.mpd.stream.refinement import REFINEMENTS

    image = picture(width, height)
    codec = Mpd()
    model = codec.model
    codec.decode(codec.encode(image[:128, :128]))
    latent = model.latent(image)
    stream = codec.encode(image)
    parsed = codec._parse(stream)
    finest = model.states(parsed)[-1]
    stages: dict[str, Callable[[], object]] = {
        "latent (E)": lambda: model.latent(image),
        "clustering and coding": lambda: encode_latent(
            latent,
            adaptive=model.contexts,
            carried=model.autoencoder.carried,
            refine=REFINEMENTS,
            features=default_features(model.autoencoder.carried_latent(latent)),
        ),
        "entropy decoding": lambda: model.states(parsed),
        "reverse process (R)": lambda: reverse(model.network, finest, "regression", model.noise, 0),
        "encode, whole": lambda: codec.encode(image),
        "decode, whole": lambda: codec.decode(stream),
    }
    for name, task in stages.items():
        taken = []
        for _ in range(repeat):
            start = time.perf_counter()
            task()
            taken.append(time.perf_counter() - start)
        print(f"| {name} | {width}x{height} | {threads} | {np.median(taken):.3f} |", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| peak memory | {width}x{height} | {threads} | {peak:.0f} MB |", flush=True)


def main() -> None:
    """All sizes, or one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, help="width and height; default: all sizes")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.size:
        measure(*arguments.size, arguments.repeat, arguments.threads)
        return
    print("\n| MPD | picture | threads | seconds |\n|---|---|---:|---:|", flush=True)
    for width, height in SIZES:
        for threads in (1, 2):
            command = [__file__, "--size", width, height]
            repeat = str(arguments.repeat if width < 1000 else 1)
            command += ["--repeat", repeat, "--threads", str(threads)]
            run_python(*command)


if __name__ == "__main__":
    main()
