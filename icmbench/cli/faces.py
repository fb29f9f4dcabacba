"""`icmbench crop-faces`: square crops of annotated faces."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from icmbench.cli.arguments import Sub, add_command


def add_crop_faces(sub: Sub) -> None:
    """Add the subcommand."""
    parser = add_command(
        sub,
        crop_faces,
        "cut annotated faces out of images, their 68 points moved along",
        "icmbench crop-faces helen/testset data/helen\n"
        "  icmbench crop-faces photos faces --landmarks photos/points.json --size 512",
    )
    parser.add_argument("images", help="folder of images, with .pts files beside them")
    parser.add_argument("out", help="folder that is made: PNG files and landmarks68.json")
    parser.add_argument("--landmarks", metavar="JSON", help="points of all images, instead of .pts")
    parser.add_argument("--size", type=int, default=256, help="side in pixels; default: 256")
    parser.add_argument(
        "--scale",
        type=float,
        default=1.5,
        help="side of what is cut out, in larger extents of the points; default: 1.5",
    )
    parser.add_argument(
        "--offset",
        type=float,
        help="added to every coordinate; default: 0.5 for JSON (from 0), -0.5 for .pts (from 1)",
    )


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
