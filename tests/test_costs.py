"""Costs of coding: energy counters, memory, operations, and their table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_icmh import make_tiny_icmh

from icmbench.codecs.base import Codec, Image
from icmbench.codecs.specs import OperatingPoint, parse_spec
from icmbench.core.energy import EnergyMeter
from icmbench.core.memory import programs_peak
from icmbench.evaluation.codec_process import CodecProcess, Setup
from icmbench.evaluation.costs import SIDE, counted, measured
from icmbench.evaluation.shard import TIMING, count_operations, timing_row
from icmbench.reporting.tables.costs import COLUMNS, costs_table


def domain(powercap: Path, folder: str, name: str, energy: int, limit: int = 10**9) -> Path:
    path = powercap / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{limit}\n")
    (path / "energy_uj").write_text(f"{energy}\n")
    return path / "energy_uj"


def test_energy_of_all_packages_over_the_end_of_a_counter(tmp_path: Path) -> None:
    first = domain(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    second = domain(tmp_path, "intel-rapl:1", "package-1", 999_000_000)
    parts = [
        domain(tmp_path, "intel-rapl:0:0", "core", 0),  # a part of the package
        domain(tmp_path, "intel-rapl:2", "psys", 0),  # the platform, which holds the packages
    ]
    meter = EnergyMeter("cpu", tmp_path)
    assert meter.names == "RAPL"
    first.write_text("3500000\n")
    second.write_text("1999999\n")  # 1 J to the end, 2 J after it
    for part in parts:
        part.write_text("500000000\n")
    assert meter.joules() == pytest.approx(2.5 + 3)
    assert meter.joules() == 0


def test_energy_that_nobody_counts(tmp_path: Path) -> None:
    assert EnergyMeter("cpu", tmp_path).joules() is None
    (domain(tmp_path, "intel-rapl:0", "package-0", 1)).unlink()
    meter = EnergyMeter("cpu", tmp_path)
    assert (meter.names, meter.joules()) == ("", None)


def test_energy_of_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    millijoules = iter([1000, 3500])
    fake: Any = ModuleType("pynvml")
    fake.NVMLError = RuntimeError
    fake.nvmlInit = lambda: None
    fake.nvmlDeviceGetHandleByUUID = {"GPU-ab": "handle"}.__getitem__
    fake.nvmlDeviceGetTotalEnergyConsumption = lambda handle: next(millijoules)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    about = SimpleNamespace(uuid="ab")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: about)
    meter = EnergyMeter("cuda", tmp_path)
    assert (meter.names, meter.joules()) == ("NVML", 2.5)
    monkeypatch.setitem(sys.modules, "pynvml", None)  # not installed
    assert EnergyMeter("cuda", tmp_path).names == ""


def test_peaks_of_a_process_and_of_its_programs() -> None:
    script = (
        "import numpy as np, subprocess, sys\n"
        "from icmbench.core.memory import process_peak, programs_peak\n"
        "before = process_peak()\n"
        "np.ones(100 << 20, np.uint8)\n"
        "print(process_peak() - before, programs_peak())\n"
        "code = 'import numpy as np; np.ones(500 << 20, np.uint8)'\n"
        "subprocess.run([sys.executable, '-c', code])\n"
        "print(process_peak() - before, programs_peak())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    first, second = (map(int, line.split()) for line in done.stdout.splitlines())
    own, programs = first
    assert 90 << 20 < own < 200 << 20
    assert programs == 0
    own, programs = second
    assert own < 200 << 20
    assert 500 << 20 < programs < 700 << 20
    assert programs_peak() > 500 << 20  # a program's programs count, too


class Convolves(Codec):
    """Two layers a direction, one of which decoding alone uses."""

    name = "convolves"

    def __init__(self, **_: object) -> None:
        import torch

        super().__init__()
        with torch.no_grad():
            self.both = torch.nn.Conv2d(3, 8, 3, padding=1)
            self.decoder = torch.nn.Linear(8, 5, bias=False)
            self.unused = torch.nn.Linear(8, 500)

    def encode(self, image: Image) -> bytes:
        import torch

        with torch.inference_mode():
            self.both(torch.from_numpy(image).permute(2, 0, 1)[None].float())
        return b"coded"

    def decode(self, stream: bytes) -> Image:
        import torch

        with torch.inference_mode():
            self.decoder(self.both(torch.zeros(1, 3, SIDE, SIDE)).permute(0, 2, 3, 1))
        return np.zeros((SIDE, SIDE, 3), np.uint8)


def test_operations_and_parameters_are_those_that_take_part() -> None:
    codec, point = Convolves(), OperatingPoint(Convolves, (), (), ())
    found = counted(codec, point, decode=False)
    assert found == {"kmac_per_pixel": 3 * 9 * 8 / 1e3, "parameters": 3 * 9 * 8 + 8}
    found = counted(codec, point, decode=True)
    assert found["kmac_per_pixel"] == pytest.approx((3 * 9 * 8 + 8 * 5) / 1e3)
    assert found["parameters"] == 3 * 9 * 8 + 8 + 8 * 5
    plain = parse_spec("webp:quality=5")
    assert counted(plain.codec(), plain, decode=True) == {}


def test_operations_are_those_of_the_complexity_study(tmp_path: Path) -> None:
    """Counted while real values are coded, and from shapes alone: two ways, one number."""
    from icmbench.codecs.diff_icmh.diff_icmh_model import DiffICMHModel
    from icmbench.studies.complexity import at_hand, stage_macs

    folder = make_tiny_icmh(tmp_path)
    point = parse_spec("diff-icmh:rate=2,sampler=none")
    codec = point.codec(models=tmp_path)
    gmac = stage_macs(at_hand(DiffICMHModel(folder, "cpu")), SIDE)
    stages = {stage: macs / SIDE**2 / 1e3 for (_, stage), macs in gmac.items()}
    assert counted(codec, point, decode=False)["kmac_per_pixel"] == stages["encode"]
    decoding = sum(stages[stage] for stage in ("entropy decoding", "synthesis", "picture"))
    assert counted(codec, point, decode=True)["kmac_per_pixel"] == pytest.approx(decoding)


def test_costs_are_per_image(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 6.0])
    monkeypatch.setattr("icmbench.evaluation.costs.clock", lambda: next(ticks))
    joules = iter([99.0, 12.0])  # what was used before the call is not its own
    meter = SimpleNamespace(names="RAPL", joules=lambda: next(joules))
    monkeypatch.setattr("icmbench.evaluation.costs._meter", lambda device: meter)
    value, costs = measured(Convolves(), lambda: "value", images=3)
    assert value == "value"
    assert (costs["seconds"], costs["joules"], costs["energy"]) == (2.0, 4.0, "RAPL")
    assert costs["gpu_mb"] is None


def test_a_row_of_a_codec_process() -> None:
    point = parse_spec("webp:quality=5")
    with CodecProcess(Setup("webp")) as process:
        rows: list[dict[str, Any]] = [{"codec": point.encoding}]
        count_operations(process, {point.encoding: point}, rows, decode=False)
        assert not process.running  # nothing was coded: no process is started for the count
        image = np.zeros((8, 8, 3), np.uint8)
        answer = process.call("encode", point.encode, image=image)
        row = timing_row(process, answer, 64) | rows[0]
        assert set(row) <= set(TIMING)
        assert 20 < float(row["peak_mb"]) < 2000
        assert row["gpu_mb"] == ""
        count_operations(process, {point.encoding: point}, [row], decode=False)
        assert "parameters" not in row


def part(stage: str, codec: str, seconds: float, image: str, **values: object) -> dict[str, object]:
    return {
        "stage": stage, "dataset": "d", "family": "f", "codec": codec, "encoding": "f", "image":
        image, "pixels": 500_000, "device": "cpu", "seconds": seconds, "start_s": 1.0, "host": "h",
        "joules": np.nan, "energy": "", "peak_mb": 50.0, "gpu_mb": np.nan,
        "kmac_per_pixel": np.nan, "parameters": np.nan,
    } | values  # fmt: skip


def test_the_table_by_hand() -> None:
    network = {"kmac_per_pixel": 12.5, "parameters": 16_777_217}
    parts = [part("encode", "f", s, f"i{s}", joules=2 * s, energy="RAPL") for s in (1.0, 2.0, 4.0)]
    parts += [part("decode", "f:s=1", 0.5, "i1.0", peak_mb=80.0, **network)]
    parts += [part("decode", "f:s=2", 0.25, "i1.0", peak_mb=90.0)]
    found = costs_table(pd.DataFrame(parts), {"f:s=1": "f", "f:s=2": "f"})
    assert tuple(found.columns) == COLUMNS
    one, two = found.to_dict("records")
    assert [one["codec"], two["codec"]] == ["f:s=1", "f:s=2"]
    assert (one["encode_mp_s"], two["encode_mp_s"]) == (0.25, 0.25)
    assert one["encode_mp_s_spread"] == pytest.approx((0.5 - 0.125) / 2)
    assert (one["decode_mp_s"], two["decode_mp_s"]) == (1.0, 2.0)
    assert (one["encode_mb"], one["decode_mb"], two["decode_mb"]) == (50, 90, 90)  # one process
    assert one["encode_j_mp"] == 8.0
    assert np.isnan(one["decode_j_mp"])
    assert one["energy"] == "RAPL"
    assert (one["decode_kmac_px"], one["decode_parameters"]) == (12.5, 16_777_217)
    assert np.isnan(two["decode_kmac_px"])
    assert pd.isna(two["decode_parameters"])
    assert one["images"] == 3
