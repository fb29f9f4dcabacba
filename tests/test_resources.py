"""Devices and resources of jobs: settings of a GPU, GPUs that cannot be used, threads, memory."""

from __future__ import annotations

import logging
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, make_picture
from fake_cuda import fake_cuda
from PIL import Image as PillowImage
from tiny_icmh import make_tiny_icmh

from icmbench.codecs.diff_icmh import model_folder as icmh
from icmbench.codecs.diff_icmh.codec import DiffIcmh
from icmbench.config.resources import Demand, network_mb, training_mb
from icmbench.core import devices
from icmbench.core.devices import UNUSED, resolve_device, unused_gpu, use_device
from icmbench.core.errors import ConfigError
from icmbench.core.images.image_files import write_png
from icmbench.core.typed_csv import TEXT, read_table
from icmbench.datasets.registry import make_dataset
from icmbench.datasets.sizes import LARGEST, SAMPLE, sampled_megapixels
from icmbench.evaluation import worker

# ----- settings


FLAGS = [
    (torch.backends.cudnn, "benchmark", True),
    (torch.backends.cudnn, "deterministic", False),
    (torch.backends.cudnn, "allow_tf32", True),
    (torch.backends.cuda.matmul, "allow_tf32", True),
]


@pytest.fixture
def careless() -> Iterator[None]:
    """Settings under which a GPU's results vary; put back afterwards."""
    before = [getattr(place, name) for place, name, _ in FLAGS]
    for place, name, value in FLAGS:
        setattr(place, name, value)
    yield
    for (place, name, _), value in zip(FLAGS, before, strict=True):
        setattr(place, name, value)


@pytest.mark.usefixtures("careless")
def test_a_gpu_computes_the_same_whatever_else_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """TF32 off, deterministic algorithms, none chosen by trial; the CPU's settings stay."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    assert use_device("cpu") == "cpu"
    assert all(getattr(place, name) == value for place, name, value in FLAGS)
    with fake_cuda():
        assert use_device("auto") == "cuda"
    assert all(getattr(place, name) != value for place, name, value in FLAGS)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


# ----- a GPU that torch cannot use

DRIVER = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.82.01  Wed Oct 27 21:21:55 UTC 2021\n"
    "GCC version:  gcc version 9.3.0\n"
)
OPEN_DRIVER = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build\n"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without a GPU; its driver's file, which is not there."""
    for name in devices._GIVEN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(devices, "has_nvidia", lambda: False)
    monkeypatch.setattr(devices, "_DRIVER", tmp_path / "version")
    resolve_device.cache_clear()
    return tmp_path / "version"


@pytest.mark.parametrize(("text", "version"), [(DRIVER, "470.82.01"), (OPEN_DRIVER, "550.54.15")])
def test_an_old_driver_is_a_loud_line(
    machine: Path, text: str, version: str, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """The log has both versions, the GPU that is held, and the remedy; `cuda` fails for them."""
    machine.write_text(text, encoding="utf-8")
    monkeypatch.setattr(devices, "has_nvidia", lambda: True)
    monkeypatch.setenv("SLURM_JOB_GPUS", "0")
    with caplog.at_level(logging.WARNING):
        assert resolve_device("auto") == "cpu"
        assert resolve_device("auto") == "cpu"
    (record,) = caplog.records
    for part in (UNUSED, f"driver {version}", "CUDA 13.0", "SLURM_JOB_GPUS=0", "update the driver"):
        assert part in record.getMessage()
    assert "\n" not in record.getMessage()
    with pytest.raises(ConfigError, match=version):
        resolve_device("cuda")


@pytest.mark.parametrize(
    ("variables", "nvidia", "driver", "reason"),
    [
        ({}, False, False, ""),
        ({"CUDA_VISIBLE_DEVICES": ""}, True, True, ""),
        ({"CUDA_VISIBLE_DEVICES": "-1", "SLURM_JOB_GPUS": "0"}, True, True, ""),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, False, False, ""),
        ({"CUDA_VISIBLE_DEVICES": "0"}, False, False, "no NVIDIA driver is loaded"),
        ({}, True, True, "/dev/nvidiactl"),
    ],
)
def test_which_gpus_were_given(
    machine: Path, variables: dict[str, str], nvidia: bool, driver: bool, reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """No word where there is no GPU, or where a variable hides it."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(devices, "has_nvidia", lambda: nvidia)
    if driver:
        machine.write_text(DRIVER, encoding="utf-8")
    found = unused_gpu()
    assert (reason in found) if reason else not found


def test_a_torch_without_cuda_says_so(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is another build, not a driver."""
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(devices, "has_nvidia", lambda: True)
    assert "built without CUDA" in unused_gpu()


# ----- threads

PROBE = """
import threadpoolctl, torch
from icmbench.codecs.raw_test import RawTest

class Probe(RawTest):
    name = "probe"
    codec_id = None

    def __init__(self, *, models=None, device="cpu"):
        super().__init__(models=models, device=device)
        torch.set_num_threads(3)
        threadpoolctl.threadpool_limits(3)

    def encode(self, image):
        counts = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
        return bytes([torch.get_num_threads(), *counts])
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_of_a_codec_process(
    threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a real worker torch and every pool have the configured number, whatever a codec set."""
    (tmp_path / "probing.py").write_text(PROBE, encoding="utf-8")
    script = tmp_path / "run.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import icmbench.codecs.registry as registry, icmbench.evaluation.worker as worker\n"
        "import probing\n"
        "worker.codec_class = lambda name: probing.Probe\n"
        "worker.make_point = None\nworker.main()\n"
    )
    first = {"codec": "probe", "models": None, "device": "cpu", "threads": threads}
    request = {"do": "encode", "keys": {}, "image": make_picture(8, 8)}
    given = b"".join(
        worker.LENGTH.pack(len(data)) + data for data in map(pickle.dumps, (first, request))
    )
    env = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script)], input=given, capture_output=True, env=env, check=True
    )
    answers = []
    rest = done.stdout
    while rest:
        size = worker.LENGTH.unpack(rest[: worker.LENGTH.size])[0]
        answers.append(pickle.loads(rest[worker.LENGTH.size :][:size]))
        rest = rest[worker.LENGTH.size + size :]
    counts = list(answers[1]["stream"])
    assert len(counts) > 1, "no pool of OpenMP or BLAS is loaded"
    assert counts == [threads] * len(counts)


