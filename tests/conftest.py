"""Fixtures that several test files share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import official
import pytest
import yaml
from hypothesis import settings
from scipy import ndimage

from icmbench.tasks.backends.grammar_cache import import_yapf

import_yapf()  # test files import mmengine while other workers of pytest do

ROOT = Path(__file__).resolve().parent.parent

# `make test` runs few examples and always the same; `make test-all` adds others, as many again.
settings.register_profile("quick", max_examples=25, deadline=None, derandomize=True)
settings.register_profile("long", max_examples=100, deadline=None)
settings.load_profile("quick")

# Codecs that misbehave, for tests that plant failures.
BAD_CODECS = """
import os, signal, sys, time
import numpy as np
from icmbench.codecs.base import Key
from icmbench.codecs.raw_test import RawTest
from icmbench.core.errors import CodecError

class Bad(RawTest):
    codec_id = None
    def encode(self, image):
        print("noise on standard output")
        self.misbehave(image)
        return super().encode(image)

    def truncate(self, stream, planes=3):
        return stream

    def decode(self, stream):
        image = RawTest(models=None).decode(stream)
        self.spoil(image)
        return image

    def _parse(self, stream):
        return RawTest(models=None)._parse(stream)

    def misbehave(self, image): pass
    def spoil(self, image): pass

class RaisesOnOne(Bad):
    name = "raises-on-one"
    packages = ("a-package-nobody-has",)
    def misbehave(self, image):
        if image.shape[0] == 41: raise ValueError("planted: this image")

class RaisesOnAll(Bad):
    name = "raises-on-all"
    def misbehave(self, image):
        raise CodecError("planted: every image")

class Hangs(Bad):
    name = "hangs"
    def misbehave(self, image):
        time.sleep(60)

class Compiles(Bad):
    name = "compiles"
    def misbehave(self, image):  # twice 1.2 seconds; functions compile within others
        from icmbench.core import jit_notice as compiling
        for _ in range(2):
            compiling.started(); compiling.started()
            time.sleep(1.2)
            compiling.ended(); compiling.ended()

class Crashes(Bad):
    name = "crashes"
    def spoil(self, image):
        if image.shape[0] == 41: os.kill(os.getpid(), signal.SIGSEGV)

class CrashesWhenWarm(Bad):
    name = "crashes-when-warm"
    def misbehave(self, image):
        if image.shape[0] == 64: os.kill(os.getpid(), signal.SIGSEGV)

class Empty(Bad):
    name = "empty"
    def encode(self, image): return b""

