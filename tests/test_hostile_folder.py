"""Processes of the project, started from a folder that holds modules with well-known names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, make_picture
from running import command

from icmbench.core.images.image_files import write_png
from icmbench.core.processes import environment, run_python, start_python
from icmbench.evaluation.codec_process import CodecProcess, Setup

# Of this project, of the standard library, of other packages: what codecs and jobs import.
NAMES = ("icmbench", "random", "copy", "token", "calendar", "string", "numpy", "PIL", "torch")
HOSTILE = 'import os\nopen(os.environ["HOSTILE"], "a").write(__name__ + " ")\nraise SystemExit(7)\n'


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory full of other people's modules; what is imported of them is noted."""
    folder = tmp_path / "user"
    folder.mkdir()
    for name in NAMES:
        if name in ("icmbench", "numpy"):
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text(HOSTILE)
        else:
            (folder / f"{name}.py").write_text(HOSTILE)
    monkeypatch.setenv("HOSTILE", str(tmp_path / "imported"))
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.chdir(folder)
    return folder


def test_the_folder_is_hostile(hostile: Path) -> None:
    """Plain Python imports from it: the tests below have something to find."""
    plain = [sys.executable, "-m", "icmbench.evaluation.worker"]
    assert subprocess.run(plain, check=False, stdin=subprocess.DEVNULL).returncode == 7
    assert "icmbench" in Path(os.environ["HOSTILE"]).read_text("utf-8")


def test_codec_processes(hostile: Path) -> None:
    with CodecProcess(Setup("jpeg", warm_up={"quality": 20})) as process:
        answer = process.call("encode", [("quality", 20)], image=make_picture(16, 24))
    assert answer["stream"][:2] == b"\xff\xd8"
    assert not Path(os.environ["HOSTILE"]).exists()


@pytest.mark.parametrize("paths", ["", ":", "{here}/empty::", ":{here}/empty"])
def test_search_path_of_children(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, paths: str
) -> None:
    """An empty entry of PYTHONPATH means the working directory, too."""
    monkeypatch.setenv("PYTHONPATH", paths.format(here=hostile))
    program = "import icmbench, numpy, random, sys; print(icmbench.__file__); print(sys.path)"
    with start_python("-c", program, stdout=subprocess.PIPE, encoding="utf-8") as process:
        out = process.communicate()[0]
    assert process.returncode == 0
    place, search = out.splitlines()
    assert Path(place).parent.parent == ROOT
    assert str(hostile) not in eval(search)
    assert "" not in eval(search)


def test_a_child_that_fails() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run_python("-c", "raise SystemExit(3)")
    run_python("-c", "import os; assert os.environ['MARK'] == '1'", changes={"MARK": "1"})


def test_this_package_comes_before_an_installed_one(tmp_path: Path) -> None:
    """In the environment of another checkout, and where that is in PYTHONPATH."""
    changed = environment(PYTHONPATH=os.pathsep.join(["/other", "", str(ROOT), "/third"]))
    assert changed["PYTHONPATH"].split(os.pathsep) == [str(ROOT), "/other", "/third"]


@pytest.mark.slow
@pytest.mark.workflow
def test_a_run_inside_another_checkout(hostile: Path, tmp_path: Path) -> None:
    """Every job of a run is a process: planning, coding, measuring, tables, figures, report."""
    write_png(tmp_path / "pictures" / "i.png", make_picture(40, 48))
    config = {
        "datasets": {"mine": {"type": "folder", "path": str(tmp_path / "pictures")}},
        "codecs": {"jpeg": {"points": [{"quality": [10, 50]}]}},
        "metrics": ["psnr_rgb"],
        "anchors": ["jpeg"],
        "bootstrap": {"resamples": 20, "bd_resamples": 20},
        "robustness": {"dataset": "mine", "trials": 1, "images": 1},
        "training": {"start": "bundled"},
    }
    out = tmp_path / "run"
    out.mkdir()
    # As `snakemake` is typed: the program's own folder is searched, not where the user stands.
    program = [str(Path(sys.executable).with_name("snakemake")), "--cores", "2"]
    arguments = command(out, config)[3:]
    done = subprocess.run(
        [*program, *arguments], capture_output=True, encoding="utf-8", check=False, timeout=600
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert (out / "results" / "report.html").exists()
    assert not Path(os.environ["HOSTILE"]).exists()