# ----- one model, one digest


def test_variants_are_hashed_once_and_held_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams of two variants in turn: every file is read once for digests, one model stays."""
    folder = make_tiny_icmh(tmp_path)
    (folder / icmh.VARIANTS).mkdir()
    for name in ("a", "b"):  # the same networks, with another digest: under a longer header
        target = folder / icmh.VARIANTS / name
        shutil.copytree(folder, target, ignore=shutil.ignore_patterns(icmh.VARIANTS))
        file = target / "tables.safetensors"
        data = file.read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = data[8 : 8 + size] + b" " * (8 if name == "a" else 16)
        file.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + size :])
    codec = DiffIcmh(models=tmp_path)
    image = make_picture(64, 64)
    streams = [codec.encode(image, variant=name) for name in ("main", "a", "b")]
    assert len({stream[:20] for stream in streams}) == 3
    calls: list[Path] = []
    digest = icmh.weights_digest

    def counted(path: Path) -> bytes:
        calls.append(path)
        return digest(path)

    fresh = DiffIcmh(models=tmp_path)
    monkeypatch.setattr(icmh, "weights_digest", counted)
    alone = [fresh.decode(stream, sampler="none") for stream in streams]
    for _ in range(3):
        for stream in streams:
            fresh.parse(stream)
    assert sorted(path.name for path in calls) == ["a", "b"]
    batch = fresh.decode_batch([*streams, streams[0]], sampler="none")
    for one, other in zip(batch, [*alone, alone[0]], strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(fresh._loaded) == 1


# ----- memory and disk


def test_sizes_of_a_folder_come_from_some_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean of a spread sample, the largest file's size, and few files opened."""
    for number in range(2 * SAMPLE):
        write_png(tmp_path / f"{number:04d}.png", np.zeros((10, 20 + 10 * (number % 2), 3), "u1"))
    rng = np.random.default_rng(0)
    write_png(tmp_path / "0003.png", rng.integers(0, 256, (500, 400, 3), np.uint8))
    (tmp_path / "0001.png").write_bytes(b"no picture")
    opened: list[Path] = []
    real = PillowImage.open

    def counted(path: Any, *args: Any, **keys: Any) -> Any:
        opened.append(path)
        return real(path, *args, **keys)

    monkeypatch.setattr(PillowImage, "open", counted)
    data = make_dataset("mine", {"type": "folder", "path": str(tmp_path)}, tmp_path)
    found = data.megapixels
    assert found.largest == 0.2
    assert found.mean == pytest.approx(200 / 1e6)  # every second file
    assert len(opened) <= SAMPLE + LARGEST
    assert data.megapixels is found
    assert sampled_megapixels([tmp_path / "0001.png", tmp_path / "none.png"]) is None