class Vanishes(Bad):  # in the middle of its answer: a timer would miss it on a fast machine
    name = "vanishes"
    def decode(self, stream):
        import __main__ as worker
        import pickle
        def send(pipe, message):
            data = pickle.dumps(message)
            pipe.write(worker.LENGTH.pack(len(data)) + data[: len(data) // 2])
            pipe.flush()
            os._exit(3)
        worker.send = send
        return np.zeros((200, 600, 3), np.uint8)

class Loses(Bad):
    name = "loses"
    lossless = True
    def spoil(self, image): image[0, 0, 0] ^= 1

class Shrinks(Bad):
    name = "shrinks"
    def decode(self, stream): return super().decode(stream)[:-1]

class Batches(Bad):
    # Its red plane says how many streams came together; one image spoils every batch.
    name = "batches"
    decode_keys = {"batch": Key(int, default=1, low=1, high=9)}
    batch_key = "batch"
    def decode(self, stream, batch=1):
        return self.decode_batch([stream])[0]
    def decode_batch(self, streams, batch=1):
        pictures = [RawTest.decode(self, stream).copy() for stream in streams]
        for picture in pictures:
            if picture.shape[0] == 41: raise CodecError("planted: this image")
            picture[:, :, 0] = len(streams)
        return pictures

class DoesNotLoad(Bad):
    name = "does-not-load"
    def __init__(self, **keys): raise FileNotFoundError("planted: no weights")
"""

ENTRY_POINTS = """[icmbench.codecs]
raises-on-one = bad_codecs:RaisesOnOne
raises-on-all = bad_codecs:RaisesOnAll
hangs = bad_codecs:Hangs
compiles = bad_codecs:Compiles
crashes = bad_codecs:Crashes
loses = bad_codecs:Loses
crashes-when-warm = bad_codecs:CrashesWhenWarm
empty = bad_codecs:Empty
vanishes = bad_codecs:Vanishes
shrinks = bad_codecs:Shrinks
batches = bad_codecs:Batches
does-not-load = bad_codecs:DoesNotLoad
"""


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add the markers that follow from others; put the cluster's tests first.

    Those are the longest, and half of their time they wait. Where two processes share the files,
    the run on this machine that they are compared with comes when the cluster's is over: more
    processes than processors cost each of them twice its seconds.
    """
    for item in items:
        if any(item.get_closest_marker(name) for name in ("browser", "cluster", "shared")):
            item.add_marker("slow")
        drawn = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        if drawn or "effort" in getattr(item, "fixturenames", ()):
            item.add_marker("property")
    items.sort(key=lambda item: item.get_closest_marker("cluster") is None)


@pytest.hookimpl(tryfirst=True)  # before fixtures read the files
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a test whose official files are absent."""
    for marker in item.iter_markers("shared"):
        official.check(marker.args)


@pytest.fixture
def effort() -> int:
    """Factor of hand-written loops over random cases: 1, or 10 in the profile `long`."""
    return 10 if settings.get_current_profile_name() == "long" else 1


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums do not depend on the number of cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_gradients() -> Iterator[None]:
    """Nothing is recorded for training."""
    import torch

    with torch.no_grad():
        yield


@pytest.fixture
def warnings_are_errors() -> Iterator[None]:
    """All but those of matplotlib and what it imports."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("default", module=r"matplotlib|pyparsing|dateutil")
        yield


@pytest.fixture
def no_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    """All text that is drawn stands as it is: names hold dollar signs, as in `$5_$10.png`."""
    from matplotlib import rcParams
    from matplotlib.text import Text

    def checked(self: Text) -> bool:
        # Labels of ticks are made when they are drawn: some tests do that outside of the theme.
        if not rcParams["text.parse_math"]:
            assert not self._parse_math, f"a formula where it holds dollars: {self.get_text()}"
        return False

    monkeypatch.setattr(Text, "get_parse_math", checked)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


def make_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture with edges, gradients and 1/f-like texture: not flat, not white noise."""
    rng = np.random.default_rng(seed)
    texture = sum(
        ndimage.gaussian_filter(rng.standard_normal((height, width, 3)), (s, s, 0)) * s
        for s in (0.7, 2, 6)
    )
    rows, columns = np.mgrid[:height, :width]
    base = 90 + 80 * columns[..., None] / max(width, 1) * np.array([1.0, 0.6, 0.2])
    disc = (rows - height / 2) ** 2 + (columns - width / 3) ** 2 < (min(height, width) / 4) ** 2
    base = base + disc[..., None] * np.array([60.0, -40.0, 30.0])
    return np.clip(base + 25 * texture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """One 96x80 picture."""
    return make_picture(96, 80)


@pytest.fixture(scope="session")
def micro() -> dict:
    """configs/micro.yaml, writing to `results`."""
    config = yaml.safe_load((ROOT / "configs" / "micro.yaml").read_text())
    return {**config, "results": "results"}


@pytest.fixture(scope="session")
def every_rule() -> dict:
    """configs/micro.yaml with another codec, more tasks and a variant of the training."""
    from snakemake.utils import update_config

    config = yaml.safe_load((ROOT / "configs" / "micro.yaml").read_text())
    more = yaml.safe_load((ROOT / "tests" / "data" / "every_rule.yaml").read_text())
    update_config(config, more)
    published = str(ROOT / "tests" / "data" / "published.csv")
    return {**config, "results": "results", "published": [published]}


@pytest.fixture(scope="session")
def first_run(every_rule: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `every_rule` has run on this machine, once for all tests."""
    from running import once, snakemake, succeed

    return once(
        tmp_path_factory, "first", lambda folder: succeed(snakemake(folder, every_rule, long=True))
    )


@pytest.fixture(scope="session")
def bad_codecs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH that holds an installed package of misbehaving codecs."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "bad_codecs.py").write_text(BAD_CODECS)
    info = folder / "bad_codecs-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-codecs\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


@pytest.fixture
def with_bad_codecs(bad_codecs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The misbehaving codecs are known here and in child processes."""
    from icmbench.codecs import registry

    monkeypatch.syspath_prepend(str(bad_codecs))
    monkeypatch.setenv("PYTHONPATH", str(bad_codecs))
    registry.codecs.cache_clear()
    yield
    registry.codecs.cache_clear()
