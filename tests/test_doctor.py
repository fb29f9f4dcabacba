"""`icmbench doctor`: what works, and a remedy for each thing that does not."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from icmbench.cli import main
from icmbench.codecs.registry import every_codec
from icmbench.metrics import METRICS
from icmbench.sources.catalogue import known_sources
from icmbench.sources.completeness import mark_complete

Found = dict[str, dict[str, dict[str, str]]]


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> Found:
    """Findings by section and name."""
    assert main(["doctor", "--json", *arguments]) == 0
    parsed = json.loads(capsys.readouterr().out)
    return {name: {one["name"]: one for one in part} for name, part in parsed.items()}


def test_everything_is_listed_and_what_lacks_has_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no program
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # no weights
    found = doctor(capsys, "--downloads", str(tmp_path / "d"))
    assert set(found["codecs"]) == set(every_codec())
    assert set(found["metrics"]) == {*METRICS, "fid"}
    assert set(found["sources"]) == set(known_sources())
    assert not found["codecs"]["webp"]["remedy"]
    assert "Debian has it in the package x265" in found["codecs"]["x265"]["remedy"]
    assert not found["metrics"]["ssim"]["remedy"]
    assert "icmbench fetch" in found["metrics"]["lpips"]["remedy"]
    assert "icmbench fetch --downloads" in found["data sets"]["kodak"]["remedy"]
    assert not found["data sets"]["photos"]["remedy"]
    assert "path" in found["data sets"]["folder"]["about"]
    assert "Bundled model" in found["tasks"]["mmdet"]["about"]
    assert not found["bundled weights"]["mpd"]["remedy"]
    assert found["packages"]["numpy"]["about"] == metadata.version("numpy")


def test_what_was_fetched_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kodak = known_sources()["kodak"]
    files = {}
    for file in kodak.files:
        path = kodak.folder(tmp_path) / file.name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"picture")
        files[file.name] = {"sha256": "0", "size": 7}
    mark_complete(kodak, tmp_path, files)
    found = doctor(capsys, "--downloads", str(tmp_path))
    assert not found["data sets"]["kodak"]["remedy"]
    assert not found["sources"]["kodak"]["remedy"]
    (kodak.folder(tmp_path) / "kodim07.png").unlink()
    found = doctor(capsys, "--downloads", str(tmp_path))
    assert found["sources"]["kodak"]["remedy"].startswith("icmbench fetch --downloads")


def test_packages_that_lack_or_are_old(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name in ("seaborn", "accelerate", "onnxruntime"):
            raise metadata.PackageNotFoundError(name)
        return "0.1" if name == "scipy" else real(name)

    monkeypatch.setattr(metadata, "version", version)
    found = doctor(capsys)
    packages = found["packages"]
    assert packages["seaborn"]["about"].startswith("not installed (seaborn>=")
    assert packages["seaborn"]["remedy"].startswith("pip install -e .")
    assert packages["accelerate"]["remedy"] == "pip install '.[distributed]'"
    assert packages["scipy"]["about"].startswith("0.1, needed is scipy>=")
    assert packages["scipy"]["remedy"]
    assert "not installed: onnxruntime" in found["tasks"]["onnx-pose"]["remedy"]


def test_the_page_is_read_without_torch() -> None:
    code = (
        "import sys; from icmbench.cli import main; code = main(['doctor'])\n"
        "heavy = {'torch', 'diffusers', 'mmdet'} & set(sys.modules)\n"
        "assert not heavy, heavy; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for title in ("packages", "devices", "codecs", "metrics", "tasks", "data sets", "sources"):
        assert f"\n{title}: " in done.stdout
