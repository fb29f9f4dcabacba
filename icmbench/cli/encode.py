"""`icmbench encode`: images to files, at an operating point, a size, a quality or an accuracy."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from icmbench.cli.arguments import Sub, add_command, add_models, path_if_given, positive, written
from icmbench.cli.files import check_output, check_suffix, load_codec, read_picture
from icmbench.codecs.specs import GROUPS, OperatingPoint, make_point, parse_keys, parse_spec
from icmbench.core.errors import ConfigError
from icmbench.core.files import write_bytes
from icmbench.core.suggest import unknown

if TYPE_CHECKING:
    from icmbench.codecs.base import Image
    from icmbench.evaluation.target import Judge, Trial


def add_encode(sub: Sub) -> None:
    """Add the subcommand."""
    parser = add_command(
        sub,
        encode,
        "code an image, or a folder of them, and print the sizes of the files",
        "icmbench encode photo.png photo.webp --codec webp:quality=20\n"
        "  icmbench encode photo.png photo.jxl --codec jxl:distance=3,scale=0.5\n"
        "  icmbench encode photo.png photo.icb --codec mpd --bytes 2000\n"
        "  icmbench encode photo.png photo.avif --codec avif --target ssimulacra2=70\n"
        "  icmbench encode photo.png photo.jxl --codec jxl --target psnr_y=35 --over distance=1:9\n"
        "  icmbench encode photos/ coded/ --codec webp --target ms_ssim=0.98\n"
        "  icmbench encode scans/ coded/ --codec avif --target ocr_cer=0.02",
    )
    parser.add_argument("image", help="PNG, JPEG, WebP or TIFF; with --target a folder of them")
    parser.add_argument("output", type=written, help="the coded file, or a new folder of them")
    parser.add_argument("--codec", required=True, help="codec spec, e.g. webp:quality=20")
    goal = parser.add_mutually_exclusive_group()
    goal.add_argument(
        "--bytes", type=positive, help="the best file of at most so many bytes (embedded codecs)"
    )
    goal.add_argument(
        "--target",
        metavar="METRIC=VALUE",
        help="the smallest files found of at least this quality, by bisection of the codec's rate "
        "key, which the spec leaves out; of a folder the mean over its images, at one value of the "
        "key. Quality: an image metric, or what a task still finds of what it finds in the "
        "originals, such as ocr_cer or top5",
    )
    parser.add_argument(
        "--over",
        metavar="KEY[=LOW:HIGH]",
        help="key to bisect for --target, and its range; default: the codec's rate key",
    )
    parser.add_argument("--weights", metavar="DIR", help="weights of learned metrics (--target)")
    add_models(parser)


def encode(arguments: Namespace) -> None:
    """`icmbench encode IN OUT --codec SPEC [--bytes N | --target METRIC=VALUE]`."""
    if arguments.target is not None:
        return _encode_to_quality(arguments)
    if Path(arguments.image).is_dir():
        raise ConfigError(f"{arguments.image}: is a folder; name an image, or give --target")
    if arguments.over is not None:
        raise ConfigError("--over: it names the key that --target is met by; give --target, too")
    point = _with_size(parse_spec(arguments.codec), arguments.bytes)
    _check_names(arguments, point)
    image = read_picture(arguments.image)
    codec = load_codec(point.codec, arguments)
    stream = codec.encode(image, **dict(point.encode))
    remark = codec.remark()
    if point.codec.cut_keys:
        stream = codec.truncate(stream, **dict(point.cut))
    _write(arguments, point, stream, image.shape[0] * image.shape[1], remark)


def _with_size(point: OperatingPoint, limit: int | None) -> OperatingPoint:
    """The point with a target size, which its codec must be able to aim at."""
    if limit is None:
        return point
    if "bytes" not in point.codec.encode_keys:
        raise ConfigError(f"--bytes: {point.codec.name} cannot aim at a size; try its own keys")
    values = {key: value for group in GROUPS for key, value in point.of(group)}
    return make_point(point.codec.name, {**values, "bytes": limit})


def _encode_to_quality(arguments: Namespace) -> None:
    # Imported here: metrics take seconds to load, which other encodings need not wait for.
    from icmbench.evaluation.target import Search, Target, parse_target, steered_by

    name, _, rest = arguments.codec.strip().partition(":")
    wanted, value = parse_target(arguments.target)
    steered = steered_by(name, parse_keys(rest), arguments.over)
    first = steered.at(0)
    folder = Path(arguments.image).is_dir()
    if not folder:
        _check_names(arguments, first)
    paths = _pictures(arguments) if folder else [Path(arguments.image)]
    make = _judge_of(wanted, arguments)  # a wrong name is named before images are read
    images = [read_picture(str(path)) for path in paths]
    codec = load_codec(first.codec, arguments)
    search = Search(codec, images, steered, Target(make(images, codec.device), value))
    best = search.run()
    if folder:
        _write_folder(arguments, paths, images, best)
    else:
        (stream,), (remark,) = best.streams, best.remarks
        _write(arguments, best.point, stream, images[0].shape[0] * images[0].shape[1], remark)
    for line in search.account(best):
        print(line)


def _judge_of(name: str, arguments: Namespace) -> Callable[[Sequence[Image], str], Judge]:
    """Make the judge of a target of images and a device; errors name an unknown score."""
    from icmbench.evaluation.target import MetricJudge, metric_of
    from icmbench.metrics import METRICS
    from icmbench.tasks.judge import TaskJudge, task_scores

    if name in METRICS:
        weights = path_if_given(arguments.weights)
        metric = metric_of(name, weights)
        return lambda images, device: MetricJudge(metric, images, weights, device)
    known = task_scores()
    if name not in known:
        raise ConfigError(unknown("metric", name, [*METRICS, *known]))
    kind, score = known[name]
    return lambda images, device: TaskJudge(kind, score, images, arguments.device)


def _pictures(arguments: Namespace) -> list[Path]:
    """The images of a folder, sorted by name; ConfigError where the output cannot be a new one."""
    output = Path(arguments.output)
    if output.exists():
        raise ConfigError(f"{output}: exists; name a new folder for the coded files")
    suffixes = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"}
    found = sorted(
        path
        for path in Path(arguments.image).iterdir()
        if path.suffix.lower() in suffixes and path.is_file() and not path.name.startswith(".")
    )
    if not found:
        raise ConfigError(f"{arguments.image}: no PNG, JPEG, WebP or TIFF file in this folder")
    # Some file systems do not tell A from a.
    stems = [path.stem.casefold() for path in found]
    if twice := sorted({path.stem for path in found if stems.count(path.stem.casefold()) > 1}):
        raise ConfigError(
            f"{arguments.image}: two images are named {twice[0]}: their files would have one name"
        )
    return found


def _write_folder(
    arguments: Namespace, paths: Sequence[Path], images: Sequence[Image], best: Trial
) -> None:
    point = best.point
    extension = point.codec.file_extension(**dict(point.encode))
    for path, stream, remark in zip(paths, best.streams, best.remarks, strict=True):
        if remark:
            print(f"{path}: {remark}")
        write_bytes(Path(arguments.output) / f"{path.stem}.{extension}", stream)
    rates = [
        8 * len(stream) / (image.shape[0] * image.shape[1])
        for stream, image in zip(best.streams, images, strict=True)
    ]
    print(
        f"{arguments.output}: {point.spec}, {len(paths)} files of {best.size} bytes, "
        f"{sum(rates) / len(rates):.4f} bpp on average"
    )
    if extension != point.codec.extension:
        print("only icmbench can decode these files: the original size precedes each")


def _check_names(arguments: Namespace, point: OperatingPoint) -> None:
    check_output(arguments.image, arguments.output)
    extension = point.codec.file_extension(**dict(point.encode))
    check_suffix(arguments.output, point.codec, extension)


def _write(
    arguments: Namespace, point: OperatingPoint, stream: bytes, pixels: int, remark: str
) -> None:
    if remark:
        print(f"{arguments.image}: {remark}")
    write_bytes(arguments.output, stream)
    text = point.encoding if arguments.target is None else point.spec
    print(f"{arguments.output}: {text}, {len(stream)} bytes, {8 * len(stream) / pixels:.4f} bpp")
    if point.codec.file_extension(**dict(point.encode)) != point.codec.extension:
        print("only icmbench can decode this file: the original size precedes it")
