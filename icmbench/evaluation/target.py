"""The smallest files that meet a target: bisection of one key of a codec.

Every trial is a file that was decoded and measured. The key's two ends come first: they tell the
direction of the scale and the range within reach. A scale need not be monotone (some encoders'
files shrink at a higher quality), so the answer is the smallest file of all trials that meet the
target, and `Search.account` says where the trials were out of order.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from icmbench.codecs.base import Codec, Image, Key, Value, format_value
from icmbench.codecs.registry import codec_class
from icmbench.codecs.specs import OperatingPoint, make_point
from icmbench.core.errors import ConfigError, IcmbenchError, MeasurementError
from icmbench.core.suggest import unknown
from icmbench.metrics import METRICS, Metric, available
from icmbench.metrics.meter import Meter
from icmbench.metrics.registry import why_undefined

# Values of a key of real numbers that are tried at most: 10 bisections, 0.6 % apart for a
# Butteraugli distance.
STEPS: Final = 1024
DIGITS: Final = 4
_WIDE: Final = 10  # ratio of the ends from which the values are spaced by their logarithms


class Judge(Protocol):
    """Scores the reconstructions of a fixed list of images: one number for all of them.

    Attributes:
        name, unit, higher_is_better: of the score.
    """

    name: str
    unit: str
    higher_is_better: bool

    def __call__(self, decoded: Sequence[Image]) -> float:
        """The score; MeasurementError where it is undefined."""


class MetricJudge:
    """The mean of an image metric over the images."""

    def __init__(
        self, metric: Metric, images: Sequence[Image], weights: Path | None, device: str
    ) -> None:
        self.name, self.unit = metric.name, metric.unit
        self.higher_is_better = metric.higher_is_better
        self._images = images
        for image in images:
            if min(image.shape[:2]) < metric.min_side:
                reason = why_undefined(metric.name, *image.shape[:2])
                raise MeasurementError(f"{metric.name} is undefined: {reason}")
        self._meter = Meter([metric.name], weights, device if metric.uses_device else "cpu")

    def __call__(self, decoded: Sequence[Image]) -> float:
        """The mean; MeasurementError where the metric is undefined on an image."""
        scores = []
        for image, picture in zip(self._images, decoded, strict=True):
            score = self._meter(image, picture)[self.name]
            if np.isnan(score):
                reason = why_undefined(self.name, *image.shape[:2])
                raise MeasurementError(f"{self.name} is undefined: {reason}")
            scores.append(score)
        return float(np.mean(scores))


@dataclass(frozen=True)
class Target:
    """A score and the value to reach."""

    judge: Judge
    value: float

    def met_by(self, score: float) -> bool:
        """True where a score is at least as good as the target."""
        return score >= self.value if self.judge.higher_is_better else score <= self.value

    def gain(self, score: float) -> float:
        """The score with the sign that makes higher better."""
        return score if self.judge.higher_is_better else -score


def parse_target(text: str) -> tuple[str, float]:
    """Parse ``ssimulacra2=70``: name and value; ConfigError for another form."""
    name, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    if not equals or not np.isfinite(number):
        raise ConfigError(f"--target {text}: expected METRIC=VALUE, such as ssimulacra2=70")
    return name.strip(), number


def metric_of(name: str, weights: Path | None) -> Metric:
    """An image metric that can be computed here; MeasurementError where its network is missing."""
    if reason := available(weights)[1].get(name):
        raise MeasurementError(f"{name}: {reason}")
    return METRICS[name]


@dataclass(frozen=True)
class Steered:
    """A codec whose operating point depends on one key; the other keys are fixed."""

    codec: str
    fixed: Mapping[str, str]
    key: str
    values: Sequence[Value]
    """In increasing order."""

    def at(self, number: int) -> OperatingPoint:
        """The operating point at one of the values."""
        value = self.values[number]
        # As text: it has the value that the printed codec spec has.
        return make_point(self.codec, {**self.fixed, self.key: format_value(value)})


def steered_by(codec: str, fixed: Mapping[str, str], over: str | None) -> Steered:
    """Read `over`, ``KEY`` or ``KEY=LOW:HIGH``; None: the codec's rate key in its legal range.

    Raises ConfigError where there is no such key, where it is fixed or has no range.
    """
    cls = codec_class(codec)
    keys = {**cls.encode_keys, **cls.cut_keys}
    name, _, span = (over or cls.rate_key or "").partition("=")
    if not name:
        raise ConfigError(f"{codec} declares no key that steers its rate; name one: --over KEY")
    if name not in keys:
        raise ConfigError(f"--over: {unknown(f'encode or cut key of {codec}', name, keys)}")
    if name in fixed:
        raise ConfigError(f"{name} is what --target varies: leave it out of the codec spec")
    values = _values(name, keys[name], span)
    return Steered(codec, fixed, name, values)


def _values(name: str, key: Key, span: str) -> Sequence[Value]:
    low, high = key.low, key.high
    if span:
        first, colon, last = span.partition(":")
        if not colon:
            raise ConfigError(f"--over {name}={span}: expected KEY=LOW:HIGH")
        ends = key.convert(name, first), key.convert(name, last)
        low, high = (float(end) if key.kind is not str else None for end in ends)
        if low is not None and high is not None and low >= high:
            raise ConfigError(f"--over {name}={span}: LOW must be below HIGH")
    if key.kind is str:
        raise ConfigError(f"--over: {name} is text; only numbers can be bisected")
    if key.choices:
        chosen = [value for value in key.choices if not isinstance(value, str)]
        return sorted(v for v in chosen if low is None or high is None or low <= v <= high)
    if low is None or high is None:
        raise ConfigError(f"{name} declares no range; give one: --over KEY=LOW:HIGH")
    if key.kind is int:
        return range(int(low), int(high) + 1)
    wide = low > 0 and high / low > _WIDE
    between = np.geomspace(low, high, STEPS + 1) if wide else np.linspace(low, high, STEPS + 1)
    rounded = [float(f"{value:.{DIGITS}g}") for value in between[1:-1]]
    return [low, *dict.fromkeys(value for value in rounded if low < value < high), high]


@dataclass(frozen=True)
class Trial:
    """One operating point: a file per image, their score, and the codec's remarks on encodings."""

    point: OperatingPoint
    streams: tuple[bytes, ...]
    score: float
    remarks: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.streams))


