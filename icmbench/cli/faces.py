"""`icmbench crop-faces`: square crops of annotated faces."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path


def crop_faces(arguments: Namespace) -> None:
    """`icmbench crop-faces IMAGES OUT [--landmarks JSON]`."""
    from icmbench.datasets.crop_faces import LANDMARKS, crop_faces

    out = Path(arguments.out).expanduser()
    done = crop_faces(
        Path(arguments.images).expanduser(),
        out,
        Path(arguments.landmarks).expanduser() if arguments.landmarks else None,
        size=arguments.size,
        scale=arguments.scale,
        offset=arguments.offset,
    )
    for text in done.skipped:
        print(f"icmbench: skipped: {text}", file=sys.stderr)
    size = f"{arguments.size}x{arguments.size}"
    print(
        f"{out}: {done.faces} faces of {size} pixels, {len(done.skipped)} skipped; "
        f"{done.beyond} reach beyond their image, {done.enlarged} were enlarged"
    )
    print(f"{out / LANDMARKS}: their points, for the data set landmarks")
