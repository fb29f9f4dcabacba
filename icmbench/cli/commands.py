"""Functions of the subcommands."""

from __future__ import annotations

import math
from argparse import Namespace
from pathlib import Path
from typing import Any, TypeVar

from icmbench.cli.arguments import path_if_given
from icmbench.cli.files import check_output, load_codec, named, read_file, read_picture
from icmbench.codecs.base import Codec, Image, Key
from icmbench.codecs.registry import codec_class, every_codec, recognise
from icmbench.codecs.specs import make_point, parse_keys
from icmbench.core.errors import (
    ConfigError,
    CorruptStream,
    ImageError,
    MeasurementError,
    TruncatedStream,
)
from icmbench.core.files import write_bytes
from icmbench.core.images.image_files import write_png
from icmbench.core.suggest import unknown

T = TypeVar("T")


def truncate(arguments: Namespace) -> None:
    """`icmbench truncate IN OUT --at KEYS | --state N | --bytes N`."""
    check_output(arguments.stream, arguments.output)
    codec, stream = _open(arguments)
    if not codec.cut_keys:
        raise ConfigError(f"{arguments.stream}: {codec.name} is not an embedded codec")
    if arguments.bytes is not None:
        limit = arguments.bytes
        short = named(arguments.stream, lambda: _longest_within(codec, stream, limit))
    else:
        text = arguments.at if arguments.at is not None else f"state={arguments.state}"
        keys = _keys(codec, "cut", text)
        short = named(arguments.stream, lambda: codec.truncate(stream, **keys))
    write_bytes(arguments.output, short)
    print(f"{arguments.output}: {len(short)} of {len(stream)} bytes")


def decode(arguments: Namespace) -> None:
    """`icmbench decode IN OUT.png`."""
    check_output(arguments.stream, arguments.output)
    if Path(arguments.output).suffix.lower() != ".png":
        raise ConfigError(f"{arguments.output}: reconstructions are written as PNG: name it .png")
    codec, stream = _open(arguments)
    text = arguments.set
    if arguments.decoder:
        text = f"{text},decoder={arguments.decoder}".lstrip(",")
    keys = _keys(codec, "decode", text)
    best_effort = arguments.best_effort
    image = named(arguments.stream, lambda: _decode(codec, stream, keys, best_effort=best_effort))
    write_png(arguments.output, image)
    print(f"{arguments.output}: {image.shape[1]}x{image.shape[0]}, decoded by {codec.name}")


def info(arguments: Namespace) -> None:
    """`icmbench info FILE`."""
    codec, stream = _open(arguments)
    lines = named(arguments.stream, lambda: codec.describe(stream))
    for name, value in [("codec", codec.name), *lines]:
        print(f"{name:<16} {value}")


def codecs(arguments: Namespace) -> None:
    """`icmbench codecs`."""
    for name, codec in every_codec().items():
        print(f"{name}: {codec.title}. {codec.settings}")
        if reason := codec.unavailable():
            print(f"    not available: {reason}")
        for group in ("encode", "cut", "decode"):
            for key, spec in sorted(getattr(codec, f"{group}_keys").items()):
                print(f"    {group:<6} {key:<10} {_key_text(spec)}")


def tasks(arguments: Namespace) -> None:
    """`icmbench tasks`."""
    from icmbench.tasks.registry import kinds

    for name, kind in kinds().items():
        first = (kind.__doc__ or "").strip().split("\n")[0]
        print(f"{name}: {first}")
        for key, option in kind.options.items():
            default = "needed" if option.required else f"default: {option.default}"
            print(f"    {key:<16} {option.kind.__name__}; {default}; {option.help}")


def metrics(arguments: Namespace) -> None:
    """`icmbench metrics`."""
    from icmbench.metrics import METRICS, available

    _, missing = available(path_if_given(arguments.weights))
    for name, metric in METRICS.items():
        better = "higher" if metric.higher_is_better else "lower"
        unit = f" [{metric.unit}]" if metric.unit else ""
        print(f"{name}: {metric.title}{unit}, {better} is better. {metric.settings}")
        if name in missing:
            print(f"    not available: {missing[name]}")