class Search:
    """A bisection for one image, or for several at one common value of the key."""

    def __init__(
        self, codec: Codec, images: Sequence[Image], steered: Steered, target: Target
    ) -> None:
        self._codec, self._images = codec, images
        self._steered, self._target = steered, target
        self._encode = functools.cache(self._encode_once)
        self._trials: dict[int, Trial] = {}

    def run(self) -> Trial:
        """The smallest file of all trials that meet the target.

        Raises MeasurementError where no trial does, or the metric is undefined on the image;
        ConfigError where the key does not change the file; errors of the codec name the point.
        """
        first, last = self._trial(0), self._trial(len(self._steered.values) - 1)
        if first.streams == last.streams:
            raise ConfigError(f"{self._range()} gives equal files: name another key by --over")
        good, bad = (len(self._steered.values) - 1, 0)
        if self._target.gain(first.score) > self._target.gain(last.score):
            good, bad = bad, good
        if not self._meets(good):
            name = f"{self._target.judge.name}={self._target.value:g}"
            scores = f"{self._trial(bad).score:.4f} to {self._trial(good).score:.4f}"
            raise MeasurementError(f"{name} is out of reach: {self._range()} gives {scores}")
        while abs(good - bad) > 1 and not self._meets(bad):
            middle = (good + bad) // 2
            good, bad = (middle, bad) if self._meets(middle) else (good, middle)
        beyond = 2 * good - bad  # the next better value: its file is sometimes the smaller one
        if abs(good - bad) == 1 and 0 <= beyond < len(self._steered.values):
            self._trial(beyond)
        meeting = [self._trials[n] for n in sorted(self._trials) if self._meets(n)]
        return min(meeting, key=lambda trial: trial.size)

    def account(self, best: Trial) -> list[str]:
        """Lines on the search: score and target, its cost, and points out of order."""
        judge, number = self._target.judge, len(self._images)
        encodings = self._encode.cache_info().misses * number
        decodings = len(self._trials) * number
        lines = [
            f"{judge.name} {best.score:.4f} {judge.unit}".rstrip()
            + f", target {self._target.value:g}; "
            f"{_counted(encodings, 'encoding')}, {_counted(decodings, 'decoding')} "
            f"of {self._range()}"
        ]
        if swapped := self._out_of_order():
            lines.append(
                f"the scale is not monotone ({swapped}): the file is the smallest of the trials, "
                "another value may give a smaller one"
            )
        return lines

    def _out_of_order(self) -> str:
        """The first two trials of which the larger file is the worse one."""
        trials = [self._trials[number] for number in sorted(self._trials)]
        for one, two in pairwise(trials):
            small, large = sorted((one, two), key=lambda trial: trial.size)
            if self._target.gain(small.score) > self._target.gain(large.score):
                return " and ".join(
                    f"{t.point.spec}: {t.size} bytes, {t.score:.4f}" for t in (one, two)
                )
        return ""

    def _meets(self, number: int) -> bool:
        return self._target.met_by(self._trial(number).score)

    def _trial(self, number: int) -> Trial:
        if number not in self._trials:
            point = self._steered.at(number)
            try:
                self._trials[number] = self._measure(point)
            except IcmbenchError as error:
                remedy = f"limit the range by --over {self._steered.key}=LOW:HIGH"
                raise type(error)(f"{point.spec}: {error}; {remedy}") from error
        return self._trials[number]

    def _measure(self, point: OperatingPoint) -> Trial:
        streams, remarks = self._encode(point.encode)
        if point.codec.cut_keys:
            cut = dict(point.cut)
            streams = tuple(self._codec.truncate(stream, **cut) for stream in streams)
        keys = dict(point.decode)
        decoded = [self._codec.decode(stream, **keys) for stream in streams]
        return Trial(point, streams, self._target.judge(decoded), remarks)

    def _encode_once(
        self, keys: tuple[tuple[str, Value], ...]
    ) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
        streams, remarks = [], []
        for image in self._images:
            streams.append(self._codec.encode(image, **dict(keys)))
            remarks.append(self._codec.remark())
        return tuple(streams), tuple(remarks)

    def _range(self) -> str:
        ends = (format_value(self._steered.values[end]) for end in (0, -1))
        return f"{self._steered.codec} at {self._steered.key}={'..'.join(ends)}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