def test_sizes_that_a_kind_declares(tmp_path: Path) -> None:
    """No file is read for them."""
    scenes = make_dataset("scenes", {"size": 256}, tmp_path).megapixels
    assert scenes.mean == scenes.largest == 256**2 / 1e6
    kodak = make_dataset("kodak", {}, tmp_path).megapixels
    assert kodak.largest == 768 * 512 / 1e6


def test_memory_follows_weights_and_pixels(tmp_path: Path) -> None:
    """What is asked for grows with both; a file that is not there yet leaves the answer open."""
    kinds = (("a", "diff-icmh"), ("b", "mpd"))
    families = {name: SimpleNamespace(codec=codec, points=[]) for name, codec in kinds}
    sets = {
        name: SimpleNamespace(megapixels=SimpleNamespace(largest=size))
        for name, size in (("small", 0.1), ("large", 8.0))
    }
    run: Any = SimpleNamespace(config={"device": "cpu"}, codecs=families, datasets=sets)
    coding_mb = Demand(run, cluster=False).coding_mb
    file = tmp_path / "w.safetensors"
    with open(file, "wb") as handle:
        handle.truncate(7_000_000_000)  # Stable Diffusion 2.1 with its control network
    assert coding_mb([], ["small"], ["b"]) == 2000
    assert coding_mb([file], ["small"], ["b"]) > 14_000
    assert coding_mb([], ["large"], ["a"]) > coding_mb([], ["large"], ["b"]) > 2000
    assert coding_mb([], ["small", "large"], ["b", "a"]) == coding_mb([], ["large"], ["a"])
    assert network_mb([], at_least=4000) == 4000
    assert training_mb([tmp_path]) == 3000  # a folder of images is no weights
    assert training_mb([tmp_path], 1000) == 4000
    assert training_mb([file, tmp_path]) > coding_mb([file], ["small"], ["b"])
    with pytest.raises(FileNotFoundError) as caught:
        coding_mb([tmp_path / "later"], ["small"], ["b"])
    assert caught.value.filename == str(tmp_path / "later")  # by which Snakemake knows its input


@pytest.mark.slow
def test_differences_of_one_device_are_none(tmp_path: Path) -> None:
    """`tools/device_differences.py`, cpu against cpu: equal streams, identical reconstructions."""
    (tmp_path / "c.yaml").write_text(
        "datasets: {scenes: {size: 64, test: 2, codecs: {webp: all, mpd: [{state: 5}]}}}\n"
        "codecs: {webp: {points: [{quality: 10}]}, mpd: {points: [{state: [5, 0]}]}}\n"
        "metrics: [psnr_rgb]\nresults: none\n",
        encoding="utf-8",
    )
    command = [sys.executable, str(ROOT / "tools" / "device_differences.py"), "c.yaml"]
    command += ["--devices", "cpu", "cpu", "--images", "2", "--out", "rows.csv"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = read_table(tmp_path / "rows.csv", {*TEXT, "streams"})
    assert sorted(rows["codec"]) == ["mpd:state=5", "mpd:state=5"]
    assert set(rows["outcome"]) == {"identical"}
    assert set(rows["streams"]) == {"True"}


def test_jobs_that_may_hold_a_gpu_ask_for_memory_by_the_size_of_their_weights(root: Path) -> None:
    """A constant would be too little for a published model, wherever it is loaded."""
    found = 0
    for path in sorted((root / "rules").glob("*.smk")):
        for block in re.split(r"(?m)^ *(?:use )?rule ", path.read_text(encoding="utf-8"))[1:]:
            if re.search(r"^ +gpu=", block, re.M):
                found += 1
                kinds = "network|coding|training|autoencoder|prior|stage"
                asked = re.search(rf"mem_mb=[^:]*:[^:]*({kinds})_mb\(", block)
                assert asked, f"{path.name}: {block.partition(':')[0]}"
    assert found > 20


def test_rules_state_only_resources_that_differ_from_the_profile(root: Path) -> None:
    """Defaults stand in one place, and grow with every attempt."""
    profile = yaml.safe_load((root / "profiles" / "slurm" / "profile.yaml").read_text())
    defaults = profile["default-resources"]
    assert (defaults["mem_mb"], defaults["runtime"]) == ("attempt * 2000", "attempt * 60")
    for path in sorted((root / "rules").glob("*.smk")):
        text = path.read_text(encoding="utf-8")
        for key, value in re.findall(r"^ +(mem_mb|runtime)=(?:lambda.*: )?(\d+)\b", text, re.M):
            assert int(value) > {"mem_mb": 2000, "runtime": 60}[key], f"{path.name}: {key}={value}"
