"""`icmbench encode`: one image to one file, at an operating point, a size or a quality."""

from __future__ import annotations

from argparse import Namespace

from icmbench.cli.arguments import Sub, add_command, add_models, path_if_given, positive, written
from icmbench.cli.files import check_output, check_suffix, load_codec, read_picture
from icmbench.codecs.specs import GROUPS, OperatingPoint, make_point, parse_keys, parse_spec
from icmbench.core.errors import ConfigError
from icmbench.core.files import write_bytes


def add_encode(sub: Sub) -> None:
    """Add the subcommand."""
    parser = add_command(
        sub,
        encode,
        "code an image and print the size of the file",
        "icmbench encode photo.png photo.webp --codec webp:quality=20\n"
        "  icmbench encode photo.png photo.jxl --codec jxl:distance=3,scale=0.5\n"
        "  icmbench encode photo.png photo.icb --codec mpd --bytes 2000\n"
        "  icmbench encode photo.png photo.avif --codec avif --target ssimulacra2=70\n"
        "  icmbench encode photo.png photo.jxl --codec jxl --target psnr_y=35 --over distance=1:9",
    )
    parser.add_argument("image", help="PNG, JPEG, WebP or TIFF")
    parser.add_argument("output", type=written, help="the coded file")
    parser.add_argument("--codec", required=True, help="codec spec, e.g. webp:quality=20")
    goal = parser.add_mutually_exclusive_group()
    goal.add_argument(
        "--bytes", type=positive, help="the best file of at most so many bytes (embedded codecs)"
    )
    goal.add_argument(
        "--target",
        metavar="METRIC=VALUE",
        help="the smallest file found of at least this quality, by bisection of the codec's rate "
        "key, which the spec leaves out",
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
    from icmbench.evaluation.target import Search, parse_target, steered_by

    name, _, rest = arguments.codec.strip().partition(":")
    target = parse_target(arguments.target, path_if_given(arguments.weights))
    steered = steered_by(name, parse_keys(rest), arguments.over)
    _check_names(arguments, steered.at(0))
    image = read_picture(arguments.image)
    codec = load_codec(steered.at(0).codec, arguments)
    search = Search(codec, image, steered, target, path_if_given(arguments.weights))
    best = search.run()
    _write(arguments, best.point, best.stream, image.shape[0] * image.shape[1], best.remark)
    for line in search.account(best):
        print(line)


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
