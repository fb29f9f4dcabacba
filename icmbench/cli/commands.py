"""What each subcommand does."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from icmbench.codecs.base import Codec, Image, Key
from icmbench.codecs.registry import codecs as all_codecs
from icmbench.codecs.registry import recognise
from icmbench.codecs.strings import make_point, parse_keys, parse_string
from icmbench.errors import (
    ConfigError,
    CorruptStream,
    IcmbenchError,
    ImageError,
    TruncatedStream,
)
from icmbench.files import write_bytes
from icmbench.images import read_image, write_png


def encode(arguments: Namespace) -> None:
    """`icmbench encode IN OUT --codec STRING`."""
    point = parse_string(arguments.codec)
    image, note = read_image(arguments.image)
    if note:
        print(f"{arguments.image}: {note}")
    codec = _load(point.codec, arguments)
    stream = codec.encode(image, **dict(point.encode))
    if point.codec.cut_keys:
        stream = codec.truncate(stream, **dict(point.cut))
    write_bytes(arguments.output, stream)
    height, width = image.shape[:2]
    rate = 8 * len(stream) / (width * height)
    print(f"{arguments.output}: {point.encoding}, {len(stream)} bytes, {rate:.4f} bpp")


def truncate(arguments: Namespace) -> None:
    """`icmbench truncate IN OUT --at KEYS | --state N | --bytes N`."""
    codec, stream = _open(arguments)
    if not codec.cut_keys:
        raise ConfigError(f"{arguments.stream}: {codec.name} is not an embedded codec")
    if arguments.bytes is not None:
        short = _longest_within(codec, stream, arguments.bytes)
    else:
        text = arguments.at if arguments.at is not None else f"state={arguments.state}"
        short = codec.truncate(stream, **_keys(codec, "cut", text))
    write_bytes(arguments.output, short)
    print(f"{arguments.output}: {len(short)} of {len(stream)} bytes")


def decode(arguments: Namespace) -> None:
    """`icmbench decode IN OUT.png`."""
    codec, stream = _open(arguments)
    text = arguments.set
    if arguments.decoder:
        text = f"{text},decoder={arguments.decoder}".lstrip(",")
    keys = _keys(codec, "decode", text)
    try:
        image = _decode(codec, stream, keys, best_effort=arguments.best_effort)
    except IcmbenchError as error:
        raise type(error)(f"{arguments.stream}: {error}") from error
    write_png(arguments.output, image)
    print(f"{arguments.output}: {image.shape[1]}x{image.shape[0]}, decoded by {codec.name}")


def info(arguments: Namespace) -> None:
    """`icmbench info FILE`."""
    codec, stream = _open(arguments)
    for name, value in [("codec", codec.name), *codec.describe(stream)]:
        print(f"{name:<16} {value}")


def codecs(arguments: Namespace) -> None:
    """`icmbench codecs`."""
    for name, codec in all_codecs().items():
        print(f"{name}: {codec.title}. {codec.settings}")
        for group in ("encode", "cut", "decode"):
            for key, spec in sorted(getattr(codec, f"{group}_keys").items()):
                print(f"    {group:<6} {key:<10} {_key_text(spec)}")


def metrics(arguments: Namespace) -> None:
    """`icmbench metrics`."""
    from icmbench.metrics import METRICS, available

    _, missing = available(_path(arguments.weights))
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

    original, _ = read_image(arguments.original)
    image, _ = read_image(arguments.image)
    if original.shape != image.shape:
        sizes = " and ".join(f"{i.shape[1]}x{i.shape[0]}" for i in (original, image))
        both = f"{arguments.original} and {arguments.image}"
        raise ImageError(f"{both} differ in size: {sizes}")
    weights = _path(arguments.weights)
    names, missing = available(weights)
    if arguments.metrics:
        names = arguments.metrics.split(",")
        for name in names:
            if name in missing:
                raise ConfigError(f"{name}: {missing[name]}")
    values = Meter(names, weights)(original, image)
    if arguments.file:
        size = _read(arguments.file)
        rate = 8 * len(size) / (original.shape[0] * original.shape[1])
        print(f"{'bytes':<12} {len(size)}\n{'bpp':<12} {rate:.4f}")
    for name, value in values.items():
        print(f"{name:<12} {value:.4f} {METRICS[name].unit}".rstrip())


def _decode(codec: Codec, stream: bytes, keys: dict[str, Any], *, best_effort: bool) -> Image:
    try:
        return codec.decode(stream, **keys)
    except (TruncatedStream, CorruptStream) as error:
        if not best_effort:
            raise
        whole, what = codec.salvage(stream)
        print(f"damaged ({error}); decoding what is whole: {what}, {len(whole)} bytes")
        return codec.decode(whole, **keys)


def _load(codec: type[Codec], arguments: Namespace) -> Codec:
    return codec(models=_path(arguments.models), device=arguments.device)


def _open(arguments: Namespace) -> tuple[Codec, bytes]:
    stream = _read(arguments.stream)
    if not stream:
        raise TruncatedStream(f"{arguments.stream}: the file is empty")
    try:
        codec = recognise(stream)
    except IcmbenchError as error:
        raise type(error)(f"{arguments.stream}: {error}") from error
    return _load(codec, arguments), stream


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ImageError(f"{path}: is a directory") from None


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
    """The longest file that the codec's cuts give within `limit` bytes.

    Cut keys are whole numbers with a range, so their combinations can be tried.
    """
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


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