def compare(arguments: Namespace) -> None:
    """`icmbench compare A B`."""
    from icmbench.metrics import METRICS, available
    from icmbench.metrics.meter import Meter
    from icmbench.metrics.registry import why_undefined

    original, image = read_picture(arguments.original), read_picture(arguments.image)
    if original.shape != image.shape:
        sizes = " and ".join(f"{i.shape[1]}x{i.shape[0]}" for i in (original, image))
        both = f"{arguments.original} and {arguments.image}"
        raise ImageError(f"{both} differ in size: {sizes}")
    weights = path_if_given(arguments.weights)
    names, missing = available(weights)
    if arguments.metrics:
        names = [name.strip() for name in arguments.metrics.split(",")]
        for name in names:
            if name not in METRICS:
                raise ConfigError(unknown("metric", name, METRICS))
            if name in missing:
                raise MeasurementError(f"{name}: {missing[name]}")
    values = Meter(names, weights)(original, image)
    if arguments.file:
        size = read_file(arguments.file)
        rate = 8 * len(size) / (original.shape[0] * original.shape[1])
        print(f"{'bytes':<12} {len(size)}\n{'bpp':<12} {rate:.4f}")
    for name, value in values.items():
        unit = METRICS[name].unit
        if math.isnan(value):
            unit = f"undefined: {why_undefined(name, *original.shape[:2])}"
        print(f"{name:<12} {value:.4f} {unit}".rstrip())


def _decode(codec: Codec, stream: bytes, keys: dict[str, Any], *, best_effort: bool) -> Image:
    try:
        return codec.decode(stream, **keys)
    except (TruncatedStream, CorruptStream) as error:
        if not best_effort:
            raise
        whole, what = codec.salvage(stream)
        print(f"damaged ({error}); decoding what is whole: {what}, {len(whole)} bytes")
        return codec.decode(whole, **keys)


def _open(arguments: Namespace) -> tuple[Codec, bytes]:
    stream = read_file(arguments.stream)
    if not stream:
        raise TruncatedStream(f"{arguments.stream}: the file is empty")
    if name := getattr(arguments, "codec", ""):  # of `decode` and `info`
        return load_codec(codec_class(name), arguments), stream
    codec = named(arguments.stream, lambda: recognise(stream))
    return load_codec(codec, arguments), stream


def _keys(codec: Codec, group: str, text: str) -> dict[str, Any]:
    """Values of one group of keys; the other groups' keys are refused by name."""
    given = parse_keys(text)
    known = getattr(codec, f"{group}_keys")
    for key in given:
        if key not in known:
            has = ", ".join(sorted(known)) or "none"
            raise ConfigError(f"{key} is not a {group} key of {codec.name} (it has: {has})")
    # Required encode keys do not matter here: the stream is already coded.
    return dict(make_point(codec.name, given, groups=(group,)).of(group))


def _longest_within(codec: Codec, stream: bytes, limit: int) -> bytes:
    """The longest file that one of the codec's cut keys gives within `limit` bytes."""
    candidates = [stream]
    for key, spec in codec.cut_keys.items():
        if spec.low is not None and spec.high is not None:
            for value in range(int(spec.low), int(spec.high) + 1):
                try:
                    candidates.append(codec.truncate(stream, **{key: value}))
                except TruncatedStream:
                    continue
    fitting = [candidate for candidate in candidates if len(candidate) <= limit]
    if not fitting:
        least = min(map(len, candidates))
        raise ConfigError(f"--bytes {limit}: the shortest legal file has {least} bytes")
    return max(fitting, key=len)


def _key_text(spec: Key) -> str:
    default = "required" if spec.default is None else f"default {spec.default}"
    return f"{spec.legal()} ({default}). {spec.help}"
